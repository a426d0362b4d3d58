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

/** Resolves when `condition` holds, looked at after each change; rejects with the signal's reason. */
export async function until(changes: Changes, condition: () => boolean, signal: AbortSignal): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      unsubscribe();
      signal.removeEventListener('abort', abort);
    };
    const abort = (): void => {
      stop();
      reject(signal.reason);
    };
    const unsubscribe = changes.subscribe(() => {
      if (!condition()) return;
      stop();
      resolve();
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
