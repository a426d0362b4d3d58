/** A data frame as it goes on the wire, always the same bytes however often it is sent. */
export interface OutFrame {
  readonly counter: number;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly size: number;
  /** When it was last sent. */
  sentAt: number;
}

/** Everything written and not yet acknowledged, in order; `take` hands out what is to be sent next. */
export class Outbox {
  #frames: OutFrame[] = [];
  /** Where in `#frames` the oldest unacknowledged frame is. */
  #start = 0;
  #acknowledged = 0;
  #next = 0;
  #highest = 0;
  #bytes = 0;
  #inFlight = 0;

  /** Counter of the frame that is added next. */
  get end(): number {
    return this.#acknowledged + this.#frames.length - this.#start;
  }

  /** All frames below this counter arrived. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Counter of the frame that `take` hands out next. */
  get next(): number {
    return this.#next;
  }

  /** All frames below this counter were sent at least once. */
  get highest(): number {
    return this.#highest;
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes sent since the last `rewind` and not acknowledged. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get unsent(): number {
    return this.#bytes - this.#inFlight;
  }

  /** When the oldest frame that is in flight was sent; undefined where none is. */
  get oldestAt(): number | undefined {
    return this.#next > this.#acknowledged ? this.#frames[this.#start]?.sentAt : undefined;
  }

  /** `frame.counter` is `end`. */
  add(frame: OutFrame): void {
    this.#frames.push(frame);
    this.#bytes += frame.size;
  }

  /** What `take` would hand out. */
  peek(): OutFrame | undefined {
    return this.#frames[this.#start + this.#next - this.#acknowledged];
  }

  take(now: number): OutFrame | undefined {
    const frame = this.peek();
    if (!frame) return undefined;
    this.#next++;
    this.#highest = Math.max(this.#highest, this.#next);
    this.#inFlight += frame.size;
    frame.sentAt = now;
    return frame;
  }

  /** Drops the frames below `received`. False where that is no news, or names frames that were never sent. */
  acknowledge(received: number): boolean {
    if (received <= this.#acknowledged || received > this.#highest) return false;
    for (let counter = this.#acknowledged; counter < received; counter++) {
      const size = this.#frames[this.#start]?.size ?? 0;
      this.#start++;
      this.#bytes -= size;
      if (counter < this.#next) this.#inFlight -= size;
    }
    this.#acknowledged = received;
    this.#next = Math.max(this.#next, received);
    if (this.#start > 256 ? this.#start * 2 > this.#frames.length : this.#start === this.#frames.length) {
      this.#frames = this.#frames.slice(this.#start);
      this.#start = 0;
    }
    return true;
  }

  /** Everything that is not acknowledged is to be sent again. */
  rewind(): void {
    this.#next = this.#acknowledged;
    this.#inFlight = 0;
  }
}
