const blockBytes = 16 << 10;
/** A session that has said little costs little. */
const firstBlockBytes = 1 << 10;

interface Block {
  /** Offset in the log of its first byte. */
  start: number;
  bytes: Buffer;
  used: number;
}

/** The newest part of a log, in blocks: small appends share one, so that memory follows the bytes and not the appends. */
export class LogMemory {
  #blocks: Block[] = [];
  #end: number;

  constructor(end: number) {
    this.#end = end;
  }

  /** Offset of the oldest byte held; `end` when there is none. */
  get start(): number {
    return this.#blocks[0]?.start ?? this.#end;
  }

  get end(): number {
    return this.#end;
  }

  append(bytes: Uint8Array): void {
    let done = 0;
    while (done < bytes.length) {
      let last = this.#blocks.at(-1);
      if (!last || last.used === last.bytes.length) last = this.#addBlock(last);
      const count = Math.min(bytes.length - done, last.bytes.length - last.used);
      last.bytes.set(bytes.subarray(done, done + count), last.used);
      last.used += count;
      this.#end += count;
      done += count;
    }
  }

  /** Bytes from `offset` on, as far as they lie together and at most `most`; undefined where they are not held. */
  peek(offset: number, most: number): Uint8Array | undefined {
    if (offset < this.start || offset >= this.#end) return undefined;
    const block = this.#blocks[this.#indexOf(offset)];
    if (!block) return undefined;
    const from = offset - block.start;
    return block.bytes.subarray(from, Math.min(block.used, from + most));
  }

  /** Forgets whole blocks below `offset`. */
  dropBelow(offset: number): void {
    let count = 0;
    for (const block of this.#blocks) {
      if (block.start + block.used > offset || block.used < block.bytes.length) break;
      count++;
    }
    if (count > 0) this.#blocks.splice(0, count);
  }

  clear(): void {
    this.#blocks = [];
  }

  #addBlock(previous: Block | undefined): Block {
    const size = previous ? Math.min(blockBytes, previous.bytes.length * 4) : firstBlockBytes;
    // Not from Node's shared pool: views of a block may outlive it and must not hold others' bytes.
    const block = { start: this.#end, bytes: Buffer.allocUnsafeSlow(size), used: 0 };
    this.#blocks.push(block);
    return block;
  }

  /** Index of the block that holds `offset`, which is held. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const block = this.#blocks[middle];
      if (block && block.start <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
