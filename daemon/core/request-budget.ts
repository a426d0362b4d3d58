import { NiiaError } from '../../shared/errors.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';

/** What one machine of the team may ask of this one. No person and no program that works comes near it. */
export const requestLimits = {
  /** Requests a second, over time, and at once. */
  perSecond: 500,
  burst: 1_000,
  /** Refusals until the link is given up: whoever goes on asking after so many means harm, or is broken. */
  refusals: 1_000,
} as const;

/** The requests of one link, counted. Pure: times are milliseconds of a clock that never goes back. */
export class RequestBudget {
  readonly #bucket: TokenBucket;
  #refusals = 0;

  constructor(now: number) {
    this.#bucket = new TokenBucket(requestLimits.perSecond, requestLimits.burst, now);
  }

  /** Takes one request in. Throws `busy` where there are too many. */
  take(now: number): void {
    if (this.#bucket.full(now)) this.#refusals = 0;
    if (this.#bucket.take(1, now)) return;
    this.#refusals++;
    throw new NiiaError('busy', `more than ${requestLimits.perSecond} requests a second`, 'Ask less often.');
  }

  /** The link is to be ended. */
  get exhausted(): boolean {
    return this.#refusals >= requestLimits.refusals;
  }
}
