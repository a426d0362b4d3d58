import { TokenBucket } from '../../shared/token-bucket.ts';

/** How many datagrams are looked at, from one address and in all: what is above that is dropped unseen. */
export interface Limits {
  perSource: { perSecond: number; burst: number };
  inAll: { perSecond: number; burst: number };
}

const mostSources = 1_024;

/** Token buckets by address. Times are milliseconds of a clock that never goes back. */
export class SourceLimit {
  readonly #limits: Limits;
  readonly #sources = new Map<string, TokenBucket>();
  readonly #all: TokenBucket;

  constructor(limits: Limits, now: number) {
    this.#limits = limits;
    this.#all = new TokenBucket(limits.inAll.perSecond, limits.inAll.burst, now);
  }

  /** Whether one more from this address may pass. */
  take(address: string, now: number): boolean {
    // Its own bucket first: who is over his share takes nothing from the others'.
    return this.#bucketOf(address, now).take(1, now) && this.#all.take(1, now);
  }

  #bucketOf(address: string, now: number): TokenBucket {
    const known = this.#sources.get(address);
    // Moved to the end: the first is the one not heard of for longest.
    if (known) this.#sources.delete(address);
    const { perSecond, burst } = this.#limits.perSource;
    const bucket = known ?? new TokenBucket(perSecond, burst, now);
    this.#sources.set(address, bucket);
    const [oldest] = this.#sources.keys();
    if (this.#sources.size > mostSources && oldest !== undefined) this.#sources.delete(oldest);
    return bucket;
  }
}
