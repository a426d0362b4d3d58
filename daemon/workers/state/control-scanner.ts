/** Longer operating system commands are skipped: what says a state, or a title worth a look, is short. Bytes. */
const longestCommand = 4096;
const longestMode = 32;

/** What a program tells its terminal beside the text. */
export interface ControlHandler {
  /** An operating system command (OSC), without its introducer and terminator. */
  command(payload: string): void;
  /** A private mode (DECSET, DECRST): 1049 is the alternate screen, 2004 bracketed paste. */
  mode(mode: number, on: boolean): void;
}

/** One for all: it decodes whole commands and remembers nothing. */
const decoder = new TextDecoder('utf-8');
const esc = 0x1b;
const bell = 0x07;
type Place = 'text' | 'escape' | 'control' | 'command' | 'command-escape';

/**
 * Finds commands and modes in output, whatever chunks it comes in. Holds at most 4 KiB, and text without escapes costs
 * a search for one byte.
 */
export class ControlScanner {
  readonly #handler: ControlHandler;
  /** Made when there is something to hold: many sessions are over before. */
  #held: Uint8Array | undefined;
  #length = 0;
  #tooLong = false;
  #at: Place = 'text';

  constructor(handler: ControlHandler) {
    this.#handler = handler;
  }

  add(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; ) {
      switch (this.#at) {
        case 'text': {
          const found = bytes.indexOf(esc, index);
          if (found < 0) return;
          index = found + 1;
          this.#at = 'escape';
          break;
        }
        case 'escape':
          this.#introduced(bytes[index++] ?? 0);
          break;
        case 'control':
          this.#control(bytes[index++] ?? 0);
          break;
        case 'command':
          index = this.#command(bytes, index);
          break;
        case 'command-escape':
          this.#commandEscape(bytes[index++] ?? 0);
      }
    }
  }

  #introduced(byte: number): void {
    if (byte === esc) return;
    this.#length = 0;
    this.#tooLong = false;
    if (byte === 0x5d) this.#at = 'command';
    else if (byte === 0x5b) this.#at = 'control';
    else this.#at = 'text';
  }

  #control(byte: number): void {
    if (byte === esc) {
      this.#at = 'escape';
    } else if (byte >= 0x40 && byte <= 0x7e) {
      this.#at = 'text';
      if (byte === 0x68 || byte === 0x6c) this.#modes(byte === 0x68);
    } else if (this.#length >= longestMode || (this.#length === 0 && byte !== 0x3f)) {
      // Not a private mode: its end is of no interest, and it holds no escape that could mislead.
      this.#at = 'text';
    } else {
      this.#held ??= new Uint8Array(longestCommand);
      this.#held[this.#length++] = byte;
    }
  }

  #modes(on: boolean): void {
    const numbers = this.#text().slice(1).split(';');
    for (const number of numbers) if (/^\d{1,5}$/.test(number)) this.#handler.mode(Number(number), on);
  }

  /** Takes bytes of a command from `index` on; returns where it stopped. */
  #command(bytes: Uint8Array, index: number): number {
    for (let at = index; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (byte >= 0x20) continue;
      if (byte !== bell && byte !== esc && byte !== 0x18 && byte !== 0x1a) continue;
      this.#hold(bytes.subarray(index, at));
      if (byte === bell) this.#ended();
      // CAN and SUB break a command off.
      else this.#at = byte === esc ? 'command-escape' : 'text';
      return at + 1;
    }
    this.#hold(bytes.subarray(index));
    return bytes.length;
  }

  #commandEscape(byte: number): void {
    if (byte === 0x5c) this.#ended();
    else this.#introduced(byte);
  }

  #ended(): void {
    this.#at = 'text';
    if (!this.#tooLong) this.#handler.command(this.#text());
  }

  #hold(bytes: Uint8Array): void {
    if (this.#tooLong || bytes.length > longestCommand - this.#length) {
      this.#tooLong = true;
      return;
    }
    this.#held ??= new Uint8Array(longestCommand);
    this.#held.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #text(): string {
    return this.#held ? decoder.decode(this.#held.subarray(0, this.#length)) : '';
  }
}
