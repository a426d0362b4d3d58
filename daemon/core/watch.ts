/** Tells listeners of changes: the first at once, those that follow within `intervalMs` together. */
export class Changes {
  readonly #intervalMs: number;
  readonly #listeners = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #pending = false;

  constructor(intervalMs = 100) {
    this.#intervalMs = intervalMs;
  }

  /** Returns what ends the subscription. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  notify(): void {
    if (this.#timer) {
      this.#pending = true;
      return;
    }
    for (const listener of [...this.#listeners]) listener();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#pending) return;
      this.#pending = false;
      this.notify();
    }, this.#intervalMs);
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }
}

/**
 * Whether `condition` came to hold within `timeoutMs`, looked at after each change. Rejects with the signal's reason.
 */
export async function until(
  changes: Changes,
  condition: () => boolean,
  { signal, timeoutMs }: { signal?: AbortSignal; timeoutMs: number },
): Promise<boolean> {
  signal?.throwIfAborted();
  if (condition()) return true;
  return await new Promise<boolean>((resolve, reject) => {
    const stop = (): void => {
      unsubscribe();
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const abort = (): void => {
      stop();
      reject(signal?.reason);
    };
    const settle = (held: boolean): void => {
      stop();
      resolve(held);
    };
    const timer = setTimeout(() => settle(condition()), timeoutMs);
    const unsubscribe = changes.subscribe(() => {
      if (condition()) settle(true);
    });
    signal?.addEventListener('abort', abort, { once: true });
  });
}
