/** A member that invites. */
export interface Inviter {
  team: string;
  machine: string;
}

export type TicketState = { state: 'open'; inviter: Inviter } | { state: 'used' | 'expired' | 'unknown' };

interface Ticket {
  inviter: Inviter;
  expiresAt: number;
  used: boolean;
}

/** The invites that are out, by the hash of their ticket. Times are milliseconds since 1970. */
export class Tickets {
  readonly #tickets = new Map<string, Ticket>();
  readonly #perMachine: number;
  readonly #memoryMs: number;

  constructor(perMachine: number, memoryMs: number) {
    this.#perMachine = perMachine;
    this.#memoryMs = memoryMs;
  }

  /** Nobody takes over another machine's ticket, and one that was used stays so. */
  offer(hash: string, inviter: Inviter, expiresAt: number): void {
    const known = this.#tickets.get(hash);
    if (known) {
      if (same(known.inviter, inviter)) known.expiresAt = expiresAt;
      return;
    }
    this.#makeRoom(inviter);
    this.#tickets.set(hash, { inviter, expiresAt, used: false });
  }

  drop(hash: string, inviter: Inviter): void {
    const known = this.#tickets.get(hash);
    if (known && same(known.inviter, inviter)) known.used = true;
  }

  /** Forgets all of a machine that is no member any more. */
  forget(inviter: Inviter): void {
    for (const [hash, ticket] of this.#tickets) if (same(ticket.inviter, inviter)) this.#tickets.delete(hash);
  }

  look(hash: string, now: number): TicketState {
    const ticket = this.#tickets.get(hash);
    if (!ticket) return { state: 'unknown' };
    if (ticket.used) return { state: 'used' };
    return ticket.expiresAt <= now ? { state: 'expired' } : { state: 'open', inviter: ticket.inviter };
  }

  sweep(now: number): void {
    for (const [hash, { expiresAt }] of this.#tickets)
      if (expiresAt + this.#memoryMs <= now) this.#tickets.delete(hash);
  }

  /** A machine's oldest ticket goes where it has too many. */
  #makeRoom(inviter: Inviter): void {
    let count = 0;
    let oldest: string | undefined;
    for (const [hash, ticket] of this.#tickets) {
      if (!same(ticket.inviter, inviter)) continue;
      oldest ??= hash;
      count++;
    }
    if (count >= this.#perMachine && oldest !== undefined) this.#tickets.delete(oldest);
  }
}

function same(a: Inviter, b: Inviter): boolean {
  return a.team === b.team && a.machine === b.machine;
}
