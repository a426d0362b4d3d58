import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { EmbeddedGateway } from '../gateway/embedded-gateway.ts';
import type { ConfigStore, GatewayTarget } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import { version } from '../home/version.ts';
import type { GatewayClientState } from '../mesh/gateway-client.ts';
import { GatewayClient } from '../mesh/gateway-client.ts';
import { Mesh } from '../mesh/mesh.ts';
import { connectWebSocket } from '../mesh/websocket.ts';
import type { Identity } from '../team/identity.ts';
import type { Member } from '../team/roster.ts';
import type { TeamStore } from '../team/team-store.ts';
import { hostAndPort } from './listen-address.ts';
import { Changes } from './watch.ts';

export interface NetworkOptions {
  home: Home;
  identity: Identity;
  team: TeamStore;
  config: ConfigStore;
  log: Log;
  /** A link to a member opened. */
  opened: (remote: Member, transport: Transport) => void;
  /** Somebody with one of our invites wants to join. */
  guest: (ticketHash: string, lane: Transport) => void;
  /** Invites that a gateway has to know about. */
  tickets: () => Array<{ hash: string; expiresAt: string }>;
}

/** What a gateway last said of a machine. */
export interface Presence {
  present: boolean;
  /** ISO 8601; null: never seen. */
  since: string | null;
}

const dialTimeoutMs = 10_000;
/** After a gateway starts, its machines find back to it within this time: they dial at most a second apart. */
const meetingMs = 5_000;

/** This machine's way to the others: its gateway, embedded or elsewhere, and the links that run over it. */
export class Network {
  readonly #o: NetworkOptions;
  readonly #presence = new Map<string, Presence>();
  #embedded: EmbeddedGateway | undefined;
  #client: GatewayClient | undefined;
  #mesh: Mesh | undefined;
  #state: GatewayClientState | undefined;
  #connectedAt = 0;
  #unsubscribe: () => void = () => undefined;
  /** Presence, a link or the gateway's state changed. */
  readonly changes = new Changes();

  constructor(options: NetworkOptions) {
    this.#o = options;
  }

  /** Throws `port_taken` where the embedded gateway cannot listen. */
  async start(): Promise<void> {
    const { identity, team, log } = this.#o;
    this.#mesh = new Mesh({
      identity,
      roster: () => team.current,
      offerRoster: (statements) => this.#consider(statements),
      opened: this.#o.opened,
      changed: () => this.changes.notify(),
      log,
    });
    const target = this.#o.config.current.gateway;
    if (!target) this.#embedded = await this.#embed();
    this.#dial(target);
    this.#unsubscribe = team.subscribe(() => this.#rosterChanged());
  }

  /** Lets go of everything and starts again with the present team and settings. */
  async restart(reason: string): Promise<void> {
    await this.close(reason);
    await this.start();
    this.changes.notify();
  }

  async close(reason: string): Promise<void> {
    this.#unsubscribe();
    this.#mesh?.close(new NiiaError('link_lost', reason));
    await this.#client?.close();
    await this.#embedded?.close();
    this.#mesh = undefined;
    this.#client = undefined;
    this.#embedded = undefined;
    this.#presence.clear();
  }

  /** Addresses that an invite carries: where a guest finds this machine. */
  get gateway(): GatewayTarget | undefined {
    const { gateway } = this.#o.config.current;
    if (gateway) return { urls: gateway.urls, fingerprint: gateway.fingerprint };
    return this.#embedded && { urls: this.#embedded.urls, fingerprint: this.#embedded.fingerprint };
  }

  get gatewayStatus(): DaemonStatus['gateway'] {
    const url = this.gateway?.urls[0] ?? null;
    const state = this.#state;
    return {
      url,
      embedded: this.#embedded !== undefined,
      state: state?.state ?? 'off',
      since: state?.since ?? null,
      error: state?.error?.message ?? null,
    };
  }

  /**
   * Whether the gateway's word that a machine is absent can be taken: one that has just come back, or that we have just
   * come back to, may not have met everybody yet.
   */
  get absenceIsSure(): boolean {
    return this.#state?.state === 'connected' && performance.now() - this.#connectedAt > meetingMs;
  }

  presence(machine: string): Presence | undefined {
    return this.#presence.get(machine);
  }

  link(machine: string): ReturnType<Mesh['status']> {
    return this.#mesh?.status(machine) ?? { state: 'down', path: null, rttMs: null, since: null, candidates: [] };
  }

  offerTicket(hash: string, expiresAt: string): void {
    this.#client?.offerTicket(hash, expiresAt);
  }

  dropTicket(hash: string): void {
    this.#client?.dropTicket(hash);
  }

  #dial(target: GatewayTarget | undefined): void {
    const { identity, team, log } = this.#o;
    const client = new GatewayClient({
      identity,
      software: version,
      roster: () => team.current,
      dial: (signal) => this.#reach(target, signal),
      ...(target?.admit === undefined ? {} : { admit: target.admit }),
      events: {
        state: (state) => {
          if (state.state === 'connected' && this.#state?.state !== 'connected') this.#connectedAt = performance.now();
          this.#state = state;
          if (state.state !== 'connected') this.#presence.clear();
          this.changes.notify();
        },
        present: (machine, since) => this.#seen(machine, { present: true, since }),
        absent: (machine, since) => this.#seen(machine, { present: false, since }),
        circuit: (machine, circuit) => this.#mesh?.addPath(machine, 'gateway', circuit),
        guest: this.#o.guest,
        roster: (statements) => this.#consider(statements),
      },
      log,
    });
    this.#client = client;
    for (const ticket of this.#o.tickets()) client.offerTicket(ticket.hash, ticket.expiresAt);
    client.start();
  }

  /** One attempt at the gateway: our own without a socket, another by its addresses in turn. */
  async #reach(
    target: GatewayTarget | undefined,
    signal: AbortSignal,
  ): Promise<{ transport: Transport; fingerprint: string }> {
    if (!target) {
      if (!this.#embedded) throw new NiiaError('gateway_unreachable', 'the embedded gateway is not running');
      return { transport: this.#embedded.connect(), fingerprint: this.#embedded.fingerprint };
    }
    let failure: unknown = new NiiaError(
      'gateway_unreachable',
      'no gateway address is known',
      'Give one with: niia up --gateway URL',
    );
    for (const url of target.urls) {
      try {
        return await connectWebSocket(url, { fingerprint: target.fingerprint, signal, timeoutMs: dialTimeoutMs });
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  async #embed(): Promise<EmbeddedGateway> {
    const { home, identity, team, config, log } = this.#o;
    const { listen, embeddedPort } = config.current;
    const address = listen === undefined ? { host: '127.0.0.1', port: embeddedPort ?? 0 } : hostAndPort(listen);
    const start = (port: number): Promise<EmbeddedGateway> =>
      EmbeddedGateway.start({ home, identity, roster: team.current, host: address.host, port, log });
    let gateway: EmbeddedGateway;
    try {
      gateway = await start(address.port);
    } catch (error) {
      // Nobody else knows a lone machine's port: any other will do. Otherwise members would look for us in vain.
      const free = listen === undefined && team.current.members.size === 1;
      if (!(free && error instanceof NiiaError && error.code === 'port_taken')) throw error;
      gateway = await start(0);
    }
    if (listen === undefined && gateway.port !== embeddedPort) config.update({ embeddedPort: gateway.port });
    return gateway;
  }

  #consider(statements: Parameters<TeamStore['consider']>[0]): void {
    const outcome = this.#o.team.consider(statements);
    if (outcome === 'refused') this.#o.log.warn('a roster that is not valid was refused');
  }

  #rosterChanged(): void {
    this.#embedded?.updateRoster(this.#o.team.current);
    this.#client?.rosterChanged();
    this.#mesh?.rosterChanged();
    this.changes.notify();
  }

  #seen(machine: string, presence: Presence): void {
    this.#presence.set(machine, presence);
    this.changes.notify();
  }
}
