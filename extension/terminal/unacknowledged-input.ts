/**
 * What a viewer typed and the session has not confirmed yet, addressed by its offset in everything this viewer ever
 * typed: what a new connection has to send again, so that each byte is typed once.
 */
export class UnacknowledgedInput {
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  #base = 0;
  #length = 0;

  /** `limit`: the most bytes that may wait. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Offset of the first byte that is not confirmed. */
  get base(): number {
    return this.#base;
  }

  /** Offset behind the last byte typed. */
  get end(): number {
    return this.#base + this.#length;
  }

  /** False, and nothing is kept, where too much waits. */
  add(bytes: Uint8Array): boolean {
    if (this.#length + bytes.length > this.#limit) return false;
    if (bytes.length > 0) this.#chunks.push(bytes);
    this.#length += bytes.length;
    return true;
  }

  /** The session has typed all before `offset`. */
  confirm(offset: number): void {
    let count = Math.min(offset, this.end) - this.#base;
    if (count <= 0) return;
    this.#base += count;
    this.#length -= count;
    while (count > 0) {
      const first = this.#chunks[0];
      if (!first) return;
      if (first.length > count) {
        this.#chunks[0] = first.subarray(count);
        return;
      }
      this.#chunks.shift();
      count -= first.length;
    }
  }

  /** What is not confirmed, from `base` on. */
  pending(): readonly Uint8Array[] {
    return this.#chunks;
  }
}
