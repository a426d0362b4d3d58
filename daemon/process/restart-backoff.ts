export const restartTiming = {
  /** Pause before the first new start. Whoever else starts it, a service manager say, is quicker. */
  firstMs: 1_000,
  longestMs: 60_000,
  /** A life this long makes up for the failures before it. */
  steadyMs: 60_000,
} as const;

/**
 * When a process that ended by itself is started again: after 1 s, then twice as long each time, up to 60 s. Pure: times
 * are milliseconds of a clock that never goes back.
 */
export class RestartBackoff {
  #failures = 0;
  #upSince: number | undefined;

  /** It works. */
  up(now: number): void {
    this.#upSince ??= now;
  }

  /** It ended, or could not be started: milliseconds until the next start. */
  ended(now: number): number {
    if (this.#upSince !== undefined && now - this.#upSince >= restartTiming.steadyMs) this.#failures = 0;
    this.#upSince = undefined;
    const pause = Math.min(restartTiming.firstMs * 2 ** this.#failures, restartTiming.longestMs);
    this.#failures = Math.min(this.#failures + 1, 16);
    return pause;
  }
}
