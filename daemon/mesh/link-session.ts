import { NiiaError } from '../../shared/errors.ts';
import { CipherChain, type LinkCrypto } from './link-crypto.ts';
import { type Control, encodeControl, parseControl, putTag, type SealedFrame, sealedHead } from './link-frames.ts';
import { Outbox } from './link-outbox.ts';
import { linkLimits } from './link-timing.ts';
import { ReplayWindow } from './replay-window.ts';

/** What a handshake leaves behind: 32-byte keys, and the hash of all that was said. */
export interface SessionKeys {
  send: Uint8Array;
  receive: Uint8Array;
  hash: Uint8Array;
}

/**
 * - `message`: whole
 * - `part`: of a message that is not whole yet
 * - `duplicate`: came before; not looked at
 * - `gap`: authentic, but frames before it are missing
 * - `forged`: not made by the other side, or not for this place
 */
export type Received =
  | { is: 'message'; internal: boolean; bytes: Uint8Array }
  | { is: 'part' }
  | { is: 'duplicate' }
  | { is: 'gap' }
  | { is: 'forged' };

/** Counters this far ahead cannot be in flight. */
const farthest = 2 ** 20;

/**
 * The conversation under one pair of keys: seals and numbers what goes out and keeps it until it is acknowledged, takes
 * what comes in exactly in order, and joins fragments to messages. Knows nothing of paths and time.
 */
export class LinkSession {
  /** Hex; the same on both sides, different for every handshake. */
  readonly id: string;
  /** The first 32 bits of the id, which mark its frames. */
  readonly tag: number;
  readonly outbox = new Outbox();
  readonly #dataOut: CipherChain;
  readonly #dataIn: CipherChain;
  readonly #controlOut: CipherChain;
  readonly #controlIn: CipherChain;
  readonly #seenControl = new ReplayWindow();
  /** Fragments of the message in progress: [0] for the user, [1] for the link itself. */
  readonly #parts: [Uint8Array[], Uint8Array[]] = [[], []];
  readonly #partBytes: [number, number] = [0, 0];
  #controlCounter = 0;
  #received = 0;

  constructor(keys: SessionKeys, crypto: LinkCrypto, framesPerKey: number = linkLimits.framesPerKey) {
    this.id = Buffer.from(keys.hash.subarray(0, 16)).toString('hex');
    this.tag = Number.parseInt(this.id.slice(0, 8), 16);
    const chain = (key: Uint8Array, use: string) =>
      new CipherChain(crypto, crypto.derive(key, `niia link ${use}`), framesPerKey);
    this.#dataOut = chain(keys.send, 'data');
    this.#dataIn = chain(keys.receive, 'data');
    this.#controlOut = chain(keys.send, 'control');
    this.#controlIn = chain(keys.receive, 'control');
  }

  /** Counter of the data frame that is expected next: all before it came. */
  get received(): number {
    return this.#received;
  }

  /** Queues one message in frames of `fragment` bytes. Throws `too_large` for one that the other side would refuse. */
  write(internal: boolean, head: Uint8Array, body?: Uint8Array, fragment: number = linkLimits.fragment): void {
    const length = head.length + (body?.length ?? 0);
    const most = internal ? linkLimits.roster : linkLimits.message;
    if (length > most) {
      throw new NiiaError('too_large', `a message of ${length} bytes is over the limit of ${most}`);
    }
    let message = head;
    if (body && body.length > 0) {
      message = Buffer.allocUnsafe(length);
      message.set(head);
      message.set(body, head.length);
    }
    let start = 0;
    do {
      const end = Math.min(start + fragment, length);
      this.#seal(internal, end < length, message.subarray(start, end));
      start = end;
    } while (start < length);
  }

  sealControl(control: Control): { head: Uint8Array; body: Uint8Array } {
    const counter = this.#controlCounter++;
    const { head, associated } = sealedHead('control', this.tag, counter);
    const { tag, ciphertext } = this.#controlOut.seal(counter, associated, encodeControl(control));
    putTag(head, tag);
    return { head, body: ciphertext };
  }

  /** The control message, `unknown` for an authentic one of a later version, or why it counts for nothing. */
  openControl(frame: SealedFrame): Control | 'unknown' | 'replayed' | 'forged' {
    if (!this.#seenControl.isNew(frame.counter)) return 'replayed';
    const plaintext = this.#controlIn.open(frame.counter, frame.associated, frame.tag, frame.ciphertext);
    if (!plaintext) return 'forged';
    this.#seenControl.mark(frame.counter);
    return parseControl(plaintext) ?? 'unknown';
  }

  /** Throws `too_large` or `bad_request` where the other side, and nobody else, broke the limits on messages. */
  openData(frame: SealedFrame): Received {
    if (frame.counter < this.#received) return { is: 'duplicate' };
    if (frame.counter - this.#received > farthest) return { is: 'forged' };
    // What is missing will come under the keys of its time.
    const early = frame.counter > this.#received;
    const plaintext = this.#dataIn.open(frame.counter, frame.associated, frame.tag, frame.ciphertext, early);
    if (!plaintext) return { is: 'forged' };
    if (frame.counter > this.#received) return { is: 'gap' };
    this.#received++;
    const lane = frame.internal ? 1 : 0;
    const parts = this.#parts[lane];
    const length = this.#partBytes[lane] + plaintext.length;
    const most = frame.internal ? linkLimits.roster : linkLimits.message;
    if (length > most) throw new NiiaError('too_large', `the other side sent a message of over ${most} bytes`);
    if (frame.more) {
      if (plaintext.length < linkLimits.leastFragment) {
        throw new NiiaError('bad_request', `the other side sent a piece of a message of ${plaintext.length} bytes`);
      }
      parts.push(plaintext);
      this.#partBytes[lane] = length;
      return { is: 'part' };
    }
    if (parts.length === 0) return { is: 'message', internal: frame.internal, bytes: plaintext };
    parts.push(plaintext);
    const bytes = Buffer.concat(parts, length);
    parts.length = 0;
    this.#partBytes[lane] = 0;
    return { is: 'message', internal: frame.internal, bytes };
  }

  #seal(internal: boolean, more: boolean, plaintext: Uint8Array): void {
    const counter = this.outbox.end;
    const { head, associated } = sealedHead('data', this.tag, counter, { more, internal });
    const { tag, ciphertext } = this.#dataOut.seal(counter, associated, plaintext);
    putTag(head, tag);
    this.outbox.add({ counter, head, body: ciphertext, size: head.length + ciphertext.length, sentAt: 0 });
  }
}
