import { NiiaError } from '../../shared/errors.ts';

/** How much input may wait for a program that does not read. */
const mostQueued = 1 << 20;
const firstRetryMs = 1;
const longestRetryMs = 50;

/**
 * Input on its way into a terminal, in order. What the terminal does not take waits here, at most 1 MiB, and is offered
 * again in growing intervals: Node cannot be told by the system when a PTY has room.
 */
export class InputQueue {
  readonly #write: (bytes: Uint8Array) => number;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;
  #waiters: Array<() => void> = [];
  /** Input of others while one has the terminal to itself; none of it is among what waits for the program. */
  #heldBack: Uint8Array[] | undefined;
  #heldBytes = 0;

  /** `write` takes what it can of the bytes and says how many. */
  constructor(write: (bytes: Uint8Array) => number) {
    this.#write = write;
  }

  /** Bytes that the program was offered and has not taken. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get #queuedBytes(): number {
    return this.#waitingBytes + this.#heldBytes;
  }

  /** Types all of `bytes` or, when too much waits already, none: `busy`. */
  typeAll(bytes: Uint8Array): void {
    const queued = this.#queuedBytes;
    if (queued > 0 && queued + bytes.length > mostQueued) {
      throw new NiiaError(
        'busy',
        `the session's program is not reading: ${queued} bytes of input wait for it`,
        'Write again once it reads, or interrupt it.',
      );
    }
    this.#holdOrPush(bytes);
  }

  /** Types `bytes`, once there is room for them; a promise while its caller shall send no more. */
  typeAtPace(bytes: Uint8Array): undefined | Promise<void> {
    this.#holdOrPush(bytes);
    if (this.#queuedBytes <= mostQueued / 2) return undefined;
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /**
   * Lets one typist have the terminal to itself: what others type waits, in order, until `release`. What it types itself,
   * and `urgent` input, goes straight on.
   */
  takeOver(): { type: (bytes: Uint8Array) => void; release: () => void } {
    if (this.#heldBack) throw new NiiaError('busy', 'the terminal is being typed into');
    this.#heldBack = [];
    return {
      type: (bytes) => this.urgent(bytes),
      release: () => {
        const held = this.#heldBack ?? [];
        this.#heldBack = undefined;
        this.#heldBytes = 0;
        for (const bytes of held) this.#push(bytes);
      },
    };
  }

  /** Types `bytes` whoever has the terminal: what a terminal itself answers to its program. */
  urgent(bytes: Uint8Array): void {
    this.#push(bytes);
  }

  /** Nothing more can be typed; what waits is dropped. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
    this.#heldBack = undefined;
    this.#heldBytes = 0;
    this.#waitingBytes = 0;
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #holdOrPush(bytes: Uint8Array): void {
    if (!this.#heldBack) {
      this.#push(bytes);
      return;
    }
    this.#heldBack.push(bytes);
    this.#heldBytes += bytes.length;
  }

  #push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#waitingBytes += bytes.length;
    this.#waiting.push(bytes);
    if (this.#timer === undefined) this.#offer();
  }

  #offer(): void {
    this.#timer = undefined;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const taken = this.#write(next);
      this.#waitingBytes -= taken;
      if (taken > 0) this.#retryMs = firstRetryMs;
      if (taken < next.length) {
        this.#waiting[0] = next.subarray(taken);
        this.#timer = setTimeout(() => this.#offer(), this.#retryMs);
        this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
        break;
      }
      this.#waiting.shift();
    }
    if (this.#queuedBytes <= mostQueued / 2) for (const wake of this.#waiters.splice(0)) wake();
  }
}
