declare module 'noise-handshake' {
  interface KeyPair {
    publicKey: Uint8Array;
    secretKey: Uint8Array;
  }

  /** The part of the package that is used; it has no types of its own. */
  export default class NoiseState {
    constructor(
      pattern: 'IK' | 'XXpsk0',
      initiator: boolean,
      staticKeypair: KeyPair,
      options?: { psk?: Uint8Array | undefined },
    );
    initialise(prologue: Uint8Array, remoteStatic?: Uint8Array): void;
    /** The payload; throws plain errors on anything wrong and is of no use afterwards. */
    recv(message: Uint8Array): Uint8Array;
    send(payload?: Uint8Array): Uint8Array;
    /** The ephemeral pair; made at the first use where none was set. */
    e: KeyPair | null;
    readonly rs: Uint8Array | null;
    readonly complete: boolean;
    /** Sending and receiving key, once complete. */
    readonly tx: Uint8Array | null;
    readonly rx: Uint8Array | null;
    /** The final handshake hash, once complete. */
    readonly hash: Uint8Array | null;
    /** The running handshake hash; null once complete. */
    readonly digest: Uint8Array | null;
  }
}
