import type { Size } from '../../shared/protocol/shapes.ts';

/** Sizes that are remembered for viewers that return. */
const kept = 256;

export interface SizeFrom {
  /** Offset in the output from which on the terminal has the size. */
  offset: number;
  size: Size;
}

/** The sizes that a session's terminal had, by offsets of its output. */
export class SizeHistory {
  readonly #sizes: SizeFrom[];

  constructor(first: Size) {
    this.#sizes = [{ offset: 0, size: first }];
  }

  add(offset: number, size: Size): void {
    this.#sizes.push({ offset, size });
    if (this.#sizes.length > kept) this.#sizes.shift();
  }

  /** The sizes from `offset` on, the one that holds there first. */
  from(offset: number): SizeFrom[] {
    const first = this.#sizes.findLastIndex((one) => one.offset <= offset);
    return this.#sizes.slice(Math.max(0, first));
  }
}
