import { bootMs } from '../../home/boot-clock.ts';
import type { SessionLease } from './session-lease.ts';

/** Timers do not count sleep: however far off the end of a lease is, it is looked at this often. */
const lookMs = 500;
const lookAtFrozenMs = 1000;

/** Freezes sessions when their leases run out. */
export class LeaseWatch {
  readonly #leases = new Set<SessionLease>();
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;

  /** Watches over this lease from now on; again where it was put off. */
  watch(lease: SessionLease): void {
    this.#leases.add(lease);
    this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#leases.clear();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    for (const lease of this.#leases) if (!lease.held) this.#leases.delete(lease);
    if (this.#leases.size === 0) return;
    const now = bootMs();
    let next = lookMs;
    for (const { dueAt } of this.#leases) if (dueAt !== undefined) next = Math.min(next, dueAt - now);
    this.#timer = setTimeout(() => this.#look(), Math.max(0, next));
    this.#timer.unref();
  }

  #look(): void {
    const now = bootMs();
    const again = now - this.#lookedAt >= lookAtFrozenMs;
    if (again) this.#lookedAt = now;
    for (const lease of this.#leases) {
      lease.check();
      if (again) lease.look();
    }
    this.#arm();
  }
}
