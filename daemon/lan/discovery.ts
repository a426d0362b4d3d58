import type { Log } from '../home/log.ts';
import type { LanAddress } from './lan-peer.ts';
import type { Announcement } from './mdns.ts';
import { Mdns } from './mdns.ts';
import type { Interfaces } from './segments.ts';
import { localSegments, signatureOf } from './segments.ts';
import type { Limits } from './source-limit.ts';

export interface DiscoveryOptions {
  log: Pick<Log, 'debug' | 'info'>;
  /** What we announce; undefined: nothing, we only look. */
  publish: { hash: string; port: number } | undefined;
  /** Whom we look for: announcements of all others are not kept. */
  wanted(hash: string): boolean;
  /** Somebody announces this hash there; whether it is who it says is not known. May be told again. */
  found(hash: string, where: LanAddress): void;
  /** The announcement was taken back, by whoever, or has expired. */
  gone(hash: string, where: LanAddress): void;
  /** The segments were looked at and have changed. */
  segmentsChanged?(): void;
  interfaces?: Interfaces;
  /** How many packets are looked at; for tests. */
  limits?: Limits;
}

/** Milliseconds from one question to the next; then `askEveryMs`, so that announcements are renewed before they expire. */
const askMs = [1_000, 3_000, 9_000];
const askEveryMs = 45_000;
const mostEntries = 256;
const mostPerHash = 8;

/** Who is on the local networks, by multicast DNS on each of them. Where there is none, it is quiet and tries again. */
export class Discovery {
  readonly #o: DiscoveryOptions;
  /** By what they say, oldest first. */
  readonly #entries = new Map<string, { hash: string; where: LanAddress; until: number }>();
  #doors: Mdns[] = [];
  #signature = '';
  #timer: NodeJS.Timeout | undefined;
  #asked = 0;
  #quietAbout = '';
  #opening: Promise<void> = Promise.resolve();
  #reopenDue = false;
  #closed = false;

  constructor(options: DiscoveryOptions) {
    this.#o = options;
  }

  /** Resolves once the first question is out. Never rejects. */
  start(): Promise<void> {
    return this.#reopen();
  }

  /** The computer's addresses may have changed: announces and asks anew. */
  networkChanged(): void {
    void this.#reopen();
  }

  /** Somebody else is wanted now: asks again. */
  ask(): void {
    for (const door of this.#doors) door.ask();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#opening;
    await this.#closeDoors();
    this.#entries.clear();
  }

  /** What is kept, for tests of its bounds. */
  get size(): number {
    return this.#entries.size;
  }

  /** Packets on the present networks, by what became of them. */
  get counts(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { counts } of this.#doors) {
      for (const [what, count] of Object.entries(counts)) sums[what] = (sums[what] ?? 0) + count;
    }
    return sums;
  }

  /** One after the other: each leaves the doors of the network as it was last. */
  #reopen(): Promise<void> {
    if (this.#reopenDue) return this.#opening;
    this.#reopenDue = true;
    this.#opening = this.#opening.then(async () => {
      this.#reopenDue = false;
      await this.#closeDoors();
      if (this.#closed) return;
      const segments = localSegments(this.#o.interfaces);
      this.#signature = signatureOf(segments);
      this.#o.segmentsChanged?.();
      const faults: unknown[] = [];
      for (const segment of segments) {
        try {
          this.#doors.push(
            await Mdns.open({
              segment,
              publish: this.#o.publish,
              found: (announcement) => this.#found(announcement),
              gone: ({ hash, where }) => this.#gone(hash, where),
              ...(this.#o.limits && { limits: this.#o.limits }),
            }),
          );
        } catch (error) {
          faults.push(error);
        }
      }
      this.#report(faults);
      this.#asked = 0;
      this.#schedule();
    });
    return this.#opening;
  }

  async #closeDoors(): Promise<void> {
    await Promise.all(this.#doors.splice(0).map((door) => door.close()));
  }

  /** Says once, and not again while nothing else is the matter, that there is no multicast here. */
  #report(faults: readonly unknown[]): void {
    const why = this.#doors.length > 0 ? '' : faults.map(String).join('; ') || 'there is no network';
    if (why !== '' && why !== this.#quietAbout) {
      this.#o.log.info('machines on the local network cannot be found by multicast', { why });
    }
    for (const error of this.#doors.length > 0 ? faults : [])
      this.#o.log.debug('a network has no multicast', { error });
    this.#quietAbout = why;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const soon = this.#doors.length > 0 ? askMs[this.#asked] : undefined;
    this.#timer = setTimeout(() => this.#round(), soon ?? askEveryMs);
  }

  #round(): void {
    const now = performance.now();
    for (const { hash, where, until } of this.#entries.values()) if (until <= now) this.#gone(hash, where);
    // Where nobody tells of a network change, or some door did not open, the next round mends it.
    if (this.#doors.length === 0 || signatureOf(localSegments(this.#o.interfaces)) !== this.#signature) {
      void this.#reopen();
      return;
    }
    this.#asked++;
    this.ask();
    this.#schedule();
  }

  #found({ hash, where, ttlMs }: Announcement): void {
    if (this.#closed || !this.#o.wanted(hash)) return;
    const key = keyOf(hash, where);
    this.#entries.delete(key);
    const same = [...this.#entries].filter(([, entry]) => entry.hash === hash);
    if (same[0] && same.length >= mostPerHash) this.#entries.delete(same[0][0]);
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined && this.#entries.size >= mostEntries) this.#entries.delete(oldest);
    this.#entries.set(key, { hash, where, until: performance.now() + ttlMs });
    this.#o.found(hash, where);
  }

  #gone(hash: string, where: LanAddress): void {
    if (this.#entries.delete(keyOf(hash, where)) && !this.#closed) this.#o.gone(hash, where);
  }
}

function keyOf(hash: string, { address, port }: LanAddress): string {
  return `${hash} ${address} ${port}`;
}
