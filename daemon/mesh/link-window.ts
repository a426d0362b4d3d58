import { linkLimits as limits } from './link-timing.ts';

/**
 * Queueing delay that is aimed at, in milliseconds: an eighth of the round trip, within these bounds. Small beside the
 * round trip, so that nobody feels it; not smaller than what JavaScript adds on an idle machine.
 */
const leastTargetMs = 12;
const mostTargetMs = 20;
/** A smallest round trip counts for at least this long and at most twice as long. */
const bucketMs = 20_000;
/** So often, under constant load, the queue is let run dry to see the round trip without it. */
const refreshMs = 15_000;
const refreshRounds = 2;
/** Bytes of one frame, at least; how many frames make up a window; what part of it may wait above it. */
const leastFragment = 4 << 10;
const fragmentsPerWindow = 16;
const unsentPart = 1 / 8;
const leastUnsent = 8 << 10;

interface Sent {
  counter: number;
  at: number;
}

/**
 * How much may be in flight on one path, so that it is full and nothing queues up: what is written last arrives soon,
 * however much was written before. Delay-based, in the manner of FAST TCP and LEDBAT++ (RFC 6817): each round trip the
 * window becomes what the measured rate delivers in the smallest known round trip and the target of queueing delay.
 * The round trip is the quickest of the last round, so that what JavaScript adds now and then does not count. Pure:
 * times come in; sizes are bytes.
 */
export class LinkWindow {
  #bytes: number = limits.firstWindow;
  /** It grows fast until a queue shows, up to so much. */
  #starting = true;
  #startUntil: number = limits.window;
  /** Smallest round trips of the present span and of the one before. */
  #base = Number.POSITIVE_INFINITY;
  #baseBefore = Number.POSITIVE_INFINITY;
  #bucketAt = Number.NEGATIVE_INFINITY;
  /** When the queue was last seen empty, and for how many rounds it is kept so. */
  #emptyAt = Number.NEGATIVE_INFINITY;
  #refreshing = 0;
  /** Frames sent once, since the last start, and not acknowledged. */
  #sent: Sent[] = [];
  #first = 0;
  /** The present round: it ends with the acknowledgement of a frame that was sent after the last one ended. */
  #roundEnd = 0;
  #quickest = Number.POSITIVE_INFINITY;
  /** The window when this round began, and the one before. */
  #began: number = limits.firstWindow;
  #beganBefore: number = limits.firstWindow;
  #limited = false;
  #fullest = 0;
  #queueMs = 0;

  /** Bytes that may be in flight. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that may wait to be sent: these nothing can overtake. */
  get unsent(): number {
    return Math.min(limits.unsent, Math.max(leastUnsent, this.#bytes * unsentPart));
  }

  /** Plaintext of one frame: where the path is slow, frames are short. */
  get fragment(): number {
    return Math.min(limits.fragment, Math.max(leastFragment, Math.floor(this.#bytes / fragmentsPerWindow)));
  }

  /** What was in flight hardly waited anywhere in the last round: round trips are the path's own. */
  get calm(): boolean {
    return this.#queueMs <= 3 * this.#targetMs;
  }

  /** Whether a frame may go out while so much is in flight. One always may. */
  admits(inFlight: number, size: number): boolean {
    if (inFlight === 0 || inFlight + size <= this.bytes) return true;
    this.#limited = true;
    return false;
  }

  /** A frame goes out for the first time; counters only grow. */
  sent(counter: number, inFlight: number, now: number): void {
    this.#sent.push({ counter, at: now });
    this.#fullest = Math.max(this.#fullest, inFlight);
  }

  /**
   * All frames below `received` arrived, `bytes` of them news; `next` is the counter of the next frame to be sent. What
   * another path brought (`here` is false) tells nothing about the time on this one.
   */
  acknowledged(received: number, bytes: number, next: number, now: number, here = true): void {
    let last: Sent | undefined;
    for (let one = this.#sent[this.#first]; one && one.counter < received; one = this.#sent[++this.#first]) last = one;
    if (this.#first > 64 && this.#first * 2 > this.#sent.length) {
      this.#sent = this.#sent.slice(this.#first);
      this.#first = 0;
    }
    // What was sent before on another path has to go first in any case, and tells no time.
    if (last && here) {
      const sample = Math.max(0, now - last.at);
      this.#quickest = Math.min(this.#quickest, sample);
      this.roundTrip(sample, now);
    }
    if (this.#starting && this.#limited && this.#refreshing === 0) {
      // A quarter more each round trip: twice would queue as much as it finds out.
      this.#bytes = Math.min(this.#startUntil, this.#bytes + (bytes >>> 2));
      this.#starting = this.#bytes < this.#startUntil;
    }
    if (!last || !here) return;
    if (received > this.#roundEnd) {
      this.#round(now);
      this.#roundEnd = next;
    }
  }

  /** Data begins to flow here, or begins again: what was in flight says nothing any more. */
  restart(next: number): void {
    this.#bytes = limits.firstWindow;
    this.#starting = true;
    this.#startUntil = limits.window;
    this.#refreshing = 0;
    this.#sent = [];
    this.#first = 0;
    this.#beginRound();
    this.#roundEnd = next;
    this.#queueMs = 0;
  }

  /** A round trip on this path, of whatever kind, in milliseconds. */
  roundTrip(sample: number, now: number): void {
    if (now - this.#bucketAt >= bucketMs) {
      this.#baseBefore = now - this.#bucketAt >= 2 * bucketMs ? sample : this.#base;
      this.#base = sample;
      this.#bucketAt = now;
    }
    this.#base = Math.min(this.#base, sample);
    if (sample <= this.#smallest + this.#targetMs / 2) this.#emptyAt = now;
  }

  get #smallest(): number {
    return Math.min(this.#base, this.#baseBefore);
  }

  get #targetMs(): number {
    return Math.min(mostTargetMs, Math.max(leastTargetMs, this.#smallest / 8));
  }

  #round(now: number): void {
    const [quickest, limited, beganBefore] = [this.#quickest, this.#limited, this.#beganBefore];
    const full = limited || this.#fullest * 2 >= this.#bytes;
    this.#beginRound();
    this.#queueMs = quickest - this.#smallest;
    if (this.#refreshing > 0) {
      this.#refreshing--;
      this.#emptyAt = now;
      return;
    }
    if (!full) return;
    if (now - this.#emptyAt >= refreshMs) {
      this.#refreshing = refreshRounds;
      this.#starting = true;
      this.#startUntil = this.#bytes;
      this.#bytes = limits.leastWindow;
      return;
    }
    const ratio = this.#ratio(quickest);
    if (!this.#starting) {
      if (ratio < 1 || limited) this.#resize((this.#bytes * (1 + Math.min(2, ratio))) / 2);
    } else if (ratio < 1) {
      // What was sent first in the round before met a queue already: the window of then was too much by so much.
      this.#resize(beganBefore * ratio);
      this.#starting = false;
    }
  }

  /** By how much the window is too small, or too large, where round trips are this long. */
  #ratio(roundTrip: number): number {
    return (this.#smallest + this.#targetMs) / Math.max(roundTrip, 0.01);
  }

  #beginRound(): void {
    this.#beganBefore = this.#began;
    this.#began = this.#bytes;
    this.#quickest = Number.POSITIVE_INFINITY;
    this.#limited = false;
    this.#fullest = 0;
  }

  #resize(bytes: number): void {
    this.#bytes = Math.min(limits.window, Math.max(limits.leastWindow, Math.round(bytes)));
  }
}
