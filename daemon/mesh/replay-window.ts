const size = 1024;

/** Which counters were seen: each is new once; those more than 1023 below the highest count as seen. (RFC 6479) */
export class ReplayWindow {
  readonly #seen = new Uint32Array(size / 32);
  #next = 0;

  isNew(counter: number): boolean {
    if (counter >= this.#next) return true;
    if (counter < this.#next - size) return false;
    return ((this.#seen[(counter % size) >>> 5] ?? 0) & (1 << (counter % 32))) === 0;
  }

  /** Only for counters that proved themselves. */
  mark(counter: number): void {
    if (counter >= this.#next + size) this.#seen.fill(0);
    else for (let n = this.#next; n < counter; n++) this.#clear(n);
    const at = (counter % size) >>> 5;
    this.#seen[at] = (this.#seen[at] ?? 0) | (1 << (counter % 32));
    this.#next = Math.max(this.#next, counter + 1);
  }

  #clear(counter: number): void {
    const at = (counter % size) >>> 5;
    this.#seen[at] = (this.#seen[at] ?? 0) & ~(1 << (counter % 32));
  }
}
