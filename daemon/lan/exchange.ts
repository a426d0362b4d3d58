import type { Frame } from './frames.ts';
import { decodeFrame, encodeFrame } from './frames.ts';
import { Inbox } from './inbox.ts';
import type { LanAddress, LanPeerOptions } from './lan-peer.ts';
import { LanPeer } from './lan-peer.ts';
import type { PairKeys } from './seal.ts';
import { open, seal, tagOf } from './seal.ts';

/** Who may send to us under one tag: a member, or the holders of one invite code. */
export interface Correspondent {
  keys: PairKeys;
  /** A hello, which may be a replay: a reason to look whether somebody is there, and to believe nothing else. */
  greeted(from: LanAddress): void;
  /** A message, for the first time. `session` names the sender's half of the conversation. */
  message(value: unknown, session: bigint, from: LanAddress): void;
}

export interface ExchangeOptions {
  /** Sends a datagram; may lose it. */
  transmit(datagram: Buffer, to: LanAddress): void;
  /** Whom the tag of a datagram names. */
  lookup(tag: bigint): Correspondent | undefined;
}

/** The datagrams between us and our correspondents: what comes is opened, checked and answered. Knows no socket. */
export class Exchange {
  readonly #o: ExchangeOptions;
  readonly #inbox = new Inbox();
  readonly #peers = new Map<bigint, LanPeer>();
  #closed = false;
  /** Datagrams by what became of them. */
  readonly counts = { taken: 0, malformed: 0, unknown: 0, forged: 0, stale: 0, repeated: 0 };

  constructor(options: ExchangeOptions) {
    this.#o = options;
  }

  /** The sending half towards one machine. `release` it when done. */
  peer(options: Omit<LanPeerOptions, 'transmit'>): LanPeer {
    const transmit = (frame: Frame, to: LanAddress): void => this.#send(options.keys, frame, to);
    const peer = new LanPeer({ ...options, transmit });
    this.#peers.set(peer.session, peer);
    return peer;
  }

  release(peer: LanPeer): void {
    this.#peers.delete(peer.session);
    peer.close();
  }

  /** What is under way counts as not sent, and nothing is taken or told any more. */
  close(): void {
    this.#closed = true;
    for (const peer of this.#peers.values()) this.release(peer);
  }

  /** Whatever bytes came, this returns. A stranger's cost one look-up and get no answer. */
  receive(datagram: Buffer, from: LanAddress): void {
    if (this.#closed) return;
    const { counts } = this;
    const tag = tagOf(datagram);
    if (tag === undefined) {
      counts.malformed++;
      return;
    }
    const correspondent = this.#o.lookup(tag);
    if (!correspondent) {
      counts.unknown++;
      return;
    }
    const plain = open(correspondent.keys.receive, datagram);
    if (!plain) {
      counts.forged++;
      return;
    }
    const frame = decodeFrame(plain);
    if (!frame) {
      counts.malformed++;
      return;
    }
    this.#handle(tag, correspondent, frame, from);
  }

  #handle(tag: bigint, correspondent: Correspondent, frame: Frame, from: LanAddress): void {
    const { counts } = this;
    switch (frame.type) {
      case 'hello': {
        counts.taken++;
        const { session, challenge } = frame;
        const cookie = this.#inbox.cookie(tag, session, performance.now());
        this.#send(correspondent.keys, { type: 'cookie', session, challenge, cookie }, from);
        correspondent.greeted(from);
        return;
      }
      case 'cookie':
      case 'ack': {
        const peer = this.#peers.get(frame.session);
        if (!peer?.keys.receive.tag.equals(correspondent.keys.receive.tag)) {
          counts.stale++;
          return;
        }
        counts.taken++;
        if (frame.type === 'ack') peer.onAck(frame);
        else peer.onCookie(frame, from);
        return;
      }
      case 'data': {
        const taken = this.#inbox.take(tag, frame, performance.now());
        if (!taken) {
          counts.stale++;
          return;
        }
        this.#send(correspondent.keys, taken.ack, from);
        if (taken.repeated) counts.repeated++;
        else if (taken.malformed) counts.malformed++;
        else counts.taken++;
        if (taken.message) correspondent.message(taken.message.value, frame.session, from);
        return;
      }
    }
  }

  #send(keys: PairKeys, frame: Frame, to: LanAddress): void {
    this.#o.transmit(seal(keys.send, encodeFrame(frame)), to);
  }
}
