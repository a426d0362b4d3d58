import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { reachableHosts } from '../gateway/addresses.ts';
import { type Certificate, ownCertificate } from '../gateway/certificate.ts';
import { EmbeddedGateway } from '../gateway/embedded-gateway.ts';
import { listenGateway } from '../gateway/listener.ts';
import type { Remote } from '../gateway/server.ts';
import type { ConfigStore } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import { gatewayOrigin } from '../mesh/gateway-url.ts';
import { greetDialler } from '../paths/direct-greeting.ts';
import type { Identity } from '../team/identity.ts';
import type { TeamStore } from '../team/team-store.ts';
import { DialLimit } from './dial-limit.ts';
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
      // Another port will do where nobody depends on this one: a lone machine is known to nobody, and the others of a
      // team whose gateway is elsewhere hear of the new port over that. Members that meet at ours would look in vain.
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
                if (!dials.take(machine, performance.now())) {
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
