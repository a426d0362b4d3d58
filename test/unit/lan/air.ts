import { generateKeyPairSync } from 'node:crypto';
import type { Correspondent } from '../../../daemon/lan/exchange.ts';
import { Exchange } from '../../../daemon/lan/exchange.ts';
import type { LanAddress } from '../../../daemon/lan/lan-peer.ts';
import { memberKeys, type PairKeys } from '../../../daemon/lan/seal.ts';

export const team = '0123456789abcdef0123456789abcdef';

export function newKeys() {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const raw = (text: string | undefined) => Buffer.from(text ?? '', 'base64url');
  return {
    publicKey: raw(publicKey.export({ format: 'jwk' }).x),
    secretKey: raw(privateKey.export({ format: 'jwk' }).d),
  };
}

/** The keys of both sides of a pair. */
export function newPair(): [PairKeys, PairKeys] {
  const [a, b] = [newKeys(), newKeys()];
  const of = (own: typeof a, theirs: typeof a) => memberKeys(own, theirs.publicKey.toString('base64url'), team)!;
  return [of(a, b), of(b, a)];
}

/** What becomes of a datagram: the delay of each copy that arrives, milliseconds. */
export type Fate = (datagram: Buffer) => readonly number[];

/** Addresses are names here: whoever stands under one gets what is sent there. */
export class Air {
  readonly sent: { from: string; to: string; datagram: Buffer }[] = [];
  readonly #stations = new Map<string, Exchange>();
  readonly #fate: Fate;

  constructor(fate: Fate = () => [0]) {
    this.#fate = fate;
  }

  /** A machine at `address` with one correspondent. Takes the place of whoever stood there. */
  station(address: string, keys: PairKeys) {
    const messages: unknown[] = [];
    const greetings: LanAddress[] = [];
    const told: string[] = [];
    const correspondent: Correspondent = {
      keys,
      greeted: (from) => greetings.push(from),
      message: (value) => messages.push(value),
    };
    const tag = keys.receive.tag.readBigUInt64BE();
    const exchange = new Exchange({
      transmit: (datagram, to) => this.#carry(address, to.address, datagram),
      lookup: (other) => (other === tag ? correspondent : undefined),
    });
    this.#stations.set(address, exchange);
    const peer = exchange.peer({ keys, found: () => told.push('found'), gone: () => told.push('gone') });
    return { exchange, peer, messages, greetings, told };
  }

  leave(address: string): void {
    this.#stations.delete(address);
  }

  #carry(from: string, to: string, datagram: Buffer): void {
    this.sent.push({ from, to, datagram });
    for (const delay of this.#fate(datagram)) {
      setTimeout(() => this.#stations.get(to)?.receive(Buffer.from(datagram), { address: from, port: 1 }), delay);
    }
  }
}

export const at = (address: string): LanAddress => ({ address, port: 1 });
