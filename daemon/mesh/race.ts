import { NiiaError } from '../../shared/errors.ts';

export interface RaceOptions<T> {
  /** Attempts in their order; each may be aborted. */
  attempts: ReadonlyArray<(signal: AbortSignal) => Promise<T>>;
  /** An attempt that has not come to its end this long after it began no longer holds up the next one. */
  staggerMs: number;
  signal: AbortSignal;
  /** Gets what succeeded too late. */
  discard: (late: T) => void;
}

/**
 * The first of several attempts that succeeds, begun one after the other and going on side by side (as RFC 8305 has it):
 * a way that swallows packets costs no more than the stagger. Rejects with the last failure, or the signal's reason.
 */
export function race<T>({ attempts, staggerMs, signal, discard }: RaceOptions<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = new AbortController();
    let next = 0;
    let running = 0;
    let settled = false;
    let failure: unknown = new NiiaError('offline', 'there is nothing to try');
    let timer: NodeJS.Timeout | undefined;
    const settle = (how: () => void): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      abort.abort(new NiiaError('cancelled', 'another way was quicker'));
      how();
    };
    const aborted = (): void => settle(() => reject(signal.reason));
    const begin = (): void => {
      clearTimeout(timer);
      if (settled) return;
      const attempt = attempts[next++];
      if (!attempt) {
        if (running === 0) settle(() => reject(failure));
        return;
      }
      running++;
      timer = setTimeout(begin, staggerMs);
      attempt(abort.signal).then(
        (won) => {
          if (settled) discard(won);
          else settle(() => resolve(won));
        },
        (error: unknown) => {
          running--;
          failure = error;
          begin();
        },
      );
    };
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    signal.addEventListener('abort', aborted, { once: true });
    begin();
  });
}
