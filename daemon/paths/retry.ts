/** Pauses between attempts, milliseconds. */
export const retryTiming = {
  firstMs: 2_000,
  longestMs: 60_000,
  /** Where nothing works at all, and what is waited for is missed. */
  urgentMs: 500,
  /** What lasted this long is tried again at once when it ends. */
  steadyMs: 30_000,
} as const;

/** When to try a thing again that may fail for a long time. Pure: times are milliseconds of a clock that never goes back. */
export class Retry {
  #failures = 0;
  #dueAt = 0;
  #wellSince: number | undefined;
  readonly #random: () => number;

  /** `random` (0 to 1) spreads the attempts of many machines. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  get dueAt(): number {
    return this.#dueAt;
  }

  /** `urgent`: the next attempt follows soon, however many have failed. */
  failed(now: number, urgent = false): void {
    const pause = urgent
      ? retryTiming.urgentMs
      : Math.min(retryTiming.firstMs * 2 ** this.#failures, retryTiming.longestMs);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#dueAt = now + pause * (0.9 + 0.2 * this.#random());
    this.#wellSince = undefined;
  }

  succeeded(now: number): void {
    this.#wellSince = now;
  }

  /** What succeeded came to its end: the next attempt follows soon, unless it never lasts. */
  ended(now: number): void {
    if (this.#wellSince !== undefined && now - this.#wellSince >= retryTiming.steadyMs) this.reset(now);
    else this.failed(now);
  }

  /** Things have changed: what failed before may go well now. */
  reset(now: number): void {
    this.#failures = 0;
    this.#dueAt = now;
    this.#wellSince = undefined;
  }
}
