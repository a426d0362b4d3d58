import { bootMs } from '../../home/boot-clock.ts';
import { SessionClock } from '../session-clock.ts';
import type { Freezer } from './freezer.ts';

export interface SessionLeaseOptions {
  /** Made when it is first needed; undefined where this system cannot freeze. */
  freezer: () => Freezer | undefined;
  /** Ends the session, where it cannot be frozen. */
  end: () => void;
  /** It was frozen, or thawed. */
  changed: () => void;
  /** Milliseconds since boot, sleep included. */
  now?: () => number;
}

/**
 * What binds a session to a lease: once that has run out, the session does nothing until it is put off. A session is held
 * by none unless it is told so.
 */
export class SessionLease {
  /** The session's time. */
  readonly clock = new SessionClock();
  readonly #o: SessionLeaseOptions;
  readonly #now: () => number;
  #until: number | undefined;
  #frozen = false;
  #over = false;
  #freezer: Freezer | undefined;
  #waiters: Array<() => void> = [];

  constructor(options: SessionLeaseOptions) {
    this.#o = options;
    this.#now = options.now ?? bootMs;
  }

  /** Whether a lease holds it. */
  get held(): boolean {
    return this.#until !== undefined && !this.#over;
  }

  /** Whether it is frozen; one whose lease has just run out is from then on. */
  get frozen(): boolean {
    this.check();
    return this.#frozen;
  }

  /** When the lease runs out, milliseconds since boot; undefined: it has, or there is none. */
  get dueAt(): number | undefined {
    return this.#frozen || this.#over ? undefined : this.#until;
  }

  /** Binds it, or puts the end off: it is never brought forward. */
  extend(until: number): void {
    if (this.#over) return;
    this.#until = Math.max(until, this.#until ?? until);
    if (this.#frozen && this.#now() < this.#until) this.#thaw();
    this.check();
  }

  /** Holds it by no lease any more. */
  release(): void {
    this.#until = undefined;
    if (this.#frozen) this.#thaw();
  }

  /** Freezes it where the lease has run out; where it is frozen, stops what goes on all the same. */
  check(): void {
    if (this.#until === undefined || this.#over) return;
    if (this.#frozen) return;
    if (this.#now() < this.#until) return;
    this.#frozen = true;
    this.clock.stop();
    this.#freezer ??= this.#o.freezer();
    if (this.#freezer) this.#freezer.freeze();
    else this.#o.end();
    this.#o.changed();
  }

  /** Looks again at what is frozen. */
  look(): void {
    if (this.#frozen && !this.#over) this.#freezer?.look();
  }

  /** Resolves when it is not frozen; at once where it is not now. Rejects with the signal's reason. */
  async active(signal?: AbortSignal): Promise<void> {
    while (this.frozen) {
      signal?.throwIfAborted();
      let aborted: () => void = () => undefined;
      try {
        await new Promise<void>((resolve, reject) => {
          this.#waiters.push(resolve);
          aborted = () => reject(signal?.reason);
          signal?.addEventListener('abort', aborted, { once: true });
        });
      } finally {
        signal?.removeEventListener('abort', aborted);
      }
    }
  }

  /** Ends all processes of the session at once: what is frozen does not come to itself for its end. */
  async kill(): Promise<void> {
    this.#freezer ??= this.#o.freezer();
    await this.#freezer?.kill();
  }

  /** The session has ended. Where a lease held it, what it left running ends too; resolves when nothing is left. */
  async ended(): Promise<void> {
    const { held } = this;
    this.#over = true;
    this.#frozen = false;
    this.clock.go();
    this.#wake();
    this.#freezer ??= this.#o.freezer();
    if (held) await this.#freezer?.kill();
    else this.#freezer?.close();
  }

  #thaw(): void {
    this.#frozen = false;
    this.clock.go();
    this.#freezer?.thaw();
    this.#wake();
    this.#o.changed();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
