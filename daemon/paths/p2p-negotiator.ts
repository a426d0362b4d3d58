import { randomBytes } from 'node:crypto';
import type { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { P2pSignal } from '../webrtc/p2p-signal.ts';
import type { P2pAttempt, WebRtc } from '../webrtc/webrtc.ts';
import { Retry } from './retry.ts';
import type { Signal } from './signal.ts';

/** The machine that makes no offers asks for one when none came for this long, milliseconds. */
const patienceMs = 3_000;
/** Candidates that came before their offer. */
const mostEarly = 32;
/** Offers and wishes of the other side that are followed up, each minute. */
const mostAsked = 60;

export interface P2pNegotiatorOptions {
  /** Of the two machines this one makes the offers. */
  offers: boolean;
  webrtc: Pick<WebRtc, 'open'>;
  send: (signal: Signal) => void;
  ready: (transport: Transport) => void;
  changed: () => void;
}

interface Attempt {
  connection: string;
  rtc: P2pAttempt | undefined;
}

/** Keeps trying for a P2P path to one machine, while there is none and something can carry the offers. */
export class P2pNegotiator {
  readonly #o: P2pNegotiatorOptions;
  readonly #retry = new Retry();
  #attempt: Attempt | undefined;
  #early: { connection: string; signals: P2pSignal[] } | undefined;
  #had = false;
  #failure: string | undefined;
  #asked = { count: 0, since: 0 };
  #closed = false;

  constructor(options: P2pNegotiatorOptions) {
    this.#o = options;
  }

  /** `have`: a P2P path that works, or may yet. `possible`: one is wanted, and something can carry signals. */
  consider(have: boolean, possible: boolean, now: number): void {
    if (this.#had && !have) this.#retry.ended(now);
    this.#had = have;
    if (have || this.#attempt || !possible || this.#closed || now < this.#retry.dueAt) return;
    if (this.#o.offers) {
      this.#open(randomBytes(9).toString('base64url'), true);
    } else {
      this.#o.send({ type: 'p2p-wanted' });
      this.#retry.failed(now);
    }
  }

  get dueAt(): number {
    return this.#retry.dueAt;
  }

  get note(): string {
    return this.#attempt ? 'being negotiated' : (this.#failure ?? 'not tried yet');
  }

  get trying(): boolean {
    return this.#attempt !== undefined;
  }

  /** Something changed: the network, or what can carry signals. */
  reset(now: number): void {
    this.#retry.reset(this.#o.offers ? now : now + patienceMs);
  }

  /** The other daemon may be another one now, which knows nothing of what was offered to the one before. */
  restarted(now: number): void {
    if (this.#o.offers && this.#attempt) {
      const { rtc } = this.#attempt;
      this.#attempt = undefined;
      rtc?.close();
    }
    this.reset(now);
  }

  receive(signal: Signal, now: number): void {
    if (this.#closed) return;
    switch (signal.type) {
      case 'p2p':
        this.#signalled(signal.connection, signal.signal, now);
        return;
      case 'p2p-wanted':
        if (this.#o.offers && !this.#attempt && this.#mayAsk(now)) {
          this.#retry.reset(now);
          this.#o.changed();
        }
        return;
      case 'p2p-ended':
        if (signal.connection === this.#attempt?.connection) this.#failed('the other machine gave up', false);
    }
  }

  /** Nothing could carry an offer or an answer of this attempt, so that nobody will answer it. */
  undelivered(connection: string): void {
    if (connection === this.#attempt?.connection) this.#failed('nothing could carry the offer there', false);
  }

  close(): void {
    this.#closed = true;
    this.#attempt?.rtc?.close();
    this.#attempt = undefined;
  }

  #signalled(connection: string, signal: P2pSignal, now: number): void {
    if (connection === this.#attempt?.connection) {
      this.#attempt.rtc?.signal(signal);
    } else if (this.#o.offers) {
      // Of an attempt that is over here, or was another daemon's.
      if (signal.type !== 'candidate') this.#o.send({ type: 'p2p-ended', connection });
    } else if (signal.type === 'offer') {
      if (!this.#mayAsk(now)) return;
      // Whoever offers anew has given up what it offered before.
      this.#attempt?.rtc?.close();
      const attempt = this.#open(connection, false);
      attempt.rtc?.signal(signal);
      const early = this.#early?.connection === connection ? this.#early.signals : [];
      this.#early = undefined;
      for (const candidate of early) attempt.rtc?.signal(candidate);
    } else if (signal.type === 'candidate') {
      if (this.#early?.connection !== connection) this.#early = { connection, signals: [] };
      if (this.#early.signals.length < mostEarly) this.#early.signals.push(signal);
    }
  }

  #open(connection: string, initiator: boolean): Attempt {
    const attempt: Attempt = { connection, rtc: undefined };
    this.#attempt = attempt;
    const current = (): boolean => this.#attempt === attempt;
    attempt.rtc = this.#o.webrtc.open(initiator, {
      signal: (signal) => {
        if (current()) this.#o.send({ type: 'p2p', connection, signal });
      },
      connected: (transport) => {
        if (!current()) {
          transport.close();
          return;
        }
        this.#attempt = undefined;
        this.#failure = undefined;
        this.#had = true;
        this.#retry.succeeded(performance.now());
        this.#o.ready(transport);
        this.#o.changed();
      },
      failed: (error: NiiaError) => {
        if (current()) this.#failed(error.message, true);
      },
    });
    return attempt;
  }

  #failed(why: string, tell: boolean): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    this.#failure = why;
    this.#retry.failed(performance.now());
    if (attempt && tell) this.#o.send({ type: 'p2p-ended', connection: attempt.connection });
    attempt?.rtc?.close();
    this.#o.changed();
  }

  /** A hostile member may not keep us busy. */
  #mayAsk(now: number): boolean {
    if (now - this.#asked.since > 60_000) this.#asked = { count: 0, since: now };
    return ++this.#asked.count <= mostAsked;
  }
}
