import { NiiaError } from '../../shared/errors.ts';

/** The point at which a command gives up, from its `--timeout`. */
export class Deadline {
  readonly #at: number | undefined;
  readonly #timeoutMs: number | undefined;

  constructor(timeoutMs: number | undefined) {
    this.#timeoutMs = timeoutMs;
    this.#at = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
  }

  /** Milliseconds left; undefined: for ever. Throws `timeout` when none are. */
  get leftMs(): number | undefined {
    if (this.#at === undefined) return undefined;
    const left = this.#at - performance.now();
    if (left <= 0) throw this.expired();
    return left;
  }

  /** The error that says that the time is over. */
  expired(what = 'this'): NiiaError {
    return new NiiaError('timeout', `${what} took longer than the ${(this.#timeoutMs ?? 0) / 1_000} s of --timeout`);
  }
}
