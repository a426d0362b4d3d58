import type { SessionInfo } from '../../../shared/protocol/shapes.ts';

/** A pause of the machine, or of this process, is nobody's fault: a step counts as so much at most. */
const mostStepMs = 2000;

export interface Watched {
  /** Milliseconds that the phase may take; those of before included that are in `spentMs`. */
  limitMs: number;
  spentMs: number;
  /** Without a byte of output while it is busy; 0: none. */
  stallMs: number;
  /** Bytes of output; 0: none. */
  bytes: number;
}

/**
 * Counts what a phase takes of its limits: fed with the time and what is known of the session. Neither the time in which a
 * person is asked counts, nor that in which it is frozen.
 */
export class Stopwatch {
  readonly #o: Watched;
  #at: number;
  #spentMs: number;
  #quietMs = 0;
  #output = -1;

  constructor(options: Watched, now: number) {
    this.#o = options;
    this.#at = now;
    this.#spentMs = options.spentMs;
  }

  get spentMs(): number {
    return this.#spentMs;
  }

  /** How often it should be fed. */
  get stepMs(): number {
    const { limitMs, stallMs } = this.#o;
    const shortest = stallMs > 0 ? Math.min(limitMs, stallMs) : limitMs;
    return Math.max(20, Math.min(1000, shortest / 10));
  }

  /** What limit it is beyond; undefined: none. `runs`: its lease holds. */
  look(now: number, session: SessionInfo | undefined, runs: boolean): string | undefined {
    const step = Math.min(now - this.#at, mostStepMs);
    this.#at = now;
    const output = session?.outputBytes ?? 0;
    const wrote = output !== this.#output;
    this.#output = output;
    const { limitMs, stallMs, bytes } = this.#o;
    if (bytes > 0 && output > bytes) return `it wrote more than ${bytes} bytes`;
    if (!runs || session?.frozen || session?.state === 'blocked') return undefined;
    this.#spentMs += step;
    this.#quietMs = wrote || session?.state !== 'busy' ? 0 : this.#quietMs + step;
    if (this.#spentMs > limitMs) return `it took longer than ${limitMs} ms`;
    if (stallMs > 0 && this.#quietMs > stallMs) return `it wrote nothing for ${stallMs} ms while it was busy`;
    return undefined;
  }
}
