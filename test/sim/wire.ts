import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import type { MachineClock, SimTime } from './clock.ts';

export interface WireShape {
  /** One way, milliseconds. */
  delay: number;
  /** Added at random, without changing the order. */
  jitter: number;
  /** Bytes a millisecond. */
  rate: number;
}

const highWatermark = 128 << 10;

/** What can go wrong in one direction. */
export type Trouble = 'none' | 'held' | 'dropped';

/** One direction and end of a simulated wire: ordered, delayed, limited in rate; nothing is lost but by trouble. */
export class SimEnd implements Transport {
  readonly #time: SimTime;
  readonly #clock: MachineClock;
  readonly #shape: WireShape;
  /** Bytes a millisecond, now. */
  rate: number;
  readonly #random: () => number;
  #other: SimEnd | undefined;
  #handler: TransportHandler | undefined;
  #inbox: Uint8Array[] = [];
  #queued = 0;
  /** Under way, in order. */
  #transit: Uint8Array[] = [];
  #busyUntil = 0;
  #lastArrival = 0;
  #blocked = false;
  #closed = false;
  #dead = false;
  trouble: Trouble = 'none';
  #held: Uint8Array[] = [];
  /** Sees each message that leaves here. */
  tap: ((message: Uint8Array) => void) | undefined;
  /** Which messages do not get lost on the way. */
  passes: (message: Uint8Array) => boolean = () => true;

  constructor(time: SimTime, clock: MachineClock, shape: WireShape, random: () => number) {
    this.#time = time;
    this.#clock = clock;
    this.#shape = shape;
    this.rate = shape.rate;
    this.#random = random;
  }

  static pair(a: SimEnd, b: SimEnd): void {
    a.#other = b;
    b.#other = a;
  }

  get closed(): boolean {
    return this.#closed;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    if (this.#inbox.length > 0) this.#time.after(0, () => this.#deliver());
  }

  get writable(): boolean {
    if (!this.#closed && this.#queued >= highWatermark) this.#blocked = true;
    return !this.#closed && this.#queued < highWatermark;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.#closed) return;
    const message = Buffer.concat(body ? [head, body] : [head]);
    this.tap?.(message);
    this.#put(message);
  }

  /** The other end learns of it, unless the way there is in trouble. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.closed(error);
    const other = this.#other;
    if (!other || this.trouble !== 'none') return;
    this.#time.at(Math.max(this.#time.now + this.#shape.delay, this.#lastArrival), () => {
      if (this.trouble === 'none') other.#awake(() => other.close());
    });
  }

  /** The way is free and quick again: what was held arrives. */
  mend(): void {
    this.trouble = 'none';
    if (this.rate !== this.#shape.rate) this.#hurry();
    this.passes = () => true;
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.#arrive(message);
  }

  /** The machine at this end is gone without a word. */
  die(): void {
    this.#dead = true;
    this.#closed = true;
  }

  /** Puts a message on the wire that nobody sent. */
  inject(message: Uint8Array): void {
    if (!this.#closed) this.#put(message);
  }

  /** What waits for its turn on a slow wire goes on at the rate that it has now. */
  #hurry(): void {
    this.rate = this.#shape.rate;
    this.#busyUntil = this.#time.now;
    this.#lastArrival = this.#time.now;
    const waiting = this.#transit;
    this.#transit = [];
    for (const message of waiting) this.#send(message);
  }

  #put(message: Uint8Array): void {
    this.#queued += message.length;
    this.#send(message);
  }

  #send(message: Uint8Array): void {
    const start = Math.max(this.#time.now, this.#busyUntil);
    this.#busyUntil = start + message.length / this.rate;
    const arrival = this.#busyUntil + this.#shape.delay + this.#shape.jitter * this.#random();
    this.#lastArrival = Math.max(this.#lastArrival, arrival);
    const transit = this.#transit;
    transit.push(message);
    this.#time.at(this.#lastArrival, () => {
      if (transit !== this.#transit) return;
      transit.shift();
      this.#arrive(message);
    });
  }

  #arrive(message: Uint8Array): void {
    if (this.trouble === 'held') {
      this.#held.push(message);
      return;
    }
    this.#queued -= message.length;
    if (this.#blocked && this.#queued < highWatermark / 2 && !this.#closed) {
      this.#blocked = false;
      this.#awake(() => {
        if (!this.#closed) this.#handler?.writable();
      });
    }
    const other = this.#other;
    if (this.#dead || this.trouble === 'dropped' || !this.passes(message) || !other || other.#closed) return;
    other.#inbox.push(message);
    other.#deliver();
  }

  #deliver(): void {
    if (!this.#handler || this.#closed) return;
    if (this.#clock.frozen) {
      this.#clock.whenAwake(() => this.#deliver());
      return;
    }
    for (let message = this.#inbox.shift(); message && !this.#closed; message = this.#inbox.shift()) {
      this.#handler.message(message);
    }
  }

  #awake(run: () => void): void {
    if (this.#clock.frozen) this.#clock.whenAwake(run);
    else run();
  }
}
