import { memoryTransportPair } from '../../shared/transport/memory-transport.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import type { Identity } from '../team/identity.ts';
import type { Roster } from '../team/roster.ts';
import { isLoopback } from './addresses.ts';
import { ownCertificate } from './certificate.ts';
import { IceOffer } from './ice.ts';
import type { GatewayListener } from './listener.ts';
import { listenGateway } from './listener.ts';
import type { Remote } from './server.ts';
import { GatewayServer } from './server.ts';
import { GatewayStore } from './store.ts';
import { StunServer } from './stun-server.ts';

export interface EmbeddedGatewayOptions {
  home: Home;
  identity: Identity;
  roster: Roster;
  host: string;
  /** 0: any that is free. */
  port: number;
  /** Takes machines that dial this one straight; they come to the same port. */
  link?: (transport: Transport, remote: Remote) => void;
  log?: Log;
}

/** The gateway of one team inside its daemon. The daemon itself goes through it without a socket. */
export class EmbeddedGateway {
  readonly fingerprint: string;
  readonly port: number;
  readonly #server: GatewayServer;
  readonly #listener: GatewayListener;
  readonly #stun: StunServer | undefined;
  #team: string;

  private constructor(
    server: GatewayServer,
    listener: GatewayListener,
    stun: StunServer | undefined,
    { roster }: EmbeddedGatewayOptions,
    fingerprint: string,
  ) {
    this.fingerprint = fingerprint;
    this.port = listener.port;
    this.#server = server;
    this.#listener = listener;
    this.#stun = stun;
    this.#team = roster.team.id;
  }

  /** Throws `port_taken`, or `io` where it cannot listen there. */
  static async start(options: EmbeddedGatewayOptions): Promise<EmbeddedGateway> {
    const { home, roster, host, port, link, log = new Log('gateway') } = options;
    const dir = home.folder('gateway');
    const store = new GatewayStore(dir, log);
    const certificate = await ownCertificate(dir);
    const ice = new IceOffer();
    const server = new GatewayServer({ store, fingerprint: certificate.fingerprint, ice, log });
    server.updateRoster(roster);
    try {
      const listener = await listenGateway({ host, port, tls: certificate, server, ...(link && { link }) });
      // Nobody on this computer is behind a NAT.
      const stun = isLoopback(host) ? undefined : await StunServer.start({ host, port: listener.port, log });
      ice.stunPort = stun?.port;
      return new EmbeddedGateway(server, listener, stun, options, certificate.fingerprint);
    } catch (error) {
      server.close();
      throw error;
    }
  }

  /** A connection of this daemon to its own gateway. */
  connect(): Transport {
    const [ours, theirs] = memoryTransportPair();
    this.#server.accept(theirs, { address: 'in-process' });
    return ours;
  }

  /** The machine's present chain; where it is another team's, the one before is served no more. */
  updateRoster(roster: Roster): void {
    if (roster.team.id !== this.#team) this.#server.dropTeam(this.#team);
    this.#team = roster.team.id;
    this.#server.updateRoster(roster);
  }

  /** Drains and stops to listen. */
  async close(): Promise<void> {
    this.#stun?.close();
    await this.#server.drain();
    await this.#listener.close();
  }
}
