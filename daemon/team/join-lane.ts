import { createCipheriv, createDecipheriv } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';

/** Bounds of a join conversation. Sizes are bytes, times are milliseconds. */
export const joinLimits = {
  /** One message on the lane. */
  message: 64 << 10,
  /** All that a guest may send. */
  request: 64 << 10,
  /** All that an inviter may send: the longest chain, with room. */
  answer: 8 << 20,
  /** Plain bytes in one sealed message. */
  chunk: 32 << 10,
  /** How long one side waits for the other's next message. */
  stepMs: 10_000,
  /** How long a conversation may take in all. */
  totalMs: 60_000,
} as const;

/** What counts for each message beside its bytes, so that empty ones are not free. */
const messageCost = 64;
const tagBytes = 16;

export interface JoinLaneOptions {
  /** How much the other side may send in all. */
  maxBytes: number;
  signal: AbortSignal;
  stepMs?: number | undefined;
}

/** First byte of each message on the lane. */
export const laneMessage = { handshake: 0, sealed: 1, refused: 2 } as const;

/**
 * A lane between guest and inviter as a conversation: messages are awaited, each within its time and all within bounds.
 * Once anything is wrong, every wait rejects and the lane is closed.
 */
export class JoinLane {
  readonly #lane: Transport;
  readonly #maxBytes: number;
  readonly #stepMs: number;
  readonly #signal: AbortSignal;
  readonly #total: NodeJS.Timeout;
  readonly #aborted = (): void => this.#fail(NiiaError.from(this.#signal.reason));
  #inbox: Uint8Array[] = [];
  #received = 0;
  #error: NiiaError | undefined;
  #wake: () => void = () => undefined;
  #cipher: LaneCipher | undefined;

  constructor(lane: Transport, { maxBytes, signal, stepMs }: JoinLaneOptions) {
    this.#lane = lane;
    this.#maxBytes = maxBytes;
    this.#stepMs = stepMs ?? joinLimits.stepMs;
    this.#signal = signal;
    this.#total = setTimeout(
      () => this.#fail(new NiiaError('timeout', 'the conversation with the other machine took too long')),
      joinLimits.totalMs,
    );
    lane.start({
      message: (bytes) => this.#take(bytes),
      writable: () => this.#wake(),
      closed: (cause) =>
        this.#fail(new NiiaError('link_lost', 'the connection to the other machine was cut', undefined, { cause })),
    });
    if (signal.aborted) this.#aborted();
    else signal.addEventListener('abort', this.#aborted);
  }

  /** From here on JSON can be exchanged, sealed with the keys of a complete handshake. */
  secure(keys: { send: Uint8Array; receive: Uint8Array }): void {
    this.#cipher = new LaneCipher(keys);
  }

  sendHandshake(message: Uint8Array): void {
    this.#lane.send(Uint8Array.of(laneMessage.handshake), message);
  }

  async receiveHandshake(): Promise<Uint8Array> {
    return await this.#receive(laneMessage.handshake);
  }

  /** Tells the other side, unsealed and therefore without a word why, that there will be no handshake. */
  sendRefusal(): void {
    this.#lane.send(Uint8Array.of(laneMessage.refused));
  }

  /** In as many messages as it needs; the first byte of each says whether it is the last. */
  async sendJson(value: unknown): Promise<void> {
    const cipher = this.#cipherOrThrow();
    const text = Buffer.from(JSON.stringify(value));
    for (let start = 0; start === 0 || start < text.length; start += joinLimits.chunk) {
      const end = start + joinLimits.chunk;
      const last = end >= text.length ? 1 : 0;
      await this.#until(() => this.#lane.writable);
      this.#lane.send(
        Uint8Array.of(laneMessage.sealed),
        cipher.seal(Buffer.concat([Uint8Array.of(last), text.subarray(start, end)])),
      );
    }
  }

  async receiveJson(): Promise<unknown> {
    const cipher = this.#cipherOrThrow();
    const parts: Uint8Array[] = [];
    for (;;) {
      const plain = cipher.open(await this.#receive(laneMessage.sealed));
      parts.push(plain.subarray(1));
      if (plain[0] === 1) break;
    }
    try {
      return JSON.parse(Buffer.concat(parts).toString());
    } catch (cause) {
      throw new NiiaError('bad_request', 'the other machine sent something that is not JSON', undefined, { cause });
    }
  }

  close(): void {
    this.#fail(new NiiaError('cancelled', 'the conversation is over'));
  }

  async #receive(kind: number): Promise<Uint8Array> {
    await this.#until(() => this.#inbox.length > 0);
    const message = this.#inbox.shift();
    if (!message) throw this.#error ?? new NiiaError('internal', 'a message vanished from the lane');
    if (message[0] === laneMessage.refused && kind === laneMessage.handshake) {
      throw new NiiaError(
        'denied',
        'the inviting machine does not accept this code',
        'Ask for a new one, made with: niia invite',
      );
    }
    if (message[0] !== kind) throw new NiiaError('bad_request', 'the other machine sent a message out of turn');
    return message.subarray(1);
  }

  async #until(ready: () => boolean): Promise<void> {
    const step = setTimeout(
      () => this.#fail(new NiiaError('timeout', `the other machine was silent for ${this.#stepMs} ms`)),
      this.#stepMs,
    );
    try {
      while (!ready()) {
        if (this.#error) throw this.#error;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(step);
    }
  }

  #take(message: Uint8Array): void {
    if (this.#error) return;
    this.#received += message.length + messageCost;
    if (message.length > joinLimits.message || this.#received > this.#maxBytes) {
      this.#inbox = [];
      this.#fail(new NiiaError('too_large', 'the other machine sent more than a join needs'));
      return;
    }
    this.#inbox.push(message);
    this.#wake();
  }

  #fail(error: NiiaError): void {
    if (this.#error) return;
    this.#error = error;
    clearTimeout(this.#total);
    this.#signal.removeEventListener('abort', this.#aborted);
    this.#wake();
    this.#lane.close();
  }

  #cipherOrThrow(): LaneCipher {
    if (!this.#cipher) throw new NiiaError('internal', 'the lane is not secured yet');
    return this.#cipher;
  }
}

/** Transport messages as in section 5.1 of the Noise specification: ChaCha20-Poly1305, a counter each way as nonce. */
class LaneCipher {
  readonly #keys: { send: Uint8Array; receive: Uint8Array };
  #sent = 0n;
  #opened = 0n;

  constructor(keys: { send: Uint8Array; receive: Uint8Array }) {
    this.#keys = keys;
  }

  seal(plain: Uint8Array): Uint8Array {
    const cipher = createCipheriv('chacha20-poly1305', this.#keys.send, nonce(this.#sent++), {
      authTagLength: tagBytes,
    });
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws `denied` for anything but the other side's next message. */
  open(sealed: Uint8Array): Uint8Array {
    const split = sealed.length - tagBytes;
    try {
      const cipher = createDecipheriv('chacha20-poly1305', this.#keys.receive, nonce(this.#opened++), {
        authTagLength: tagBytes,
      });
      cipher.setAuthTag(sealed.subarray(split));
      return Buffer.concat([cipher.update(sealed.subarray(0, split)), cipher.final()]);
    } catch (cause) {
      throw new NiiaError('denied', 'a message was altered on its way', undefined, { cause });
    }
  }
}

function nonce(counter: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(counter, 4);
  return bytes;
}
