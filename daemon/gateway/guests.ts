import { NiiaError } from '../../shared/errors.ts';
import type { ToGateway } from '../../shared/protocol/gateway.ts';
import { gatewayClose } from '../../shared/protocol/gateway.ts';
import { relayHeader, writeNumber } from '../mesh/gateway-wire.ts';
import { TransportClosed } from '../mesh/transport-closed.ts';
import { ticketHash } from '../team/invite-code.ts';
import type { ServerLimits } from './limits.ts';
import type { Line } from './line.ts';
import type { Counters } from './metrics.ts';
import { AddressRate } from './rate-limit.ts';
import type { Member } from './team.ts';
import { Tickets } from './tickets.ts';

/** A guest and the one machine that it may talk to. */
interface Lane {
  guest: Line;
  inviter: Member;
  hash: string;
  startedAt: number;
  sent: number;
  received: number;
}

/** Tickets, and the lanes of those who showed one. */
export class Guests {
  readonly #lanes = new Map<number, Lane>();
  readonly #tickets: Tickets;
  readonly #failures: AddressRate;
  readonly #limits: ServerLimits;
  readonly #counters: Counters;
  readonly #memberOf: (team: string, machine: string) => Member | undefined;

  constructor(
    limits: ServerLimits,
    counters: Counters,
    memberOf: (team: string, machine: string) => Member | undefined,
  ) {
    this.#limits = limits;
    this.#counters = counters;
    this.#memberOf = memberOf;
    this.#tickets = new Tickets(limits.ticketsPerMachine, limits.ticketMemoryMs);
    this.#failures = new AddressRate(limits.guestTriesPerMinute / 60, limits.guestTriesPerMinute);
  }

  get size(): number {
    return this.#lanes.size;
  }

  get lines(): Line[] {
    return [...this.#lanes.values()].map(({ guest }) => guest);
  }

  /** Gives a guest its lane. Throws what it is refused with. */
  admit(guest: Line, ticket: string): void {
    const now = performance.now();
    if (this.#failures.spent(guest.address, now)) {
      throw new NiiaError('busy', 'too many wrong codes came from this address', 'Wait a minute and try again.');
    }
    const hash = ticketHash(ticket);
    const found = this.#tickets.look(hash, Date.now());
    if (found.state !== 'open') {
      this.#failures.take(guest.address, now);
      throw refusals[found.state]();
    }
    const { team, machine } = found.inviter;
    const inviter = this.#memberOf(team, machine);
    if (!inviter) {
      throw new NiiaError(
        'offline',
        'the machine that made this code is not connected',
        'Start it with niia up, and try again before the code expires.',
      );
    }
    if ([...this.#lanes.values()].some((lane) => lane.hash === hash)) {
      throw new NiiaError('busy', 'another machine is joining with this code now', 'Try again in a minute.');
    }
    const lane: Lane = { guest, inviter, hash, startedAt: now, sent: 0, received: 0 };
    this.#lanes.set(guest.index, lane);
    guest.handTo({
      relay: (index, bytes) => this.#fromGuest(lane, index, bytes),
      ended: () => this.#ended(lane),
      control: ({ type }) => {
        throw new NiiaError('bad_request', `a guest may not send "${type}"`);
      },
    });
    // The inviter first: what the guest sends at once finds the lane known.
    inviter.line.send({ type: 'guest', index: guest.index, ticket: hash });
    guest.send({ type: 'lane', index: inviter.line.index });
  }

  /** What a member says about its tickets and guests. */
  control(
    { team, machine, line }: Member,
    message: Extract<ToGateway, { type: 'ticket' | 'ticket-drop' | 'guest-end' }>,
  ): void {
    const inviter = { team: team.id, machine };
    switch (message.type) {
      case 'ticket': {
        const expiresAt = Date.parse(message.expiresAt);
        if (!/^[0-9a-f]{64}$/.test(message.hash) || Number.isNaN(expiresAt)) {
          throw new NiiaError('bad_request', 'a ticket is not valid');
        }
        this.#tickets.offer(message.hash, inviter, expiresAt);
        line.send({ type: 'ticket-taken', hash: message.hash });
        return;
      }
      case 'ticket-drop':
        this.#tickets.drop(message.hash, inviter);
        return;
      case 'guest-end': {
        const lane = this.#lanes.get(message.index);
        if (lane?.inviter.line === line) this.#endAfterLast(lane);
      }
    }
  }

  /** A member's message for an index that is no member's. */
  toGuest(from: Member, index: number, bytes: Uint8Array): void {
    const lane = this.#lanes.get(index);
    if (!lane || lane.inviter !== from) {
      this.#counters.droppedMessages++;
      return;
    }
    lane.received += bytes.length;
    this.#relay(lane, lane.received, from.line.index, lane.guest, bytes);
  }

  /** A member left: its guests have nobody to talk to. */
  memberLeft(member: Member): void {
    for (const lane of [...this.#lanes.values()]) {
      if (lane.inviter === member)
        lane.guest.end(new TransportClosed(gatewayClose.refused, 'offline', 'the inviter left'));
    }
  }

  removed(team: string, machine: string): void {
    this.#tickets.forget({ team, machine });
  }

  tick(now: number): void {
    this.#tickets.sweep(Date.now());
    this.#failures.sweep(now);
    for (const lane of [...this.#lanes.values()]) {
      if (now - lane.startedAt >= this.#limits.guestMs) {
        lane.guest.end(new TransportClosed(gatewayClose.tooFast, 'timeout', 'the guest took too long'));
      }
    }
  }

  #fromGuest(lane: Lane, index: number, bytes: Uint8Array): void {
    if (index !== lane.inviter.line.index) {
      this.#counters.droppedMessages++;
      return;
    }
    lane.sent += bytes.length;
    this.#relay(lane, lane.sent, lane.guest.index, lane.inviter.line, bytes);
  }

  #relay(lane: Lane, bytesSoFar: number, from: number, to: Line, bytes: Uint8Array): void {
    writeNumber(bytes, from);
    if (bytesSoFar > this.#limits.guestBytes || !to.outbox.relay(from, bytes)) {
      lane.guest.end(
        new TransportClosed(gatewayClose.tooFast, 'too_large', 'the guest’s lane carried all that it may'),
      );
      return;
    }
    this.#counters.relayedMessages++;
    this.#counters.relayedBytes += bytes.length - relayHeader;
  }

  #endAfterLast(lane: Lane): void {
    lane.guest.outbox.empty().then(
      () => lane.guest.end(),
      (error: unknown) => lane.guest.end(NiiaError.from(error)),
    );
  }

  #ended(lane: Lane): void {
    this.#lanes.delete(lane.guest.index);
    lane.inviter.line.left(lane.guest.index, { type: 'guest-gone', index: lane.guest.index });
  }
}

const refusals = {
  used: () => new NiiaError('code_used', 'this code was used already, or taken back', 'Ask for a new one: niia invite'),
  expired: () => new NiiaError('code_expired', 'this code has expired', 'Ask for a new one: niia invite'),
  unknown: () => new NiiaError('denied', 'the gateway does not know this code', 'Ask for a new one: niia invite'),
};
