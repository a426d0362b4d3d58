const half = 32 << 10;

/** A text of bounded length: the first and the last 32 KiB of what came, and how much was left out between them. */
export class Excerpt {
  #head = Buffer.alloc(0);
  #tail = Buffer.alloc(0);
  #dropped = 0;

  add(bytes: Uint8Array): void {
    const room = half - this.#head.length;
    if (room > 0) this.#head = Buffer.concat([this.#head, bytes.subarray(0, room)]);
    const rest = bytes.subarray(Math.max(0, room));
    if (rest.length === 0) return;
    const tail = Buffer.concat([this.#tail, rest]);
    const over = Math.max(0, tail.length - half);
    this.#dropped += over;
    this.#tail = tail.subarray(over);
  }

  /** As UTF-8; what is not is replaced. */
  get text(): string {
    if (this.#dropped === 0) return Buffer.concat([this.#head, this.#tail]).toString('utf8');
    return `${this.#head.toString('utf8')}\n[… ${this.#dropped} bytes left out …]\n${this.#tail.toString('utf8')}`;
  }
}
