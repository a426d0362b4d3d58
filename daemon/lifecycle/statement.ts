import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { type Offer, offerSchema } from '../../shared/protocol/upgrade-methods.ts';
import type { Identity } from '../team/identity.ts';
import { verifySignature } from '../team/identity.ts';
import type { Member } from '../team/roster.ts';

/** How long a signed offer counts, and how far the clocks of two machines may be apart. */
export const offerTimes = { validMs: 10 * 60_000, skewMs: 5 * 60_000 } as const;

/** Goes before the text that is signed, so that no signature made for something else can stand for an offer. */
const purpose = 'niia upgrade offer 1\n';

const instant = v.pipe(v.string(), v.isoTimestamp());
const statementSchema = v.object({
  v: v.literal(1),
  team: v.string(),
  /** Machine id of the signer. */
  by: v.string(),
  /** Machine id of the machine that it is for. */
  machine: v.string(),
  ...offerSchema.entries,
  allowDowngrade: v.boolean(),
  at: instant,
  expires: instant,
});
export type Statement = v.InferOutput<typeof statementSchema>;

export interface SignedOffer {
  body: string;
  sig: string;
}

export interface OfferFor {
  team: string;
  machine: string;
  offer: Offer;
  allowDowngrade: boolean;
}

/** `now`: milliseconds since 1970. */
export function signOffer(
  identity: Identity,
  { team, machine, offer, allowDowngrade }: OfferFor,
  now: number,
): SignedOffer {
  const statement: Statement = {
    v: 1,
    team,
    by: identity.id,
    machine,
    ...offer,
    allowDowngrade,
    at: new Date(now).toISOString(),
    expires: new Date(now + offerTimes.validMs).toISOString(),
  };
  const body = JSON.stringify(statement);
  return { body, sig: identity.sign(Buffer.from(purpose + body)) };
}

export interface OfferCheck {
  team: string;
  /** This machine's id. */
  self: string;
  members: ReadonlyMap<string, Pick<Member, 'id' | 'name' | 'role' | 'signKey'>>;
  /** Machine id of whoever asks; a local user asks as this machine, and needs no role in the team. */
  asker: { id: string; local: boolean };
  now: number;
}

/**
 * What an offer says, once it is clear that an admin of the team made it, for this machine and lately, and that the same
 * admin asks. Throws `denied`.
 */
export function checkOffer({ body, sig }: SignedOffer, { team, self, members, asker, now }: OfferCheck): Statement {
  const statement = parseStatement(body);
  const signer = members.get(statement.by);
  if (!signer) throw refused('whoever signed it is no member of the team');
  if (!verifySignature(signer.signKey, Buffer.from(purpose + body), sig)) throw refused('its signature is not valid');
  if (signer.id !== asker.id) throw refused(`${signer.name} signed it, and another machine brings it`);
  if (signer.role !== 'admin' && !asker.local) {
    const hint = `An admin can change that with: niia team role ${signer.name} admin`;
    throw new NiiaError('denied', `${signer.name} is ${signer.role} here; an upgrade is signed by an admin`, hint);
  }
  if (statement.team !== team) throw refused('it is for another team');
  if (statement.machine !== self) throw refused('it is for another machine');
  const [from, to] = [Date.parse(statement.at), Date.parse(statement.expires)];
  if (to - from > offerTimes.validMs) throw refused('it counts for too long');
  if (now > to + offerTimes.skewMs)
    throw refused(`it expired at ${statement.expires}`, 'Try again; are both clocks right?');
  if (now < from - offerTimes.skewMs) throw refused(`it is from the future, ${statement.at}`, 'Are both clocks right?');
  return statement;
}

function parseStatement(body: string): Statement {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (error) {
    if (error instanceof SyntaxError) throw refused('it is not JSON');
    throw error;
  }
  const parsed = v.safeParse(statementSchema, json);
  if (parsed.success) return parsed.output;
  throw refused(`${v.getDotPath(parsed.issues[0]) ?? 'it'}: ${parsed.issues[0].message}`);
}

function refused(why: string, hint?: string): NiiaError {
  return new NiiaError('denied', `the offer of an upgrade is refused: ${why}`, hint);
}
