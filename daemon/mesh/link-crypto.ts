import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync } from 'node:crypto';
import { putU64 } from './link-frames.ts';

/** Authenticated encryption under one key. A counter is used once a key, except to say the same again. */
export interface FrameCipher {
  seal(counter: number, associated: Uint8Array, plaintext: Uint8Array): { tag: Uint8Array; ciphertext: Uint8Array };
  /** The plaintext, or undefined where these bytes were not sealed with this key, counter and associated data. */
  open(counter: number, associated: Uint8Array, tag: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined;
}

export interface LinkCrypto {
  cipher(key: Uint8Array): FrameCipher;
  /** 32 bytes derived from `key` for one purpose; nothing about `key` follows from them. */
  derive(key: Uint8Array, purpose: string): Uint8Array;
}

/** AES-256-GCM (NIST SP 800-38D) with a 96-bit counter nonce, HKDF-SHA-256 (RFC 5869). */
export const nodeLinkCrypto: LinkCrypto = {
  cipher(raw) {
    const key = createSecretKey(raw);
    const nonce = Buffer.alloc(12);
    return {
      seal(counter, associated, plaintext) {
        putU64(nonce, 4, counter);
        const cipher = createCipheriv('aes-256-gcm', key, nonce);
        cipher.setAAD(associated);
        const ciphertext = cipher.update(plaintext);
        // A stream mode: everything came with `update`.
        cipher.final();
        return { tag: cipher.getAuthTag(), ciphertext };
      },
      open(counter, associated, tag, ciphertext) {
        putU64(nonce, 4, counter);
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
        decipher.setAAD(associated);
        decipher.setAuthTag(tag);
        const plaintext = decipher.update(ciphertext);
        try {
          decipher.final();
        } catch {
          return undefined;
        }
        return plaintext;
      },
    };
  },
  derive: (key, purpose) => new Uint8Array(hkdfSync('sha256', key, new Uint8Array(), purpose, 32)),
};

interface Generation {
  number: number;
  key: Uint8Array;
  cipher: FrameCipher;
}

/** How many changes of key a receiver may have missed: control frames may be lost, data frames never are. */
const mostMissed = 8;

/**
 * One direction of one kind of frame: the key changes after every `framesPerKey` counters by a one-way step, on both
 * sides at the same counter, so that no key seals too much and an old one opens nothing new. The receiver moves on only
 * with a frame that proves itself, and still opens frames of the generation before.
 */
export class CipherChain {
  readonly #crypto: LinkCrypto;
  readonly #framesPerKey: number;
  #previous: Generation | undefined;
  #current: Generation;

  constructor(crypto: LinkCrypto, key: Uint8Array, framesPerKey: number) {
    this.#crypto = crypto;
    this.#framesPerKey = framesPerKey;
    this.#current = { number: 0, key, cipher: crypto.cipher(key) };
  }

  /** Counters only grow. */
  seal(counter: number, associated: Uint8Array, plaintext: Uint8Array): { tag: Uint8Array; ciphertext: Uint8Array } {
    const wanted = Math.floor(counter / this.#framesPerKey);
    while (this.#current.number < wanted) this.#current = this.#after(this.#current);
    return this.#current.cipher.seal(counter, associated, plaintext);
  }

  /** `keep`: look, and do not move on, since frames of the present generation may still come. */
  open(
    counter: number,
    associated: Uint8Array,
    tag: Uint8Array,
    ciphertext: Uint8Array,
    keep = false,
  ): Uint8Array | undefined {
    const wanted = Math.floor(counter / this.#framesPerKey);
    const current = this.#current;
    if (wanted === current.number) return current.cipher.open(counter, associated, tag, ciphertext);
    if (wanted === this.#previous?.number) return this.#previous.cipher.open(counter, associated, tag, ciphertext);
    if (wanted < current.number || wanted > current.number + mostMissed) return undefined;
    let before = current;
    let next = this.#after(current);
    while (next.number < wanted) {
      before = next;
      next = this.#after(next);
    }
    const plaintext = next.cipher.open(counter, associated, tag, ciphertext);
    if (plaintext && !keep) {
      this.#previous = before;
      this.#current = next;
    }
    return plaintext;
  }

  #after(generation: Generation): Generation {
    const key = this.#crypto.derive(generation.key, 'niia link next key');
    return { number: generation.number + 1, key, cipher: this.#crypto.cipher(key) };
  }
}
