import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { reachableHosts } from '../gateway/addresses.ts';
import { type Certificate, ownCertificate } from '../gateway/certificate.ts';
import { EmbeddedGateway } from '../gateway/embedded-gateway.ts';
import { listenGateway } from '../gateway/listener.ts';
import { TokenBucket } from '../gateway/rate-limit.ts';
import type { Remote } from '../gateway/server.ts';
import type { ConfigStore } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import { gatewayOrigin } from '../mesh/gateway-url.ts';
import { greetDialler } from '../paths/direct-greeting.ts';
import type { Identity } from '../team/identity.ts';
import type { TeamStore } from '../team/team-store.ts';
import { hostAndPort } from './listen-address.ts';

export interface MachineListenerOptions {
  home: Home;
  identity: Identity;
  team: TeamStore;
  config: ConfigStore;
  /** A machine dialled this one straight, and proved its key. */
  arrived: (machine: string, transport: Transport) => void;
  log: Log;
}

/** A machine whose paths were closed for what came over them may not come back at once, again and again. */
class DialLimit {
  readonly #buckets = new Map<string, TokenBucket>();

  take(machine: string): boolean {
    const now = performance.now();
    for (const [known, bucket] of this.#buckets) if (bucket.full(now)) this.#buckets.delete(known);
    const bucket = this.#buckets.get(machine) ?? new TokenBucket(dialLimits.perSecond, dialLimits.burst, now);
    this.#buckets.set(machine, bucket);
    return bucket.take(1, now);
  }
}

/** Direct paths that one machine may open here. */
const dialLimits = { perSecond: 0.5, burst: 6 };

interface Listening {
  host: string;
  port: number;
  gateway: EmbeddedGateway | undefined;
  close(): Promise<void>;
}

/** The one port of a machine: its embedded gateway, where it has one, and the door for machines that dial it straight. */
export class MachineListener {
  readonly fingerprint: string;
  readonly #listening: Listening;

  private constructor(listening: Listening, fingerprint: string) {
    this.#listening = listening;
    this.fingerprint = fingerprint;
  }

  /** Undefined where nothing is to be served. Throws `port_taken` or `io`. */
  static async start(o: MachineListenerOptions): Promise<MachineListener | undefined> {
    const { home, team, config } = o;
    const { listen, embeddedPort, direct, gateway } = config.current;
    if (gateway && direct === 'off') return undefined;
    const certificate = await ownCertificate(home.folder('gateway'));
    const { host, port } = listen === undefined ? { host: '127.0.0.1', port: embeddedPort ?? 0 } : hostAndPort(listen);
    const open = (at: number): Promise<Listening> => MachineListener.#listen(o, certificate, host, at);
    let listening: Listening;
    try {
      listening = await open(port);
    } catch (error) {
      // Nobody else knows a lone machine's port: any other will do. Otherwise members would look for us in vain.
      const free = listen === undefined && (gateway !== undefined || team.current.members.size === 1);
      if (!(free && error instanceof NiiaError && error.code === 'port_taken')) throw error;
      listening = await open(0);
    }
    if (listen === undefined && listening.port !== embeddedPort) config.update({ embeddedPort: listening.port });
    return new MachineListener(listening, certificate.fingerprint);
  }

  static async #listen(
    { home, identity, team, config, arrived, log }: MachineListenerOptions,
    certificate: Certificate,
    host: string,
    port: number,
  ): Promise<Listening> {
    const { direct, gateway: elsewhere } = config.current;
    const dials = new DialLimit();
    const link =
      direct === 'on'
        ? (transport: Transport, remote: Remote): void => {
            greetDialler(transport, {
              certificate: certificate.fingerprint,
              team: team.current.team.id,
              self: identity.id,
            }).then(
              ({ machine, transport: greeted }) => {
                if (!dials.take(machine)) {
                  greeted.close(new NiiaError('busy', 'this machine dials too often'));
                  return;
                }
                // A stranger may be a member that we do not know of yet; until then it counts as one that is being greeted.
                if (team.current.members.has(machine)) remote.greeted?.();
                arrived(machine, greeted);
              },
              (error: unknown) => log.debug('a machine that dialled was refused', { address: remote.address, error }),
            );
          }
        : undefined;
    if (!elsewhere) {
      const gateway = await EmbeddedGateway.start({
        home,
        identity,
        roster: team.current,
        host,
        port,
        ...(link && { link }),
        log: new Log('gateway'),
      });
      return { host, port: gateway.port, gateway, close: () => gateway.close() };
    }
    const listener = await listenGateway({ host, port, tls: certificate, ...(link && { link }) });
    return { host, port: listener.port, gateway: undefined, close: () => listener.close() };
  }

  get gateway(): EmbeddedGateway | undefined {
    return this.#listening.gateway;
  }

  /** `wss://host:port` for each address at which others reach it now, best first. */
  get urls(): string[] {
    const { host, port } = this.#listening;
    return reachableHosts(host).map((reachable) => gatewayOrigin(reachable, port));
  }

  async close(): Promise<void> {
    await this.#listening.close();
  }
}
