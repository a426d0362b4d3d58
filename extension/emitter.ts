/** What is held until it is let go. Structurally the editor's own Disposable. */
export interface Disposable {
  dispose(): void;
}

/** An event without the editor: what is pure must not import it. */
export class Emitter<T> implements Disposable {
  readonly #listeners = new Set<(value: T) => void>();

  readonly event = (listener: (value: T) => void): Disposable => {
    // A wrapper, so that one function may listen twice.
    const own = (value: T): void => listener(value);
    this.#listeners.add(own);
    return { dispose: () => void this.#listeners.delete(own) };
  };

  get listenerCount(): number {
    return this.#listeners.size;
  }

  fire(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }

  dispose(): void {
    this.#listeners.clear();
  }
}

/** Disposes all, the last first. */
export function disposeAll(disposables: Disposable[]): void {
  for (const one of disposables.splice(0).reverse()) one.dispose();
}

/** Lets go at the first call, and does nothing at the others. */
export function once(release: () => void): Disposable {
  let released = false;
  return {
    dispose: () => {
      if (released) return;
      released = true;
      release();
    },
  };
}
