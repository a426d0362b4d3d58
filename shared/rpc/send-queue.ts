import type { Call } from './call.ts';
import type { Encoded } from './frames.ts';

/** So many frames in a row may overtake a call that has waited for its turn. */
const mostOvertakes = 8;

/**
 * What one connection has to send, in the order in which it goes out: frames of the connection itself first, then calls
 * in turn, frame by frame. A call that has just begun to have something to say goes before those that go on and on, so
 * that a keystroke does not wait for a flood; these get their turn all the same.
 */
export class SendQueue {
  /** Greetings, credit, cancellations. */
  readonly #urgent: Encoded[] = [];
  readonly #fresh: Call[] = [];
  readonly #lasting: Call[] = [];
  readonly #waiting = new Set<Call>();
  #overtaken = 0;

  urgent(frame: Encoded): void {
    this.#urgent.push(frame);
  }

  /** The call has frames in its outbox. */
  ready(call: Call): void {
    if (this.#waiting.has(call)) return;
    this.#waiting.add(call);
    this.#fresh.push(call);
  }

  /** The next frame, which is the taker's to send. */
  take(): Encoded | undefined {
    const urgent = this.#urgent.shift();
    if (urgent) return urgent;
    for (let call = this.#next(); call; call = this.#next()) {
      const frame = call.outbox.shift();
      if (call.outbox.length > 0) this.#lasting.push(call);
      else this.#waiting.delete(call);
      if (frame) return frame;
    }
    return undefined;
  }

  clear(): void {
    this.#urgent.length = 0;
    this.#fresh.length = 0;
    this.#lasting.length = 0;
    this.#waiting.clear();
  }

  #next(): Call | undefined {
    const fresh = this.#overtaken < mostOvertakes || this.#lasting.length === 0 ? this.#fresh.shift() : undefined;
    if (fresh && this.#lasting.length > 0) this.#overtaken++;
    else this.#overtaken = 0;
    return fresh ?? this.#lasting.shift();
  }
}
