/** So many of something in any second, counted from the first. Pure: times come in. */
export class Quota {
  readonly #most: number;
  #from = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** One more; false where that is too many. */
  take(now: number): boolean {
    if (now - this.#from >= 1_000) {
      this.#from = now;
      this.#count = 0;
    }
    return ++this.#count <= this.#most;
  }
}
