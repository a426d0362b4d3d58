/** More than anybody types while a connection is away, and room for a large paste. */
const mostUnacknowledged = 1 << 20;

/**
 * What a viewer typed, by offset, until the session says that it has it: after a broken connection the rest goes out
 * again, and the session drops what it knows already.
 */
export class InputLog {
  #chunks: Uint8Array[] = [];
  #acknowledged = 0;
  #end = 0;

  /** Offset of the first byte that may not have been typed yet. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get unacknowledgedBytes(): number {
    return this.#end - this.#acknowledged;
  }

  /** Keeps `bytes` until they are acknowledged; false, keeping none, where there is no room for them. */
  add(bytes: Uint8Array): boolean {
    if (this.unacknowledgedBytes + bytes.length > mostUnacknowledged) return false;
    this.#chunks.push(bytes);
    this.#end += bytes.length;
    return true;
  }

  /** Everything before `offset` was typed. What was never sent cannot have been. */
  acknowledge(offset: number): void {
    let count = Math.min(offset, this.#end) - this.#acknowledged;
    if (count <= 0) return;
    this.#acknowledged += count;
    while (count > 0) {
      const chunk = this.#chunks[0];
      if (!chunk) return;
      if (chunk.length <= count) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(count);
      count -= Math.min(chunk.length, count);
    }
  }

  /** What has to be sent again, in order. */
  get unacknowledged(): readonly Uint8Array[] {
    return this.#chunks;
  }
}
