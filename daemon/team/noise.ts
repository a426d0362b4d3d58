import NoiseState from 'noise-handshake';
import { NiiaError } from '../../shared/errors.ts';

export interface NoiseKeyPair {
  /** Raw X25519 keys, 32 bytes each. */
  publicKey: Uint8Array;
  secretKey: Uint8Array;
}

export interface NoiseOptions {
  pattern: 'IK' | 'XXpsk0';
  initiator: boolean;
  staticKey: NoiseKeyPair;
  /** The other side's static key: needed by the initiator of IK, learnt by everybody else. */
  remoteStatic?: Uint8Array;
  /** 32 bytes; XXpsk0 only. */
  psk?: Uint8Array;
  /** What both sides must agree on before they start. */
  prologue: Uint8Array;
  /** For test vectors only: a handshake that reuses an ephemeral key is not secret. */
  ephemeral?: NoiseKeyPair;
}

const keyBytes = 32;
/** The specification's bound on a whole handshake message. */
const longestMessage = 65_535;
/** Empty payloads still carry an authentication tag. */
const tagBytes = 16;

/**
 * One handshake of Noise_IK or Noise_XXpsk0 over 25519, ChaChaPoly and BLAKE2b (The Noise Protocol Framework, revision
 * 34). Both sides take turns with `write` and `read`, the initiator first, until `complete`. A message that is not what
 * the other side made for this very handshake, a public key of low order included, ends it with `denied`; nothing can
 * be done with it afterwards. All bytes handed out are copies and all bytes taken are copied.
 */
export class NoiseHandshake {
  readonly #state: NoiseState;
  readonly #messages: number;
  readonly #initiator: boolean;
  #turn = 0;
  #failed = false;

  constructor(options: NoiseOptions) {
    const { pattern, initiator, staticKey, remoteStatic, psk, prologue, ephemeral } = options;
    checkPair(staticKey);
    if (remoteStatic) checkLength(remoteStatic, 'a remote static key');
    if (pattern === 'IK' && initiator !== (remoteStatic !== undefined)) {
      throw new NiiaError('internal', 'the initiator of IK, and only it, is given the remote static key');
    }
    if ((pattern === 'XXpsk0') !== (psk !== undefined)) {
      throw new NiiaError('internal', 'XXpsk0, and only it, takes a pre-shared key');
    }
    if (psk) checkLength(psk, 'a pre-shared key');
    this.#initiator = initiator;
    this.#messages = pattern === 'IK' ? 2 : 3;
    this.#state = new NoiseState(pattern, initiator, copyPair(staticKey), { psk: psk && Buffer.from(psk) });
    this.#state.initialise(
      Buffer.from(prologue),
      pattern === 'IK' && remoteStatic ? Buffer.from(remoteStatic) : undefined,
    );
    if (ephemeral) {
      checkPair(ephemeral);
      this.#state.e = copyPair(ephemeral);
    }
  }

  /** The next message, which carries `payload`. Throws `denied` where the other side's key is of low order. */
  write(payload: Uint8Array = new Uint8Array()): Uint8Array {
    this.#takeTurn(true);
    if (payload.length > longestMessage - 3 * (keyBytes + tagBytes)) {
      this.#failed = true;
      throw new NiiaError('too_large', `a handshake payload of ${payload.length} bytes`);
    }
    return this.#step(() => this.#state.send(Buffer.from(payload)));
  }

  /** The payload of the other side's message. Throws `denied` on any bad message. */
  read(message: Uint8Array): Uint8Array {
    this.#takeTurn(false);
    return this.#step(() => {
      if (message.length > longestMessage) throw new Error(`a message of ${message.length} bytes`);
      // A copy: the library wipes the remote ephemeral key where it lies, in the message.
      return this.#state.recv(Buffer.from(message));
    });
  }

  get complete(): boolean {
    return this.#state.complete && !this.#failed;
  }

  /** The other side's static key, as soon as it is known. It is proved only once the handshake is complete. */
  get remoteStatic(): Uint8Array | undefined {
    const { rs } = this.#state;
    return rs ? new Uint8Array(rs) : undefined;
  }

  /** Throws `internal` before the handshake is complete. */
  get keys(): { send: Uint8Array; receive: Uint8Array } {
    const { tx, rx } = this.#state;
    if (!this.complete || !tx || !rx) throw new NiiaError('internal', 'a handshake that is not complete has no keys');
    return { send: new Uint8Array(tx), receive: new Uint8Array(rx) };
  }

  /** Hash of all that was said so far, 64 bytes: the same on both sides after each message. */
  get hash(): Uint8Array {
    const hash = this.#state.hash ?? this.#state.digest;
    if (!hash) throw new NiiaError('internal', 'a handshake without a hash');
    return new Uint8Array(hash);
  }

  /** Messages alternate, so a message out of turn is this side's mistake or the other side's attack. */
  #takeTurn(writing: boolean): void {
    const ours = (this.#turn % 2 === 0) === this.#initiator;
    if (this.#failed || this.#turn >= this.#messages || ours !== writing) {
      this.#failed = true;
      throw new NiiaError('denied', 'the handshake does not expect this message');
    }
    this.#turn++;
  }

  #step(step: () => Uint8Array): Uint8Array {
    try {
      return new Uint8Array(step());
    } catch (cause) {
      this.#failed = true;
      throw new NiiaError('denied', 'the handshake failed: the other side does not have the expected keys', undefined, {
        cause,
      });
    }
  }
}

function copyPair(pair: NoiseKeyPair): NoiseKeyPair {
  return { publicKey: Buffer.from(pair.publicKey), secretKey: Buffer.from(pair.secretKey) };
}

function checkPair(pair: NoiseKeyPair): void {
  checkLength(pair.publicKey, 'a public key');
  checkLength(pair.secretKey, 'a secret key');
}

function checkLength(key: Uint8Array, what: string): void {
  if (key.length !== keyBytes) throw new NiiaError('internal', `${what} of ${key.length} bytes, not ${keyBytes}`);
}
