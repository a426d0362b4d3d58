import type { LinkHandshake } from '../../../daemon/mesh/link-setup.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { cheapCrypto } from '../../sim/cheap-crypto.ts';

/**
 * Stands in for Noise, which costs too much for a million frames and has inputs of its own: whoever does not know the
 * number of the test cannot make a message of it, and what was altered shows.
 */
export class CheapHandshake implements LinkHandshake {
  readonly #initiator: boolean;
  readonly #own: Identity;
  readonly #session: number;
  #theirs: Uint8Array | undefined;

  constructor(initiator: boolean, own: Identity, session: number) {
    this.#initiator = initiator;
    this.#own = own;
    this.#session = session;
  }

  write(payload: Uint8Array = new Uint8Array()): Uint8Array {
    return sealed(this.#initiator ? 1 : 2, Buffer.concat([this.#own.noise.publicKey, payload]));
  }

  read(message: Uint8Array): Uint8Array {
    const content = opened(this.#initiator ? 2 : 1, message);
    this.#theirs = content.subarray(0, 32);
    return content.subarray(32);
  }

  get remoteStatic(): Uint8Array | undefined {
    return this.#theirs;
  }

  get keys(): { send: Uint8Array; receive: Uint8Array } {
    const [toResponder, toInitiator] = [this.#session, ~this.#session].map((key) => {
      const bytes = Buffer.alloc(32);
      bytes.writeInt32LE(key | 0);
      return bytes;
    }) as [Buffer, Buffer];
    return this.#initiator ? { send: toResponder, receive: toInitiator } : { send: toInitiator, receive: toResponder };
  }

  get hash(): Uint8Array {
    return Buffer.alloc(64, this.#session & 0xff);
  }
}

function sealed(kind: number, content: Uint8Array): Uint8Array {
  const { tag } = cheapCrypto.cipher(Buffer.alloc(32, 0x5a)).seal(kind, new Uint8Array(), content);
  return Buffer.concat([tag, content]);
}

function opened(kind: number, message: Uint8Array): Uint8Array {
  const cipher = cheapCrypto.cipher(Buffer.alloc(32, 0x5a));
  const content =
    message.length < 48
      ? undefined
      : cipher.open(kind, new Uint8Array(), message.subarray(0, 16), message.subarray(16));
  if (!content) throw new NiiaError('denied', 'not a message of this handshake');
  return content;
}
