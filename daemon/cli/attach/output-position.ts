/** What a reader meets at a point of the output that is no output itself. */
export interface Mark<M> {
  /** Offset at which it stands; null: before whatever comes next. */
  at: number | null;
  /** The output goes on here; absent where nothing is left out. */
  to?: number;
  /** So many of the next bytes are a picture and not output. */
  picture?: number;
  what: M;
}

export type Piece<M> = { bytes: Uint8Array; offset: number; picture: boolean } | { mark: M };

/**
 * Where a reader is in a session's output. Bytes and what is told about them arrive by ways that may overtake one
 * another; here they come together by offset, so that a reader who returns knows exactly where to go on.
 */
export class OutputPosition<M> {
  #offset = 0;
  /** Bytes of a picture still to come. */
  #picture = 0;
  #marks: Array<Mark<M>> = [];

  /** Offset of the next byte of output; undefined in the middle of a picture, which cannot be taken up again. */
  get resumeAt(): number | undefined {
    return this.#picture > 0 ? undefined : this.#offset;
  }

  /** A new stream begins, at this offset. */
  start(offset: number): void {
    this.#offset = offset;
    this.#picture = 0;
    this.#marks = [];
  }

  mark(mark: Mark<M>): void {
    const { at } = mark;
    const before = at === null ? -1 : this.#marks.findIndex((one) => one.at !== null && one.at > at);
    this.#marks.splice(before < 0 ? this.#marks.length : before, 0, mark);
  }

  /** The pieces that `bytes` consist of, with the marks that stand before, between and behind them. */
  *take(bytes: Uint8Array): Generator<Piece<M>> {
    let rest = bytes;
    for (;;) {
      const offset = this.#offset;
      if (this.#picture > 0) {
        if (rest.length === 0) return;
        const part = rest.subarray(0, this.#picture);
        this.#picture -= part.length;
        rest = rest.subarray(part.length);
        yield { bytes: part, offset, picture: true };
        continue;
      }
      const next = this.#marks[0];
      if (next && (next.at === null || next.at <= offset)) {
        this.#marks.shift();
        this.#offset = Math.max(offset, next.to ?? offset);
        this.#picture = next.picture ?? 0;
        yield { mark: next.what };
        continue;
      }
      if (rest.length === 0) return;
      const part = next?.at == null ? rest : rest.subarray(0, next.at - offset);
      this.#offset += part.length;
      rest = rest.subarray(part.length);
      yield { bytes: part, offset, picture: false };
    }
  }
}
