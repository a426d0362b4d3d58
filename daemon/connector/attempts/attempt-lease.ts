import { setTimeout as delay } from 'node:timers/promises';
import type { Lease } from '../../../shared/connector/definition.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { bootMs } from '../../home/boot-clock.ts';
import { abortable } from './abortable.ts';

/** After a renewal that failed the next one goes out this soon. */
const retryMs = 1000;
/** A renewal that takes longer is given up, and made anew: another path may be there. */
const leastRenewalMs = 1000;

export interface AttemptLeaseOptions {
  lease: Pick<Lease, 'ttlMs' | 'renewMs'>;
  /** Until when it holds at first, milliseconds since boot; undefined: it does not hold before it is renewed. */
  until: number | undefined;
  /** Asks the coordinator; rejects with `fenced` where that says so. `sending` is called when the request goes out. */
  renew: (sending: () => void, signal: AbortSignal) => Promise<void>;
  /** It holds until then. */
  extended: (until: number) => void;
  fenced: () => void;
  now?: () => number;
}

/** An attempt's hold on its work. It is renewed as long as it is open, and what must not happen without it waits for it. */
export class AttemptLease {
  readonly #o: AttemptLeaseOptions;
  readonly #now: () => number;
  readonly #closed = new AbortController();
  #until: number;
  #hurry = new AbortController();
  #waiters: Array<() => void> = [];
  #running: Promise<void> | undefined;
  /** Counts renewals: those that were begun, and the last that was answered. */
  #began = 0;
  #toldOf = 0;

  constructor(options: AttemptLeaseOptions) {
    this.#o = options;
    this.#now = options.now ?? bootMs;
    this.#until = options.until ?? Number.NEGATIVE_INFINITY;
  }

  /** Until when it holds, milliseconds since boot. */
  get until(): number {
    return this.#until;
  }

  get holds(): boolean {
    return this.#now() < this.#until;
  }

  open(): void {
    this.#running ??= this.#renewAgainAndAgain();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#hurry.abort();
    await this.#running;
  }

  /** Renews it now: there is something to tell. */
  soon(): void {
    this.#hurry.abort();
  }

  /** Resolves while it holds: nothing of the attempt may take effect before. Rejects with the signal's reason. */
  async active(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (!this.holds) {
      this.soon();
      await this.#answered(signal);
    }
  }

  /** Resolves when the coordinator has answered a renewal that was begun after now: it knows what that told. */
  async told(signal: AbortSignal): Promise<void> {
    const began = this.#began;
    while (this.#toldOf <= began) {
      this.soon();
      await this.#answered(signal);
    }
    await this.active(signal);
  }

  /** Resolves at the next renewal that is answered. Rejects with the signal's reason. */
  async #answered(signal: AbortSignal): Promise<void> {
    let wake: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => {
      wake = resolve;
      this.#waiters.push(resolve);
    });
    try {
      await abortable(answered, signal);
    } finally {
      this.#waiters = this.#waiters.filter((waiter) => waiter !== wake);
    }
  }

  async #renewAgainAndAgain(): Promise<void> {
    const { renewMs } = this.#o.lease;
    while (!this.#closed.signal.aborted) {
      this.#hurry = new AbortController();
      const renewed = await this.#renew();
      if (renewed === 'fenced') return;
      const pause = renewed === 'yes' ? renewMs : Math.min(renewMs, retryMs);
      const early = AbortSignal.any([this.#hurry.signal, this.#closed.signal]);
      await delay(pause, undefined, { signal: early }).catch(() => undefined);
    }
  }

  async #renew(): Promise<'yes' | 'no' | 'fenced'> {
    const late = AbortSignal.timeout(Math.max(this.#o.lease.renewMs, leastRenewalMs));
    const signal = AbortSignal.any([late, this.#closed.signal]);
    let sentAt = this.#now();
    const number = ++this.#began;
    const sending = (): void => {
      sentAt = this.#now();
    };
    try {
      await abortable(this.#o.renew(sending, signal), signal);
    } catch (error) {
      if (this.#closed.signal.aborted || NiiaError.from(error).code !== 'fenced') return 'no';
      this.#o.fenced();
      return 'fenced';
    }
    if (this.#closed.signal.aborted) return 'no';
    // From when it was sent: the coordinator counts from when it arrived, which is later.
    this.#until = Math.max(this.#until, sentAt + this.#o.lease.ttlMs);
    this.#toldOf = number;
    if (this.holds) for (const wake of this.#waiters.splice(0)) wake();
    this.#o.extended(this.#until);
    return 'yes';
  }
}
