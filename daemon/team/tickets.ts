import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import { roleSchema } from '../../shared/protocol/shapes.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { joinKey, lanKey, ticketHash, ticketId } from './invite-code.ts';

const ticketSchema = v.object({
  /** SHA-256 of the ticket's id, hex: what gateways know it by. */
  hash: v.string(),
  /** Pre-shared key of the join handshake, base64url. The code's secret itself is not kept. */
  key: v.string(),
  /** For the guest's datagrams on the local network, base64url; absent in tickets of before there were any. */
  lanKey: v.optional(v.string()),
  role: roleSchema,
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  expiresAt: v.pipe(v.string(), v.isoTimestamp()),
  /** Set for good when it is first seen expired, so that a clock that is set back does not revive it. */
  expired: v.boolean(),
  usedAt: v.nullable(v.string()),
  /** Id of the machine that used it. */
  usedBy: v.nullable(v.string()),
});
export type Ticket = Readonly<v.InferOutput<typeof ticketSchema>>;

const fileSchema = v.object({ version: v.literal(1), tickets: v.array(ticketSchema) });

export interface Clock {
  /** Milliseconds since 1970; may jump. */
  wall(): number;
  /** Milliseconds since some point; never goes back. */
  monotonic(): number;
}

const systemClock: Clock = { wall: () => Date.now(), monotonic: () => performance.now() };

/** How long a used or expired ticket is remembered, so that who shows it hears why it is refused. */
const rememberMs = 7 * 86_400_000;
const makeNew = 'Make a new one on the inviting machine: niia invite';

/** The invites that this machine made, in `team/tickets.json`. A change counts once it is on disk. */
export class Tickets {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #tickets = new Map<string, Ticket>();
  /** By hash: when a ticket expires by the monotonic clock, whatever is done to the other one. */
  readonly #deadlines = new Map<string, number>();

  /** Throws `io` where the file is damaged. */
  constructor(home: Home, clock: Clock = systemClock) {
    home.folder('team');
    this.#path = home.path('team', 'tickets.json');
    this.#clock = clock;
    for (const ticket of readTickets(this.#path)) this.#hold(ticket);
  }

  /** Makes an invite for one machine. `expiresMs`: how long it counts, milliseconds. */
  make(role: Role, expiresMs: number): { secret: Uint8Array; hash: string; expiresAt: Date } {
    const secret = randomBytes(16);
    const hash = ticketHash(ticketId(secret));
    const now = this.#clock.wall();
    const expiresAt = new Date(now + expiresMs);
    const ticket: Ticket = {
      hash,
      key: joinKey(secret).toString('base64url'),
      lanKey: lanKey(secret).toString('base64url'),
      role,
      createdAt: new Date(now).toISOString(),
      expiresAt: expiresAt.toISOString(),
      expired: false,
      usedAt: null,
      usedBy: null,
    };
    this.#save([...this.#remembered(), ticket]);
    return { secret, hash, expiresAt };
  }

  /** The ticket with this hash, whatever became of it. */
  find(hash: string): Ticket | undefined {
    return this.#tickets.get(hash);
  }

  /**
   * Throws unless `machine` may still come in by this ticket: `denied` for an unknown one, `code_expired`, `code_used`
   * where another machine used it. The machine that used it may come back for the answer that it did not get.
   */
  check(hash: string, machine: string): Ticket {
    const ticket = this.#tickets.get(hash);
    if (!ticket) throw new NiiaError('denied', 'this invite code is not known here', makeNew);
    if (ticket.usedBy === machine) return ticket;
    if (ticket.usedBy !== null) {
      throw new NiiaError('code_used', `this invite code was used at ${ticket.usedAt}`, makeNew);
    }
    if (!this.#isExpired(ticket)) return ticket;
    if (!ticket.expired) this.#save(this.#with({ ...ticket, expired: true }));
    throw new NiiaError('code_expired', `this invite code expired at ${ticket.expiresAt}`, makeNew);
  }

  /** Uses up the ticket for `machine`. Once this returns no other machine can use it, whatever happens next. */
  use(hash: string, machine: string): void {
    const ticket = this.check(hash, machine);
    if (ticket.usedBy === machine) return;
    this.#save(this.#with({ ...ticket, usedAt: new Date(this.#clock.wall()).toISOString(), usedBy: machine }));
  }

  /**
   * What a gateway should let guests in for: tickets that have not expired. Used ones are among them, so that a guest
   * who was cut off can fetch its answer and any other hears that the code was used.
   */
  open(): { hash: string; expiresAt: string }[] {
    return this.unexpired().map(({ hash, expiresAt }) => ({ hash, expiresAt }));
  }

  /** The same tickets with their keys, which no gateway is told. */
  unexpired(): Ticket[] {
    return [...this.#tickets.values()].filter((ticket) => !this.#isExpired(ticket));
  }

  /** Takes all invites back: they were for a team that this machine has left. */
  clear(): void {
    if (this.#tickets.size > 0) this.#save([]);
  }

  #isExpired(ticket: Ticket): boolean {
    return (
      ticket.expired ||
      this.#clock.wall() >= Date.parse(ticket.expiresAt) ||
      this.#clock.monotonic() >= (this.#deadlines.get(ticket.hash) ?? 0)
    );
  }

  /** All but those that ended long ago. */
  #remembered(): Ticket[] {
    const now = this.#clock.wall();
    return [...this.#tickets.values()]
      .map((ticket) => (this.#isExpired(ticket) ? { ...ticket, expired: true } : ticket))
      .filter((ticket) => !ticket.expired || now < Date.parse(ticket.expiresAt) + rememberMs);
  }

  #with(changed: Ticket): Ticket[] {
    return this.#remembered().map((ticket) => (ticket.hash === changed.hash ? changed : ticket));
  }

  #save(tickets: readonly Ticket[]): void {
    try {
      writeAtomically(this.#path, `${JSON.stringify({ version: 1, tickets }, null, 2)}\n`);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new NiiaError(
        'io',
        `the invites could not be saved to ${this.#path}: ${why}`,
        'Make room or mend the folder.',
        {
          cause,
        },
      );
    }
    const gone = new Set(this.#tickets.keys());
    this.#tickets.clear();
    for (const ticket of tickets) {
      gone.delete(ticket.hash);
      this.#hold(ticket);
    }
    for (const hash of gone) this.#deadlines.delete(hash);
  }

  #hold(ticket: Ticket): void {
    this.#tickets.set(ticket.hash, ticket);
    if (this.#deadlines.has(ticket.hash)) return;
    const expires = Date.parse(ticket.expiresAt);
    // Never more than it was made for, also where the clock stands before the ticket's making.
    const left = Math.min(expires - this.#clock.wall(), expires - Date.parse(ticket.createdAt));
    this.#deadlines.set(ticket.hash, this.#clock.monotonic() + left);
  }
}

function readTickets(path: string): Ticket[] {
  const text = readIfThere(path);
  if (text === undefined) return [];
  try {
    return v.parse(fileSchema, JSON.parse(text)).tickets;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NiiaError('io', `${path} is damaged: ${why}`, 'Remove it: open invites are lost, nothing else.', {
      cause,
    });
  }
}
