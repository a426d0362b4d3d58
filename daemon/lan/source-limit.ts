/** How many datagrams are looked at, from one address and in all: what is above that is dropped unseen. */
export interface Limits {
  perSource: { perSecond: number; burst: number };
  inAll: { perSecond: number; burst: number };
}

const mostSources = 1_024;

/** Token buckets by address. Times are milliseconds of a clock that never goes back. */
export class SourceLimit {
  readonly #limits: Limits;
  readonly #sources = new Map<string, Bucket>();
  readonly #all: Bucket;

  constructor(limits: Limits, now: number) {
    this.#limits = limits;
    this.#all = { tokens: limits.inAll.burst, at: now };
  }

  /** Whether one more from this address may pass. */
  take(address: string, now: number): boolean {
    const { perSource, inAll } = this.#limits;
    // Its own bucket first: who is over his share takes nothing from the others'.
    return takeFrom(this.#bucketOf(address, now), perSource, now) && takeFrom(this.#all, inAll, now);
  }

  #bucketOf(address: string, now: number): Bucket {
    const known = this.#sources.get(address);
    // Moved to the end: the first is the one not heard of for longest.
    if (known) this.#sources.delete(address);
    const bucket = known ?? { tokens: this.#limits.perSource.burst, at: now };
    this.#sources.set(address, bucket);
    const [oldest] = this.#sources.keys();
    if (this.#sources.size > mostSources && oldest !== undefined) this.#sources.delete(oldest);
    return bucket;
  }
}

interface Bucket {
  tokens: number;
  at: number;
}

function takeFrom(bucket: Bucket, { perSecond, burst }: { perSecond: number; burst: number }, now: number): boolean {
  bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * perSecond) / 1000);
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}
