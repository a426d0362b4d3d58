import { linkTiming as timing } from './link-timing.ts';

/** A rate is measured over spans of this length, in milliseconds. */
const spanMs = 1_000;

/**
 * How fast one path delivered while more was waiting than it took: bytes a millisecond. What is measured when nothing
 * waits says how much there was to say, and is not counted. Pure: times come in.
 */
export class LinkRate {
  /** When the last whole span ended. */
  #at = Number.NEGATIVE_INFINITY;
  #rate: number | undefined;
  #fresh = false;
  /** Since when data waited without a break, and the span under way. */
  #waitingSince: number | undefined;
  #start = 0;
  #bytes = 0;

  /** Data begins to flow here: what was measured before stands until there is something newer. */
  begin(): void {
    this.#waitingSince = undefined;
    this.#fresh = true;
  }

  /** So many bytes arrived; `waiting`: there was more to send than could be sent. */
  delivered(bytes: number, waiting: boolean, now: number): void {
    if (!waiting) {
      this.#waitingSince = undefined;
      return;
    }
    if (this.#waitingSince === undefined) {
      this.#waitingSince = now;
      this.#start = now;
      this.#bytes = 0;
      return;
    }
    this.#bytes += bytes;
    if (now - this.#start < spanMs) return;
    const rate = this.#bytes / (now - this.#start);
    this.#rate = this.#fresh || this.#rate === undefined ? rate : (this.#rate + rate) / 2;
    this.#fresh = false;
    this.#at = now;
    this.#start = now;
    this.#bytes = 0;
  }

  /** What was measured not too long ago. */
  known(now: number): number | undefined {
    return now - this.#at < timing.rateMs ? this.#rate : undefined;
  }

  /** What it delivers now, once data has waited here for long enough to tell. */
  present(now: number): number | undefined {
    if (this.#waitingSince === undefined || now - this.#waitingSince < timing.crawlMs) return undefined;
    const underWay = this.#bytes / Math.max(now - this.#start, spanMs);
    return this.#fresh ? underWay : Math.max(this.#rate ?? 0, underWay);
  }
}
