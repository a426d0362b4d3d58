import { NiiaError } from '../../shared/errors.ts';

const firstPauseMs = 25;
const longestPauseMs = 500;

/** The connection broke under a call: whether it was served is not known, and it may be tried again with the same key. */
export function broke(error: NiiaError): boolean {
  return error.code === 'link_lost';
}

/** Nobody is there to serve a call now; later somebody may be. */
export function away(error: NiiaError): boolean {
  return error.code === 'daemon_not_running' || error.code === 'offline';
}

/** Pauses between attempts: quick at first, then up to half a second apart. */
export class Pauses {
  #next = firstPauseMs;

  reset(): void {
    this.#next = firstPauseMs;
  }

  /** Waits; rejects with the signal's reason when it is aborted. */
  async wait(signal?: AbortSignal): Promise<void> {
    const ms = this.#next;
    this.#next = Math.min(ms * 2, longestPauseMs);
    await pause(ms, signal);
  }
}

export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(NiiaError.from(signal?.reason));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

export interface RetryOptions<T> {
  /** One try, within `leftMs` milliseconds (undefined: no bound). */
  attempt: (leftMs: number | undefined) => Promise<T>;
  /** How long to go on after the connection first broke. */
  patienceMs: number;
  /** What a break that outlasts the patience is reported as. */
  givenUp: (error: NiiaError) => NiiaError;
  /** Milliseconds that the first try may take. */
  leftMs: number | undefined;
}

/**
 * Tries until the connection holds. Only what broke is tried again: an error that says what happened is final, and so
 * is the absence of the daemon before anything was asked of it.
 */
export async function retryBroken<T>({ attempt, patienceMs, givenUp, leftMs }: RetryOptions<T>): Promise<T> {
  const pauses = new Pauses();
  let until: number | undefined;
  for (;;) {
    try {
      return await attempt(until === undefined ? leftMs : Math.max(1, until - performance.now()));
    } catch (cause) {
      const error = NiiaError.from(cause);
      const worthAnother = broke(error) || (until !== undefined && away(error));
      if (until !== undefined && error.code === 'timeout') throw givenUp(error);
      if (!worthAnother) throw error;
      until ??= performance.now() + patienceMs;
      if (performance.now() >= until) throw givenUp(error);
      await pauses.wait();
    }
  }
}
