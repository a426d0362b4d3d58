import { NiiaError } from '../../shared/errors.ts';
import type { GatewayIce, ToGateway, ToMachine } from '../../shared/protocol/gateway.ts';
import { gatewayClose } from '../../shared/protocol/gateway.ts';
import { encodeControl, encodeRoster, RosterAssembly, relayHeader, writeNumber } from '../mesh/gateway-wire.ts';
import { TransportClosed } from '../mesh/transport-closed.ts';
import { Roster } from '../team/roster.ts';
import type { Hello } from './greeting.ts';
import { notAMember } from './greeting.ts';
import type { ServerLimits } from './limits.ts';
import type { Line, LineUser } from './line.ts';
import type { Counters } from './metrics.ts';
import type { GatewayStore } from './store.ts';

/** What a member says that concerns more than its team. */
export interface MemberDesk {
  ticket(member: Member, message: Extract<ToGateway, { type: 'ticket' | 'ticket-drop' | 'guest-end' }>): void;
  /** A message for an index that is no member's: one of the guests'. */
  toGuest(member: Member, index: number, bytes: Uint8Array): void;
  memberLeft(member: Member): void;
  removed(team: string, machine: string): void;
  refused(code: string): void;
  /** STUN and TURN servers for a machine that is welcomed now. */
  ice(): GatewayIce | undefined;
}

/** A machine that is connected. */
export interface Member {
  readonly team: Team;
  readonly machine: string;
  readonly line: Line;
  /** ISO 8601. */
  readonly since: string;
}

/** The machines of one team that are connected: who is there, its chain, and the relay between them. */
export class Team {
  readonly id: string;
  readonly #members = new Map<number, Member>();
  readonly #byMachine = new Map<string, Member>();
  readonly #store: GatewayStore;
  readonly #counters: Counters;
  readonly #limits: ServerLimits;
  readonly #desk: MemberDesk;
  #roster: Roster;

  constructor(roster: Roster, store: GatewayStore, counters: Counters, limits: ServerLimits, desk: MemberDesk) {
    this.id = roster.team.id;
    this.#roster = roster;
    this.#store = store;
    this.#counters = counters;
    this.#limits = limits;
    this.#desk = desk;
  }

  get size(): number {
    return this.#members.size;
  }

  get members(): Iterable<Member> {
    return this.#members.values();
  }

  member(machine: string): Member | undefined {
    return this.#byMachine.get(machine);
  }

  /** A member's new connection takes the place of the one before it. */
  join(line: Line, hello: Hello): void {
    const { machine } = hello;
    this.#byMachine
      .get(machine)
      ?.line.end(new TransportClosed(gatewayClose.replaced, 'busy', 'the same machine connected again'));
    const member: Member = { team: this, machine, line, since: new Date().toISOString() };
    const present = [...this.#members.values()].map((other) => ({
      machine: other.machine,
      index: other.line.index,
      since: other.since,
    }));
    const absent = [...this.#roster.members.keys()]
      .filter((id) => id !== machine && !this.#byMachine.has(id))
      .map((id) => ({ machine: id, lastSeen: this.#store.lastSeen(this.id, id) }));
    const { head, length } = this.#roster;
    this.#members.set(line.index, member);
    this.#byMachine.set(machine, member);
    line.handTo(this.#userOf(member));
    const { index, address } = line;
    const ice = this.#desk.ice();
    line.send({ type: 'welcome', index, roster: { head, length }, present, absent, address, ...(ice && { ice }) });
    if (line.ended) return;
    this.#broadcast({ type: 'present', machine, index: line.index, since: member.since }, member);
    if (hello.roster.head === head) return;
    // Which of two chains wins only they themselves tell: each side gets the other's.
    for (const part of encodeRoster(this.#roster.statements)) line.sendBytes(part);
    line.send({ type: 'roster-wanted' });
  }

  /** Takes a chain that wins over the present one, tells the members and ends those that it removes. */
  adopt(roster: Roster, from?: Member): void {
    if (!this.#roster.losesTo(roster)) return;
    const before = this.#roster;
    this.#roster = roster;
    this.#store.keep(roster);
    for (const machine of before.members.keys()) {
      if (roster.members.has(machine)) continue;
      this.#desk.removed(this.id, machine);
      const member = this.#byMachine.get(machine);
      if (!member) continue;
      const error = notAMember(roster);
      this.#desk.refused(error.code);
      member.line.refuse(error);
    }
    const parts = encodeRoster(roster.statements);
    for (const member of [...this.#members.values()]) {
      if (member !== from) for (const part of parts) member.line.sendBytes(part);
    }
  }

  #userOf(member: Member): LineUser {
    const assembly = new RosterAssembly();
    return {
      relay: (index, bytes) => this.#relay(member, index, bytes),
      ended: () => this.#leave(member),
      control: (message) => {
        switch (message.type) {
          case 'hello':
          case 'guest':
            throw new NiiaError('bad_request', `"${message.type}" after the greeting`);
          case 'roster': {
            if (!member.line.charge(this.#limits.rosterCost)) return;
            const statements = assembly.add(message);
            if (!statements || statements.at(-1)?.sig === this.#roster.statements.at(-1)?.sig) return;
            const roster = Roster.verify(statements);
            if (roster.team.id !== this.id) throw new NiiaError('bad_request', 'the roster is another team’s');
            this.adopt(roster, member);
            return;
          }
          default:
            this.#desk.ticket(member, message);
        }
      },
    };
  }

  #relay(from: Member, index: number, bytes: Uint8Array): void {
    const to = this.#members.get(index);
    if (!to) {
      this.#desk.toGuest(from, index, bytes);
      return;
    }
    if (to === from || from.line.holds(index)) {
      this.#counters.droppedMessages++;
      return;
    }
    writeNumber(bytes, from.line.index);
    if (to.line.outbox.relay(from.line.index, bytes)) {
      this.#counters.relayedMessages++;
      this.#counters.relayedBytes += bytes.length - relayHeader;
      return;
    }
    this.#counters.circuitResets++;
    from.line.reset(index);
    to.line.reset(from.line.index);
  }

  #leave(member: Member): void {
    const { machine, line } = member;
    this.#members.delete(line.index);
    if (this.#byMachine.get(machine) === member) this.#byMachine.delete(machine);
    const lastSeen = new Date().toISOString();
    if (this.#roster.members.has(machine)) this.#store.saw(this.id, machine, lastSeen);
    for (const other of this.#members.values()) {
      other.line.left(line.index, { type: 'absent', machine, index: line.index, lastSeen });
    }
    this.#desk.memberLeft(member);
  }

  #broadcast(message: ToMachine, except: Member): void {
    const bytes = encodeControl(message);
    for (const member of [...this.#members.values()]) if (member !== except) member.line.sendBytes(bytes);
  }
}
