import type { FromHelper, ToHelper } from './helper-protocol.ts';
import { helperLimits } from './helper-protocol.ts';
import type { RtcEvents, RtcOptions } from './rtc.ts';
import { RtcConnection } from './rtc.ts';

/** The daemon, as one connection sees it. */
export interface DaemonSide {
  control(message: FromHelper): void;
  data(bytes: Uint8Array): void;
  credit(bytes: number): void;
  /** After `closed`: nothing more comes from this connection. */
  ended(): void;
}

/** What the channel may hold above what its SCTP association has taken on. */
const channelHigh = 128 << 10;
/** Between two looks at a channel that is full, milliseconds; doubles up to the longest while nothing leaves. */
const shortestLook = 1;
const longestLook = 16;

/** Joins one WebRTC connection to the pipe, with backpressure both ways. */
export class HelperConnection {
  readonly #daemon: DaemonSide;
  readonly #rtc: RtcConnection;
  #queue: Uint8Array[] = [];
  /** Bytes that may be handed to the channel before its buffer is looked at: a look crosses threads (15 µs). */
  #allowance = 0;
  #look: NodeJS.Timeout | undefined;
  #lookMs = shortestLook;
  /** Handed to the channel since the daemon was last told. */
  #handed = 0;
  #unacknowledged = 0;
  #signals = 0;
  #ending = false;
  #closed = false;

  constructor(options: RtcOptions, daemon: DaemonSide) {
    this.#daemon = daemon;
    const events: RtcEvents = {
      signal: (signal) => daemon.control({ type: 'signal', signal }),
      connected: () => daemon.control({ type: 'connected' }),
      message: (bytes) => this.#receive(bytes),
      closed: (error) => this.#finish(error),
    };
    this.#rtc = new RtcConnection(options, events);
  }

  control(message: ToHelper): void {
    switch (message.type) {
      case 'signal':
        this.#signals++;
        if (this.#signals <= helperLimits.signals) this.#rtc.signal(message.signal);
        return;
      case 'close':
        if (message.abrupt) this.#queue = [];
        this.#ending = true;
        this.#pump();
        return;
      case 'open':
      case 'ping':
        throw new RangeError(`"${message.type}" is not for an open connection`);
    }
  }

  send(bytes: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#queue.push(bytes);
    if (!this.#look) this.#pump();
  }

  /** The daemon has taken so much of what was received. */
  credit(bytes: number): void {
    this.#unacknowledged -= bytes;
  }

  #receive(bytes: Uint8Array): void {
    if (bytes.length > helperLimits.message) {
      this.#fail(new Error(`the other side sent a message of ${bytes.length} bytes`));
      return;
    }
    // A channel cannot be told to wait. An honest link stops long before this.
    this.#unacknowledged += bytes.length;
    if (this.#unacknowledged > helperLimits.incoming) {
      this.#fail(new Error('the other side sends more than is taken'));
      return;
    }
    this.#daemon.data(bytes);
  }

  #fail(error: Error): void {
    this.#finish(error);
    this.#rtc.end();
  }

  #pump(): void {
    clearTimeout(this.#look);
    this.#look = undefined;
    let handed = 0;
    for (let next = this.#queue[0]; next && !this.#closed; next = this.#queue[0]) {
      if (this.#allowance <= 0) {
        this.#allowance = channelHigh - this.#rtc.bufferedAmount;
        if (this.#allowance <= 0) break;
      }
      this.#queue.shift();
      this.#allowance -= next.length;
      handed += next.length;
      this.#rtc.send(next);
    }
    if (this.#closed) return;
    this.#handed += handed;
    if (this.#handed >= helperLimits.creditStep) {
      this.#daemon.credit(this.#handed);
      this.#handed = 0;
    }
    if (this.#queue.length > 0) {
      this.#lookMs = handed > 0 ? shortestLook : Math.min(longestLook, this.#lookMs * 2);
      this.#look = setTimeout(() => this.#pump(), this.#lookMs);
    } else if (this.#ending) this.#rtc.end();
  }

  #finish(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#look);
    this.#queue = [];
    this.#daemon.control({ type: 'closed', ...(error ? { error: error.message } : {}) });
    this.#daemon.ended();
  }
}
