import type { Correspondent, Exchange } from './exchange.ts';
import type { LanAddress, LanPeer } from './lan-peer.ts';
import type { PairKeys } from './seal.ts';
import { ticketKeys } from './seal.ts';

export interface GuestsOptions {
  exchange: Exchange;
  tickets: () => ReadonlyArray<{ hash: string; lanKey?: string | undefined }>;
  signal(ticketHash: string, guest: string, value: unknown): void;
}

interface OpenTicket {
  hash: string;
  lanKey: string;
  tag: bigint;
  correspondent: Correspondent;
}

/** One guest: whoever holds a ticket's code and started a conversation with us. */
interface Guest {
  ticket: string;
  peer: LanPeer;
  lastHeard: number;
}

/** How often strangers' datagrams can make us look at the tickets, milliseconds. */
const lookEveryMs = 500;
const mostGuests = 64;
const mostPerTicket = 8;
/** A guest that was silent for so long makes room for another. */
const idleMs = 60_000;

/** Machines that come with one of our invite codes. */
export class Guests {
  readonly #o: GuestsOptions;
  readonly #tickets = new Map<bigint, OpenTicket>();
  /** By name: the number of the guest's session, hex. */
  readonly #guests = new Map<string, Guest>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: GuestsOptions) {
    this.#o = options;
  }

  /** Whoever sends under this tag, if it is that of a ticket that is open. */
  lookup(tag: bigint): Correspondent | undefined {
    const now = performance.now();
    // A ticket that we know may have been used up or taken back this moment; others are looked for now and then.
    if (this.#tickets.has(tag) || now - this.#lookedAt >= lookEveryMs) {
      this.#lookedAt = now;
      this.#readTickets();
    }
    return this.#tickets.get(tag)?.correspondent;
  }

  async send(name: string, value: unknown): Promise<boolean> {
    return (await this.#guests.get(name)?.peer.send(value)) ?? false;
  }

  #readTickets(): void {
    const open = new Map(this.#o.tickets().map(({ hash, lanKey }) => [hash, lanKey]));
    const known = new Set<string>();
    for (const { hash, lanKey, tag } of [...this.#tickets.values()]) {
      if (open.get(hash) === lanKey) known.add(hash);
      else this.#tickets.delete(tag);
    }
    for (const [name, { ticket }] of this.#guests) if (!known.has(ticket)) this.#release(name);
    for (const [hash, lanKey] of open) if (lanKey !== undefined && !known.has(hash)) this.#addTicket(hash, lanKey);
  }

  #addTicket(hash: string, lanKey: string): void {
    const keys = ticketKeys(lanKey, 'inviter');
    const tag = keys.receive.tag.readBigUInt64BE();
    const correspondent: Correspondent = {
      keys,
      greeted: () => undefined,
      message: (value, session, from) => this.#message(hash, keys, value, session, from),
    };
    this.#tickets.set(tag, { hash, lanKey, tag, correspondent });
  }

  #message(ticket: string, keys: PairKeys, value: unknown, session: bigint, from: LanAddress): void {
    const name = session.toString(16).padStart(16, '0');
    const guest = this.#guests.get(name) ?? this.#newGuest(ticket, keys, name);
    if (!guest || guest.ticket !== ticket) return;
    guest.lastHeard = performance.now();
    guest.peer.addCandidate(from);
    this.#o.signal(ticket, name, value);
  }

  #newGuest(ticket: string, keys: PairKeys, name: string): Guest | undefined {
    const now = performance.now();
    for (const [other, { lastHeard }] of this.#guests) if (now - lastHeard > idleMs) this.#release(other);
    const siblings = [...this.#guests].filter(([, guest]) => guest.ticket === ticket);
    if (siblings.length >= mostPerTicket) {
      // One machine that tries again and again, most likely: its last try counts.
      const [silent] = siblings.sort(([, one], [, other]) => one.lastHeard - other.lastHeard);
      if (silent) this.#release(silent[0]);
    }
    if (this.#guests.size >= mostGuests) return undefined;
    const guest: Guest = { ticket, peer: this.#o.exchange.peer({ keys }), lastHeard: now };
    this.#guests.set(name, guest);
    return guest;
  }

  #release(name: string): void {
    const guest = this.#guests.get(name);
    if (guest) this.#o.exchange.release(guest.peer);
    this.#guests.delete(name);
  }
}
