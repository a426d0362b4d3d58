import { timingSafeEqual } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import { gatewayClose } from '../../shared/protocol/gateway.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Log } from '../home/log.ts';
import { version } from '../home/version.ts';
import { TransportClosed } from '../mesh/transport-closed.ts';
import type { Roster } from '../team/roster.ts';
import { Greeting } from './greeting.ts';
import { Guests } from './guests.ts';
import { IceOffer } from './ice.ts';
import type { ServerLimits } from './limits.ts';
import { serverLimits } from './limits.ts';
import { Line } from './line.ts';
import { Counters, prometheusText } from './metrics.ts';
import type { GatewayStore } from './store.ts';
import type { MemberDesk } from './team.ts';
import { Team } from './team.ts';

export interface GatewayServerOptions {
  store: GatewayStore;
  /** SHA-256 of the certificate that machines see, hex; empty without one. */
  fingerprint: string;
  /** Lets new teams in; without it the gateway serves the teams in its store only. */
  admission?: Uint8Array;
  /** STUN and TURN servers for the machines; none unless given. */
  ice?: IceOffer;
  limits?: Partial<ServerLimits>;
  log: Log;
}

/** Where a connection comes from. */
export interface Remote {
  /** Its IP address, or `in-process`. */
  address: string;
  /** Called once its greeting is over, well or not. */
  greeted?: () => void;
}

/** Longest pause of this process that does not count as silence of the others. */
const pauseMs = 1_000;

/**
 * A relay for machines of teams. It knows who is a member and who is connected, and passes on bytes that it cannot read.
 * It knows no sockets: connections come as transports.
 */
export class GatewayServer {
  readonly counters = new Counters();
  readonly #o: GatewayServerOptions;
  readonly #limits: ServerLimits;
  readonly #teams = new Map<string, Team>();
  readonly #greetings = new Map<Line, () => void>();
  readonly #guests: Guests;
  readonly #ticker: NodeJS.Timeout;
  readonly #desk: MemberDesk;
  readonly #ice: IceOffer;
  #nextIndex = 1;
  #tickedAt = performance.now();
  #flushedAt = performance.now();
  #iceAt = performance.now();
  #draining = false;

  constructor(options: GatewayServerOptions) {
    this.#o = options;
    this.#limits = { ...serverLimits, ...options.limits };
    this.#ice = options.ice ?? new IceOffer();
    this.#guests = new Guests(this.#limits, this.counters, (team, machine) => this.#teams.get(team)?.member(machine));
    this.#desk = {
      ticket: (member, message) => this.#guests.control(member, message),
      toGuest: (member, index, bytes) => this.#guests.toGuest(member, index, bytes),
      memberLeft: (member) => this.#guests.memberLeft(member),
      removed: (team, machine) => this.#guests.removed(team, machine),
      refused: (code) => this.counters.refuse(code),
      ice: () => this.#ice.at(Date.now()),
    };
    this.#ticker = setInterval(() => this.#tick(), this.#limits.tickMs);
  }

  /** False while it drains: new machines should go elsewhere. */
  get ready(): boolean {
    return !this.#draining;
  }

  get limits(): ServerLimits {
    return this.#limits;
  }

  /** Takes a connection on; from now on the server ends it. */
  accept(transport: Transport, { address, greeted = () => undefined }: Remote): void {
    const greeting = new Greeting({
      software: version,
      fingerprint: this.#o.fingerprint,
      roster: (team) => this.#o.store.roster(team),
      admits: (_, secret) => this.#admits(secret),
      member: (line, hello, roster) => {
        this.#teamOf(roster).join(line, hello);
        this.#greeted(line);
      },
      guest: (line, ticket) => {
        this.#guests.admit(line, ticket);
        this.#greeted(line);
      },
      left: (line) => this.#greeted(line),
      refused: (code) => {
        this.counters.refuse(code);
        this.#o.log.info('a connection was refused', { address, code });
      },
    });
    const line = new Line(this.#nextIndex, transport, address, this.#limits, this.#o.log, greeting);
    this.#nextIndex++;
    this.#greetings.set(line, greeted);
    greeting.begin(line);
    if (this.#draining) line.end(draining());
  }

  /** A chain that did not come from a member: the daemon's own. */
  updateRoster(roster: Roster): void {
    const team = this.#teams.get(roster.team.id);
    const known = this.#o.store.roster(roster.team.id);
    if (team) team.adopt(roster);
    else if (!known || known.losesTo(roster)) this.#o.store.keep(roster);
  }

  /** Serves a team no more: its machines are refused. */
  dropTeam(id: string): void {
    const team = this.#teams.get(id);
    this.#teams.delete(id);
    this.#o.store.forget(id);
    for (const { line } of [...(team?.members ?? [])]) {
      line.refuse(new NiiaError('not_a_member', 'this gateway does not serve that team any more'));
    }
  }

  metrics(): string {
    return prometheusText(this.counters, {
      connections: this.#memberLines().length,
      greetings: this.#greetings.size,
      teams: [...this.#teams.values()].filter(({ size }) => size > 0).length,
      guests: this.#guests.size,
      waitingBytes: this.#lines().reduce((bytes, line) => bytes + line.outbox.waitingBytes, 0),
      draining: this.#draining,
    });
  }

  /** Tells all machines, lets what is on its way out, and ends every connection. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const line of [...this.#greetings.keys()]) line.end(draining());
    for (const line of this.#memberLines()) line.send({ type: 'draining' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#limits.drainMs);
    });
    await Promise.race([Promise.all(this.#lines().map((line) => line.outbox.empty())), late]);
    clearTimeout(timer);
    this.close();
  }

  /** Ends every connection at once. */
  close(): void {
    this.#draining = true;
    clearInterval(this.#ticker);
    for (const line of this.#lines()) line.end(draining());
    this.#o.store.flush();
  }

  #admits(secret: string | undefined): boolean {
    const { admission } = this.#o;
    if (!admission || secret === undefined) return false;
    const shown = Buffer.from(secret, 'base64url');
    return shown.length === admission.length && timingSafeEqual(shown, admission);
  }

  /** The room of a team, with `roster` adopted where it wins. */
  #teamOf(roster: Roster): Team {
    this.updateRoster(roster);
    const { id } = roster.team;
    let team = this.#teams.get(id);
    if (!team) {
      team = new Team(roster, this.#o.store, this.counters, this.#limits, this.#desk);
      this.#teams.set(id, team);
    }
    return team;
  }

  #greeted(line: Line): void {
    this.#greetings.get(line)?.();
    this.#greetings.delete(line);
  }

  #memberLines(): Line[] {
    return [...this.#teams.values()].flatMap((team) => [...team.members].map(({ line }) => line));
  }

  #lines(): Line[] {
    return [...this.#greetings.keys(), ...this.#memberLines(), ...this.#guests.lines];
  }

  #tick(): void {
    const now = performance.now();
    const paused = now - this.#tickedAt > this.#limits.tickMs + pauseMs;
    this.#tickedAt = now;
    for (const line of [...this.#greetings.keys()]) {
      if (now - line.startedAt >= this.#limits.helloMs) {
        line.end(new TransportClosed(gatewayClose.protocol, 'timeout', 'the greeting took too long'));
      }
    }
    for (const line of this.#lines()) {
      if (paused) line.forgive(now);
      line.tick(now);
    }
    this.#guests.tick(now);
    for (const [id, { size }] of this.#teams) if (size === 0) this.#teams.delete(id);
    this.#renewIce(now);
    if (now - this.#flushedAt < this.#limits.seenMs) return;
    this.#flushedAt = now;
    this.#o.store.flush();
  }

  #renewIce(now: number): void {
    const { renewMs } = this.#ice;
    if (renewMs === undefined || now - this.#iceAt < renewMs) return;
    this.#iceAt = now;
    const ice = this.#ice.at(Date.now());
    if (ice) for (const line of this.#memberLines()) line.send({ type: 'ice', ice });
  }
}

function draining(): TransportClosed {
  return new TransportClosed(gatewayClose.draining, 'offline', 'the gateway shuts down');
}
