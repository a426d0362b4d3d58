import type { AttachEvent } from '../../shared/protocol/session-methods.ts';

export type SnapshotEvent = Extract<AttachEvent, { type: 'snapshot' }>;

/** A part of what came on the output stream. */
export type Piece =
  | { type: 'output'; bytes: Uint8Array }
  /** A picture begins: the terminal is emptied before its bytes. */
  | { type: 'picture'; snapshot: SnapshotEvent }
  | { type: 'picture-bytes'; bytes: Uint8Array };

/**
 * Where a viewer stands in a session's output, over all its connections. Pictures are announced by events, which
 * overtake bytes that wait for their turn here; each is put where it belongs by its gap's beginning, which is the
 * offset of the output before it.
 */
export class OutputPosition {
  /** Offset of the next byte of output; undefined before the first attachment. */
  #offset: number | undefined;
  #announced: SnapshotEvent[] = [];
  /** The picture whose bytes are coming, and how many are still to come. */
  #picture: { snapshot: SnapshotEvent; left: number } | undefined;

  /** What to ask for on the next connection; undefined: a picture of the present. */
  get since(): number | undefined {
    return this.#offset;
  }

  /** A new connection begins. A picture that broke off is worth nothing: it has to come again. */
  begin(): void {
    if (this.#picture) this.#offset = undefined;
    this.#announced = [];
    this.#picture = undefined;
  }

  attached(offset: number): void {
    this.#offset ??= offset;
  }

  /** Returns what can be shown by that alone. */
  announce(snapshot: SnapshotEvent): Piece[] {
    this.#announced.push(snapshot);
    return this.#beginPicture();
  }

  take(bytes: Uint8Array): Piece[] {
    const pieces = this.#beginPicture();
    let rest = bytes;
    while (rest.length > 0) {
      const picture = this.#picture;
      const count = Math.min(rest.length, picture ? picture.left : this.#untilPicture());
      const part = rest.subarray(0, count);
      rest = rest.subarray(count);
      if (picture) {
        picture.left -= count;
        if (picture.left === 0) this.#endPicture(picture.snapshot);
        pieces.push({ type: 'picture-bytes', bytes: part });
      } else {
        this.#offset = (this.#offset ?? 0) + count;
        pieces.push({ type: 'output', bytes: part });
      }
      pieces.push(...this.#beginPicture());
    }
    return pieces;
  }

  /** Bytes of output that come before the next picture. */
  #untilPicture(): number {
    const from = this.#announced[0]?.gap?.from;
    return from === undefined ? Number.POSITIVE_INFINITY : from - (this.#offset ?? 0);
  }

  #beginPicture(): Piece[] {
    const next = this.#announced[0];
    // Without a gap it is the first thing on its connection, and nothing comes before it.
    if (!next || this.#picture || (next.gap !== null && next.gap.from > (this.#offset ?? 0))) return [];
    this.#announced.shift();
    if (next.length === 0) this.#endPicture(next);
    else this.#picture = { snapshot: next, left: next.length };
    return [{ type: 'picture', snapshot: next }];
  }

  #endPicture(snapshot: SnapshotEvent): void {
    this.#picture = undefined;
    this.#offset = snapshot.offset;
  }
}
