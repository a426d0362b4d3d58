import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus, PathKind, PathReport } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { ConfigStore, GatewayTarget } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import { version } from '../home/version.ts';
import type { GatewayClientState } from '../mesh/gateway-client.ts';
import { GatewayClient } from '../mesh/gateway-client.ts';
import { connectGuest } from '../mesh/guest-client.ts';
import type { LinkFigures } from '../mesh/link-runner.ts';
import { Mesh } from '../mesh/mesh.ts';
import { race } from '../mesh/race.ts';
import { NetworkWatch } from '../paths/network-watch.ts';
import type { OpenLinks } from '../paths/peer-carriers.ts';
import type { Identity } from '../team/identity.ts';
import type { InviteCode } from '../team/invite-code.ts';
import { ticketId } from '../team/invite-code.ts';
import type { Member } from '../team/roster.ts';
import type { TeamStore } from '../team/team-store.ts';
import type { Ticket } from '../team/tickets.ts';
import { reachGateway } from './gateway-dial.ts';
import { MachineListener } from './machine-listener.ts';
import { PathFinding } from './path-finding.ts';
import { Changes } from './watch.ts';

export interface NetworkOptions {
  home: Home;
  identity: Identity;
  team: TeamStore;
  config: ConfigStore;
  log: Log;
  /** The links that work now. */
  links: OpenLinks;
  /** A link to a member opened. */
  opened: (remote: Member, transport: Transport) => void;
  /** Somebody with one of our invites wants to join. */
  guest: (ticketHash: string, lane: Transport) => void;
  /** Invites that count. */
  tickets: () => readonly Ticket[];
}

/** What a gateway last said of a machine. */
export interface Presence {
  present: boolean;
  /** ISO 8601; null: never seen. */
  since: string | null;
}

/** After a gateway starts, its machines find back to it within this time: they dial at most a second apart. */
const meetingMs = 5_000;

/** How long a guest waits for the gateway before it looks around on the local network as well. */
const gatewayHeadStartMs = 400;

/** A daemon without any network, or before it starts. */
const nowhere = { state: 'down', path: null, rttMs: null, since: null, preferred: null, candidates: [] } as const;

/** This machine's ways to the others: its gateway, embedded or elsewhere, its listener, and the links over all paths. */
export class Network {
  readonly #o: NetworkOptions;
  readonly #presence = new Map<string, Presence>();
  #listener: MachineListener | undefined;
  #client: GatewayClient | undefined;
  #mesh: Mesh | undefined;
  #paths: PathFinding | undefined;
  #watch: NetworkWatch | undefined;
  #state: GatewayClientState | undefined;
  #connectedAt = 0;
  #unsubscribe: () => void = () => undefined;
  /** Presence, a link or the gateway's state changed. */
  readonly changes = new Changes();

  constructor(options: NetworkOptions) {
    this.#o = options;
  }

  /** Throws `port_taken` where this machine cannot listen. */
  async start(): Promise<void> {
    const { home, identity, team, config, links, guest, tickets, log } = this.#o;
    const mesh = new Mesh({
      identity,
      roster: () => team.current,
      offerRoster: (statements) => this.#consider(statements),
      opened: (remote, transport) => {
        this.#o.opened(remote, transport);
        this.#paths?.opened(remote.id);
      },
      changed: () => {
        this.#paths?.linksChanged();
        this.changes.notify();
      },
      log,
    });
    this.#mesh = mesh;
    this.#listener = await MachineListener.start({
      home,
      identity,
      team,
      config,
      log,
      arrived: (machine, transport) => mesh.addPath(machine, 'direct', transport),
    });
    this.#paths = new PathFinding({
      home,
      identity,
      team,
      config,
      mesh,
      links,
      urls: () => this.#listener?.urls ?? [],
      guest,
      tickets,
      changed: () => this.changes.notify(),
      log,
    });
    this.#dial(config.current.gateway);
    await this.#paths.start();
    this.#watch = new NetworkWatch((why) => {
      log.info('looking for ways anew', { why });
      this.#client?.retryNow();
      this.#paths?.networkChanged();
    });
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
    this.#watch?.close();
    this.#mesh?.close(new NiiaError('link_lost', reason));
    await this.#paths?.close();
    await this.#client?.close();
    await this.#listener?.close();
    this.#mesh = undefined;
    this.#paths = undefined;
    this.#watch = undefined;
    this.#client = undefined;
    this.#listener = undefined;
    this.#presence.clear();
  }

  /** Addresses that an invite carries: where a guest finds this machine. */
  get gateway(): GatewayTarget | undefined {
    const { gateway } = this.#o.config.current;
    if (gateway) return { urls: gateway.urls, fingerprint: gateway.fingerprint };
    return this.#listener && { urls: this.#listener.urls, fingerprint: this.#listener.fingerprint };
  }

  get gatewayStatus(): DaemonStatus['gateway'] {
    const url = this.gateway?.urls[0] ?? null;
    const state = this.#state;
    return {
      url,
      embedded: this.#listener?.gateway !== undefined,
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

  /** The link to a machine, with the paths that it has and those that it could have. */
  link(machine: string): PathReport {
    const status = this.#mesh?.status(machine);
    if (!status) return { ...nowhere, candidates: [] };
    return { ...status, candidates: [...status.candidates, ...(this.#paths?.missing(machine) ?? [])] };
  }

  figures(machine: string): LinkFigures | undefined {
    return this.#mesh?.figures(machine);
  }

  /** How ways beside the gateway are found. Throws `offline` while this machine has no network. */
  get paths(): PathFinding {
    if (!this.#paths) throw new NiiaError('offline', 'the network of this machine is being set up', 'Try again.');
    return this.#paths;
  }

  prefer(machine: string, kind: PathKind | null): void {
    this.paths.prefer(machine, kind);
    this.changes.notify();
  }

  /** A guest's lane to its inviter: through the gateway that the code names, or over the local network. */
  async guestLane(code: InviteCode, signal: AbortSignal): Promise<{ lane: Transport; over: 'gateway' | 'lan' }> {
    const { urls, fingerprint, secret } = code;
    let refused: NiiaError | undefined;
    const overGateway = async (aborted: AbortSignal) => {
      try {
        const lane = await connectGuest({ urls, fingerprint, ticket: ticketId(secret), signal: aborted });
        return { lane, over: 'gateway' as const };
      } catch (error) {
        const why = NiiaError.from(error);
        // Whoever is reached and says no has said it for all ways.
        if (!aborted.aborted && why.code !== 'gateway_unreachable') refused = why;
        throw error;
      }
    };
    const overLan = async (aborted: AbortSignal) => {
      if (refused) throw refused;
      return { lane: await this.paths.guestLane(code, aborted), over: 'lan' as const };
    };
    return await race<{ lane: Transport; over: 'gateway' | 'lan' }>({
      attempts: [overGateway, overLan],
      staggerMs: gatewayHeadStartMs,
      signal,
      discard: ({ lane }) => lane.close(),
    });
  }

  /** Resolves with whether a guest with this ticket can come through the gateway from now on. */
  async offerTicket(hash: string, expiresAt: string): Promise<boolean> {
    return (await this.#client?.offerTicket(hash, expiresAt)) ?? false;
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
      dial: (signal) => reachGateway(target, this.#listener?.gateway, signal),
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
        ice: (servers) => this.#paths?.useIceServers(servers),
        circuit: (machine, circuit) => this.#mesh?.addPath(machine, 'gateway', circuit),
        guest: this.#o.guest,
        roster: (statements) => this.#consider(statements),
      },
      log,
    });
    this.#client = client;
    for (const ticket of this.#o.tickets()) void client.offerTicket(ticket.hash, ticket.expiresAt);
    client.start();
  }

  #consider(statements: Parameters<TeamStore['consider']>[0]): void {
    const outcome = this.#o.team.consider(statements);
    if (outcome === 'refused') this.#o.log.warn('a roster that is not valid was refused');
  }

  #rosterChanged(): void {
    this.#listener?.gateway?.updateRoster(this.#o.team.current);
    this.#client?.rosterChanged();
    this.#mesh?.rosterChanged();
    this.#paths?.rosterChanged();
    this.changes.notify();
  }

  #seen(machine: string, presence: Presence): void {
    this.#presence.set(machine, presence);
    this.changes.notify();
  }
}
