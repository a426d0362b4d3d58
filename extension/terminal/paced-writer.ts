export interface PacedWriterOptions {
  /** Takes text on; called in order. */
  write: (text: string) => void;
  /** Milliseconds between two writes. */
  everyMs: number;
  /** Most bytes of one write. */
  most: number;
  /** Bytes that may wait before `push` asks its caller to. */
  highWater: number;
  setTimer?: (callback: () => void, ms: number) => NodeJS.Timeout;
  clearTimer?: (timer: NodeJS.Timeout) => void;
}

/**
 * Bytes on their way to a receiver that takes text and cannot say that it has enough: the first at once, so that an
 * echo is not late; what follows together, at a bounded rate. Characters are put together across chunks.
 */
export class PacedWriter {
  readonly #options: PacedWriterOptions;
  readonly #setTimer: (callback: () => void, ms: number) => NodeJS.Timeout;
  readonly #clearTimer: (timer: NodeJS.Timeout) => void;
  #decoder = new TextDecoder();
  #queue: Uint8Array[] = [];
  #queued = 0;
  #timer: NodeJS.Timeout | undefined;
  #waiters: Array<() => void> = [];
  #disposed = false;

  constructor(options: PacedWriterOptions) {
    this.#options = options;
    this.#setTimer = options.setTimer ?? setTimeout;
    this.#clearTimer = options.clearTimer ?? clearTimeout;
  }

  /** A promise where too much waits: it resolves when half of that has gone. */
  push(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#disposed || bytes.length === 0) return undefined;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (this.#timer === undefined) this.#turn();
    if (this.#queued < this.#options.highWater) return undefined;
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Forgets what waits, a broken character included. */
  clear(): void {
    this.#queue = [];
    this.#queued = 0;
    this.#decoder = new TextDecoder();
    this.#wake();
  }

  /** Writes all that waits. */
  flush(): void {
    while (this.#queued > 0) this.#writeSome();
    this.#wake();
  }

  dispose(): void {
    this.#disposed = true;
    if (this.#timer !== undefined) this.#clearTimer(this.#timer);
    this.#timer = undefined;
    this.clear();
  }

  #turn(): void {
    this.#timer = undefined;
    if (this.#queued === 0) return;
    // Before the write, so that what it causes is paced as well.
    this.#timer = this.#setTimer(() => this.#turn(), this.#options.everyMs);
    this.#writeSome();
    if (this.#queued < this.#options.highWater / 2) this.#wake();
  }

  #writeSome(): void {
    let room = this.#options.most;
    let text = '';
    while (room > 0) {
      const next = this.#queue[0];
      if (!next) break;
      const part = next.subarray(0, room);
      if (part.length === next.length) this.#queue.shift();
      else this.#queue[0] = next.subarray(room);
      room -= part.length;
      this.#queued -= part.length;
      text += this.#decoder.decode(part, { stream: true });
    }
    if (text !== '') this.#options.write(text);
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
