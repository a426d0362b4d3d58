import { createHmac } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { GatewayIce } from '../../shared/protocol/gateway.ts';
import type { IceServer } from '../../shared/protocol/ice-server.ts';
import { iceServerSchema } from '../../shared/protocol/ice-server.ts';

/** TURN servers and how machines show themselves to them. */
export interface TurnOptions {
  urls: readonly string[];
  /** A name and a credential that stay, … */
  user?: string;
  credential?: string;
  /** … or the secret that the servers share with the gateway (coturn's `use-auth-secret`). */
  secret?: string;
}

const day = 24 * 60 * 60;

/** What a gateway tells its machines of servers that help to find ways between them. */
export class IceOffer {
  /** Where the gateway itself answers STUN requests; undefined where it does not. */
  stunPort: number | undefined;
  readonly #turn: TurnOptions | undefined;
  readonly #seconds: number;

  /** `seconds`: how long a credential made from the secret is good. Throws `usage` where the options do not fit. */
  constructor(turn?: TurnOptions, seconds = day) {
    this.#turn = turn && turn.urls.length > 0 ? checked(turn) : undefined;
    this.#seconds = seconds;
  }

  /** Whether what is offered is good for a time only: then it is told anew after half of that, in milliseconds. */
  get renewMs(): number | undefined {
    return this.#turn?.secret === undefined ? undefined : (this.#seconds * 1_000) / 2;
  }

  /** `now`: milliseconds since 1970. Undefined where there is nothing to offer. */
  at(now: number): GatewayIce | undefined {
    const servers = this.#turn ? [serverFor(this.#turn, Math.floor(now / 1_000) + this.#seconds)] : [];
    if (this.stunPort === undefined && servers.length === 0) return undefined;
    return {
      ...(this.stunPort === undefined ? {} : { stunPort: this.stunPort }),
      ...(servers.length === 0 ? {} : { servers }),
    };
  }
}

/**
 * What a command line says, with what it leaves to the environment, so that no secret need stand in the list of
 * processes: `NIIA_TURN_SECRET`, or `NIIA_TURN_CREDENTIAL` beside a name. Throws `usage`.
 */
export function turnOptions(
  {
    urls,
    user,
    credential,
    secret,
  }: { [K in keyof TurnOptions]: TurnOptions[K] | undefined } & Pick<TurnOptions, 'urls'>,
  env: NodeJS.ProcessEnv,
): TurnOptions {
  if (urls.length === 0 && (user ?? credential ?? secret) !== undefined) {
    throw new NiiaError('usage', 'no TURN server is given to show that to', 'Give its URL: --turn turn:HOST:PORT');
  }
  const own = user === undefined ? credential : (credential ?? env['NIIA_TURN_CREDENTIAL']);
  const shared = secret ?? (user === undefined ? env['NIIA_TURN_SECRET'] : undefined);
  return {
    urls,
    ...(user === undefined ? {} : { user }),
    ...(own === undefined ? {} : { credential: own }),
    ...(shared === undefined ? {} : { secret: shared }),
  };
}

function serverFor({ urls, user = '', credential = '', secret }: TurnOptions, expires: number): IceServer {
  if (secret === undefined) return { urls: [...urls], username: user, credential };
  // "A REST API For Access To TURN Services" (draft-uberti-behave-turn-rest), as coturn has it.
  const username = `${expires}:niia`;
  return { urls: [...urls], username, credential: createHmac('sha1', secret).update(username).digest('base64') };
}

function checked(turn: TurnOptions): TurnOptions {
  const { urls, user, credential, secret } = turn;
  const [wrong] = urls.filter((url) => !/^turns?:/i.test(url) || !v.is(iceServerSchema, { urls: [url] }));
  if (wrong !== undefined) {
    throw new NiiaError(
      'usage',
      `--turn does not know "${wrong}"`,
      'Give a URL, for example turn:turn.example.org:3478',
    );
  }
  if (urls.length > 8) throw new NiiaError('usage', 'more than 8 TURN servers are of no use', 'Give --turn less often');
  const hint = 'Give --turn-user U --turn-credential C, or --turn-secret S (or NIIA_TURN_SECRET in the environment)';
  if (secret === undefined) {
    if (!user || !credential) throw new NiiaError('usage', 'a TURN server wants a name and a credential', hint);
  } else if (secret === '' || user !== undefined || credential !== undefined) {
    throw new NiiaError('usage', 'a TURN server takes a secret or a name with a credential, not both', hint);
  }
  return turn;
}
