/** A line without an end is broken after so many bytes. */
const longestLine = 1 << 20;

/** Puts a prefix before each line of a stream, and hands on whole lines only, whatever pieces the bytes come in. */
export class LinePrefix {
  readonly #prefix: Buffer;
  #carry: Buffer[] = [];
  #carried = 0;

  constructor(prefix: string) {
    this.#prefix = Buffer.from(prefix);
  }

  /** The lines that are whole now, each with its prefix and its end. */
  take(bytes: Uint8Array): Buffer {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      lines.push(this.#prefix, ...this.#carry, Buffer.from(bytes.subarray(from, at + 1)));
      this.#carry = [];
      this.#carried = 0;
      from = at + 1;
    }
    if (from < bytes.length) {
      this.#carry.push(Buffer.from(bytes.subarray(from)));
      this.#carried += bytes.length - from;
    }
    if (this.#carried >= longestLine) lines.push(this.end());
    return Buffer.concat(lines);
  }

  /** What is left without an end of line, which it is given. */
  end(): Buffer {
    if (this.#carried === 0) return Buffer.alloc(0);
    const line = Buffer.concat([this.#prefix, ...this.#carry, Buffer.from('\n')]);
    this.#carry = [];
    this.#carried = 0;
    return line;
  }
}
