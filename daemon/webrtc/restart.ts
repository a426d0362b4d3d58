/** A life this long makes up for all failures before it, milliseconds. */
const goodLife = 60_000;
const firstPause = 1_000;
const longestPause = 60_000;

/**
 * When a helper may be started again after one that ended by itself. Pure. A crash is forgiven at once; what dies before
 * it was of use, or crashes again, waits 1 s, then twice as long each time, up to 60 s.
 */
export class RestartPause {
  #failures = 0;

  /** Milliseconds until the next start. */
  after({ ready, lifeMs }: { ready: boolean; lifeMs: number }): number {
    if (lifeMs >= goodLife) this.#failures = 0;
    this.#failures++;
    const doublings = this.#failures - (ready ? 2 : 1);
    return doublings < 0 ? 0 : Math.min(longestPause, firstPause * 2 ** Math.min(doublings, 16));
  }
}
