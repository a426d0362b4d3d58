const prefixByte = 0x1c;
const detachByte = 'd'.charCodeAt(0);

/** Ctrl-\ as terminals send it that tell keys apart by escape sequences: kitty's protocol, and xterm's modifyOtherKeys. */
const prefixSequences = ['\x1b[92;5u', '\x1b[92;5:1u', '\x1b[27;5;92~'];
const detachSequences = ['\x1b[100u', '\x1b[100;1u', '\x1b[100;1:1u'];

export interface Keys {
  /** What goes to the session. */
  send: Uint8Array;
  /** The viewer wants to leave; what came after is dropped. */
  detach: boolean;
}

/**
 * Finds Ctrl-\ d among what is typed, wherever chunks are cut. Ctrl-\ twice is one Ctrl-\; before any other key it
 * goes through as it came.
 */
export class DetachKeys {
  /** The prefix that was typed and waits for the next key. */
  #held: Uint8Array | undefined;

  take(bytes: Uint8Array): Keys {
    const send: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      const prefix = prefixAt(bytes, at);
      if (this.#held) {
        const held = this.#held;
        this.#held = undefined;
        if (detachesAt(bytes, at)) return { send: Buffer.concat(send), detach: true };
        send.push(held);
        // The second of two prefixes is what escapes the first.
        at += prefix;
      } else if (prefix > 0) {
        this.#held = bytes.subarray(at, at + prefix);
        at += prefix;
      } else {
        const end = nextPrefix(bytes, at);
        send.push(bytes.subarray(at, end));
        at = end;
      }
    }
    return { send: Buffer.concat(send), detach: false };
  }
}

/** Length of the prefix at `at`; 0 where there is none. */
function prefixAt(bytes: Uint8Array, at: number): number {
  if (bytes[at] === prefixByte) return 1;
  return prefixSequences.find((sequence) => startsWith(bytes, at, sequence))?.length ?? 0;
}

function detachesAt(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === detachByte || detachSequences.some((sequence) => startsWith(bytes, at, sequence));
}

function nextPrefix(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) if (prefixAt(bytes, at) > 0) return at;
  return bytes.length;
}

function startsWith(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
