import { TokenBucket } from '../../shared/token-bucket.ts';

/** Direct paths that one machine may open here: at once, and a second over time. */
export const dialLimits = { burst: 6, perSecond: 0.5 } as const;

/**
 * A machine whose paths were closed for what came over them may not come back at once, again and again. Pure: times are
 * milliseconds of a clock that never goes back.
 */
export class DialLimit {
  readonly #buckets = new Map<string, TokenBucket>();

  /** Whether one more path of this machine may be taken. */
  take(machine: string, now: number): boolean {
    for (const [known, bucket] of this.#buckets) if (bucket.full(now)) this.#buckets.delete(known);
    const bucket = this.#buckets.get(machine) ?? new TokenBucket(dialLimits.perSecond, dialLimits.burst, now);
    this.#buckets.set(machine, bucket);
    return bucket.take(1, now);
  }

  /** Machines that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }
}
