import { randomBytes } from 'node:crypto';
import type { AckFrame, Frame } from './frames.ts';
import { haveAll } from './frames.ts';
import { cookieMs } from './inbox.ts';
import { cutMessage } from './message.ts';
import type { PairKeys } from './seal.ts';

/** Where datagrams come from and go to. `address`: IPv4, or IPv6 with its zone where it is link-local. */
export interface LanAddress {
  address: string;
  port: number;
}

export interface LanPeerOptions {
  keys: PairKeys;
  /** Seals and sends; may lose it. */
  transmit(frame: Frame, to: LanAddress): void;
  /** It answered, for the first time in a while or from another address. */
  found?(): void;
  /** It answered before, and does so no more. */
  gone?(): void;
}

/** Milliseconds after which hellos and data without an answer are sent again; then every `lastRetryMs`. */
const retryMs = [100, 200, 400, 800, 1_600];
const lastRetryMs = 1_600;
/** How long somebody is asked whether he is there. */
const probeMs = 3_200;
export const sendMs = 5_000;
/** Younger than what the other side accepts at least. */
const cookieFreshMs = cookieMs - 20_000;
const mostCandidates = 8;
const mostOutgoing = 32;

/**
 * The sending half of a conversation with one machine. Anybody on the LAN may claim to be that machine, so several
 * addresses are held for it: all are asked, and the one from which a sealed answer to the present question came is used.
 */
export class LanPeer {
  /** Names this half on the wire. */
  readonly session = randomBytes(8).readBigUInt64BE();
  readonly keys: PairKeys;
  readonly #o: LanPeerOptions;
  /** By `address port`, oldest first. */
  readonly #candidates = new Map<string, LanAddress>();
  readonly #outgoing = new Map<number, Outgoing>();
  #answering: LanAddress | undefined;
  #cookie: { value: bigint; at: number } | undefined;
  #probe: { challenge: bigint; startedAt: number; attempt: number; timer: NodeJS.Timeout } | undefined;
  #nextMessage = 0;
  #closed = false;

  constructor(options: LanPeerOptions) {
    this.#o = options;
    this.keys = options.keys;
  }

  /** Whether it answered when it was last asked. */
  get present(): boolean {
    return this.#answering !== undefined;
  }

  /** It may be reached there. Asks it when that is news. */
  addCandidate(where: LanAddress): void {
    if (this.#closed) return;
    const key = keyOf(where);
    const known = this.#candidates.delete(key);
    this.#candidates.set(key, where);
    const [oldest] = this.#candidates.keys();
    if (this.#candidates.size > mostCandidates && oldest !== undefined) this.#candidates.delete(oldest);
    if (known && this.present) return;
    // Asked at once, also in the middle of a probe: it may be pushed out by others before the next round.
    if (this.#probe) this.#hello(this.#probe.challenge, where);
    else this.probe();
  }

  /** It said that it leaves that address, or was not heard of there for long: believed when it does not answer. */
  doubt(where: LanAddress): void {
    const isHere = this.#answering && keyOf(this.#answering) === keyOf(where);
    if ((this.#candidates.delete(keyOf(where)) || isHere) && this.present) this.probe();
  }

  /** Asks wherever it may be whether it is there. */
  probe(): void {
    if (this.#closed || this.#probe || (this.#candidates.size === 0 && !this.#answering)) return;
    const challenge = randomBytes(8).readBigUInt64BE();
    const timer = setTimeout(() => this.#again(), retryMs[0]);
    this.#probe = { challenge, startedAt: performance.now(), attempt: 0, timer };
    // The address that answered last has the first word, so that two that both work do not take turns.
    if (this.#answering) this.#hello(challenge, this.#answering);
    else for (const where of this.#candidates.values()) this.#hello(challenge, where);
  }

  /** True once all of it was acknowledged; false when that took too long or too much is under way. Throws `too_large`. */
  send(value: unknown): Promise<boolean> {
    const { parts, deflated } = cutMessage(value);
    if (this.#closed || this.#outgoing.size >= mostOutgoing) return Promise.resolve(false);
    return new Promise((resolve) => {
      const message = this.#nextMessage++;
      const timer = setTimeout(() => this.#retry(message), retryMs[0]);
      const startedAt = performance.now();
      this.#outgoing.set(message, { parts, deflated, have: 0, attempt: 0, startedAt, timer, resolve });
      if (this.#usable()) this.#transmit(message);
      else this.probe();
    });
  }

  onCookie(frame: Frame & { type: 'cookie' }, from: LanAddress): void {
    if (!this.#probe || frame.challenge !== this.#probe.challenge) return;
    clearTimeout(this.#probe.timer);
    this.#probe = undefined;
    this.#cookie = { value: frame.cookie, at: performance.now() };
    const news = !this.#answering || keyOf(this.#answering) !== keyOf(from);
    this.#answering = from;
    if (news) this.#candidates.set(keyOf(from), from);
    for (const message of this.#outgoing.keys()) this.#transmit(message);
    if (news) this.#o.found?.();
  }

  onAck({ message, have }: AckFrame): void {
    const outgoing = this.#outgoing.get(message);
    if (!outgoing) return;
    outgoing.have = have;
    if (have === haveAll) this.#settle(message, true);
  }

  /** What is under way counts as not sent. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#probe?.timer);
    this.#probe = undefined;
    for (const message of this.#outgoing.keys()) this.#settle(message, false);
  }

  #hello(challenge: bigint, to: LanAddress): void {
    this.#o.transmit({ type: 'hello', session: this.session, challenge }, to);
  }

  #again(): void {
    const probe = this.#probe;
    if (!probe) return;
    const left = probe.startedAt + probeMs - performance.now();
    if (left <= 0) {
      this.#probe = undefined;
      if (!this.#answering) return;
      this.#answering = undefined;
      this.#cookie = undefined;
      this.#o.gone?.();
      return;
    }
    probe.attempt++;
    probe.timer = setTimeout(() => this.#again(), Math.min(left, retryMs[probe.attempt] ?? lastRetryMs));
    const everywhere = new Map(this.#candidates);
    if (this.#answering) everywhere.set(keyOf(this.#answering), this.#answering);
    for (const where of everywhere.values()) this.#hello(probe.challenge, where);
  }

  #usable(): boolean {
    return this.#cookie !== undefined && performance.now() - this.#cookie.at < cookieFreshMs;
  }

  #retry(message: number): void {
    const outgoing = this.#outgoing.get(message);
    if (!outgoing) return;
    const left = outgoing.startedAt + sendMs - performance.now();
    if (left <= 0) {
      this.#settle(message, false);
      return;
    }
    outgoing.attempt++;
    outgoing.timer = setTimeout(() => this.#retry(message), Math.min(left, retryMs[outgoing.attempt] ?? lastRetryMs));
    if (this.#usable()) this.#transmit(message);
    // One lost datagram is common; after two it may have moved, or started anew and know no cookie of its last run.
    if (!this.#usable() || outgoing.attempt >= 2) this.probe();
  }

  #transmit(message: number): void {
    const outgoing = this.#outgoing.get(message);
    if (!outgoing || !this.#cookie || !this.#answering) return;
    const { session } = this;
    const { parts, deflated, have } = outgoing;
    const cookie = this.#cookie.value;
    for (const [index, part] of parts.entries()) {
      if ((have & (1 << index)) !== 0) continue;
      this.#o.transmit(
        { type: 'data', session, cookie, message, index, count: parts.length, deflated, part },
        this.#answering,
      );
    }
  }

  #settle(message: number, acknowledged: boolean): void {
    const outgoing = this.#outgoing.get(message);
    if (!outgoing) return;
    this.#outgoing.delete(message);
    clearTimeout(outgoing.timer);
    outgoing.resolve(acknowledged);
  }
}

interface Outgoing {
  parts: Buffer[];
  deflated: boolean;
  /** What the other side said it has, as in an ack. */
  have: number;
  attempt: number;
  startedAt: number;
  timer: NodeJS.Timeout;
  resolve(acknowledged: boolean): void;
}

function keyOf({ address, port }: LanAddress): string {
  return `${address} ${port}`;
}
