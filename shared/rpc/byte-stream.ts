import { NiiaError } from '../errors.ts';
import { limits } from '../protocol/limits.ts';

/**
 * The sending end of one byte stream of a call. Bytes leave while the receiver has granted credit and wait here
 * otherwise; a caller that respects `room` never makes it hold more than one write.
 */
export class ByteSink {
  readonly #send: (bytes: Uint8Array) => void;
  readonly #sendEnd: () => void;
  #credit: number = limits.window;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #ended = false;
  #endSent = false;
  #failed: NiiaError | undefined;
  #waiters: Array<{ resolve: () => void; reject: (error: Error) => void }> = [];
  /** Called when credit arrives and nothing waits: the moment to write more. */
  onRoom: (() => void) | undefined;

  constructor(send: (bytes: Uint8Array) => void, sendEnd: () => void) {
    this.#send = send;
    this.#sendEnd = sendEnd;
  }

  /** Bytes that would leave at once. */
  get room(): number {
    return this.#ended || this.#failed || this.#pendingBytes > 0 ? 0 : this.#credit;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Sends or queues `bytes`, which must not be changed afterwards; false once they have to wait. */
  write(bytes: Uint8Array): boolean {
    if (this.#ended || this.#failed || bytes.length === 0) return this.room > 0;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#flush();
    return this.room > 0;
  }

  /** Resolves when there is room again; rejects when the call is over. */
  async ready(): Promise<void> {
    if (this.#failed) throw this.#failed;
    if (this.room > 0 || this.#ended) return;
    await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Writes all of `bytes` at the receiver's pace. */
  async writeAll(bytes: Uint8Array): Promise<void> {
    this.write(bytes);
    await this.flushed();
  }

  /** Resolves when nothing waits for credit any more. */
  async flushed(): Promise<void> {
    while (this.#pendingBytes > 0) {
      if (this.#failed) throw this.#failed;
      await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
  }

  /** No more bytes will follow; those that wait still leave first. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#flush();
  }

  /** The receiver consumed `bytes`. Throws `too_large` where it grants more than a window, which it cannot have consumed. */
  grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > limits.window) throw new NiiaError('too_large', 'a stream was granted more than its window');
    this.#flush();
    if (this.#pendingBytes > 0) return;
    this.#wake();
    if (!this.#ended) this.onRoom?.();
  }

  fail(error: NiiaError): void {
    this.#failed ??= error;
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  #flush(): void {
    while (this.#credit > 0) {
      const next = this.#pending[0];
      if (!next) break;
      const count = Math.min(next.length, this.#credit, limits.data);
      if (count === next.length) this.#pending.shift();
      else this.#pending[0] = next.subarray(count);
      this.#credit -= count;
      this.#pendingBytes -= count;
      this.#send(count === next.length ? next : next.subarray(0, count));
    }
    if (this.#ended && !this.#endSent && this.#pendingBytes === 0 && !this.#failed) {
      this.#endSent = true;
      this.#sendEnd();
    }
    if (this.#ended && this.#pendingBytes === 0) this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }
}

/** Chunks that wait are joined up to this size, so that crumbs do not cost a hundred times their bytes. */
const joinBelow = 4 << 10;

/**
 * The receiving end of one byte stream of a call. Bytes wait (at most one window of them) until someone consumes them;
 * credit goes back as they are consumed. Use either `onData` or iteration.
 */
export class ByteSource implements AsyncIterable<Uint8Array> {
  readonly #grant: (bytes: number) => void;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #received = 0;
  #granted: number = limits.window;
  #toGrant = 0;
  #ended = false;
  #error: NiiaError | undefined;
  #consumer: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  #busy = false;
  /** Resolves when the last byte was consumed; rejects when the call broke off before the end. */
  readonly done: Promise<void>;
  #resolveDone: () => void = () => undefined;
  #rejectDone: (error: Error) => void = () => undefined;

  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
    this.done = new Promise((resolve, reject) => {
      this.#resolveDone = resolve;
      this.#rejectDone = reject;
    });
    // Whoever does not wait for the end hears of a broken call through its response.
    this.done.catch(() => undefined);
  }

  /** Consumes every chunk, one at a time where `consumer` returns a promise; credit follows consumption. */
  onData(consumer: (bytes: Uint8Array) => void | Promise<void>): void {
    this.#consumer = consumer;
    this.#drain();
  }

  /** Discards whatever comes. */
  discard(): void {
    this.onData(() => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let release: (() => void) | undefined;
    let wake: () => void = () => undefined;
    this.onData((bytes) => {
      chunks.push(bytes);
      wake();
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    let over = false;
    let failure: unknown;
    this.done.then(
      () => {
        over = true;
        wake();
      },
      (error: unknown) => {
        over = true;
        failure = error;
        wake();
      },
    );
    for (;;) {
      const chunk = chunks.shift();
      if (chunk) {
        yield chunk;
        release?.();
      } else if (over) {
        if (failure) throw failure;
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }

  /** Called by the peer. Throws `too_large` when the sender ignores its credit. */
  push(bytes: Uint8Array): void {
    if (this.#ended || this.#error || bytes.length === 0) return;
    this.#received += bytes.length;
    if (this.#received > this.#granted) throw new NiiaError('too_large', 'a stream was sent more than its credit');
    const last = this.#waiting.at(-1);
    if (last && last.length + bytes.length <= joinBelow) this.#waiting.splice(-1, 1, joined(last, bytes));
    else this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#drain();
  }

  /** Bytes that came and are not consumed. */
  get waiting(): number {
    return this.#waitingBytes;
  }

  end(): void {
    this.#ended = true;
    this.#drain();
  }

  fail(error: NiiaError): void {
    if (this.#ended || this.#error) return;
    this.#error = error;
    this.#drain();
  }

  #drain(): void {
    while (!this.#busy && this.#consumer) {
      const next = this.#waiting.shift();
      if (!next) break;
      this.#waitingBytes -= next.length;
      const result = this.#consumer(next);
      if (result === undefined) {
        this.#consumed(next.length);
        continue;
      }
      this.#busy = true;
      result.then(
        () => {
          this.#busy = false;
          this.#consumed(next.length);
          this.#drain();
        },
        (error: unknown) => {
          this.#busy = false;
          this.#waiting = [];
          this.#waitingBytes = 0;
          this.#error ??= NiiaError.from(error);
          this.#drain();
        },
      );
    }
    if (this.#busy || this.#waiting.length > 0) return;
    if (this.#ended) this.#resolveDone();
    else if (this.#error) this.#rejectDone(this.#error);
  }

  /** Credit goes back in steps of a quarter window, so that it costs few frames. */
  #consumed(bytes: number): void {
    this.#toGrant += bytes;
    if (this.#toGrant < limits.window / 4 || this.#ended) return;
    this.#granted += this.#toGrant;
    this.#grant(this.#toGrant);
    this.#toGrant = 0;
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
