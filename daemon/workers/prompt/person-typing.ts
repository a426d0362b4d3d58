/**
 * What a terminal types by itself: answers to its program's questions (device attributes, cursor position, colours,
 * modes), reports of focus and of the mouse.
 */
const ownWords =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
  /^(?:\x1b\[(?:[?>=]?[\d;]*(?:[cRnty]|\$y)|\?\d*u|[IO]|<[\d;]+[Mm]|M[\s\S]{3})|\x1b[\]P_][^\x07\x1b]*(?:\x07|\x1b\\))+$/;

/** Bytes after which a line is empty again: Enter, Ctrl-C, Ctrl-D, Ctrl-U. */
const lineEnds = new Set([0x0d, 0x0a, 0x03, 0x04, 0x15]);

/** Whether the terminal typed it, not its user. */
export function isTerminalsOwn(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1b && bytes.length <= 4096 && ownWords.test(Buffer.from(bytes).toString('latin1'));
}

/** What is known of others who type into a session: when, and whether something of it may stand in the line. */
export class PersonTyping {
  #at: number | undefined;
  #pending = false;

  /** Milliseconds of the clock that `typed` is given; undefined: nobody has typed. */
  get at(): number | undefined {
    return this.#at;
  }

  /** Something was typed after the last Enter. */
  get pending(): boolean {
    return this.#pending;
  }

  typed(bytes: Uint8Array, now: number): void {
    if (bytes.length === 0) return;
    this.#at = now;
    const last = bytes.findLastIndex((byte) => lineEnds.has(byte));
    if (last >= 0) this.#pending = false;
    if (bytes.subarray(last + 1).some((byte) => byte >= 0x20 && byte !== 0x7f)) this.#pending = true;
  }
}
