import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Log } from '../home/log.ts';
import type { Lan } from '../lan/lan.ts';
import { LanGuest } from '../lan/lan.ts';
import type { P2pAttempt, WebRtc } from '../webrtc/webrtc.ts';
import type { Signal } from './signal.ts';
import { signalSchema } from './signal.ts';

/** Guests that may be on their way in at a time; each had to show an open invite. */
const mostGuests = 8;

export interface GuestDoorOptions {
  webrtc: Pick<WebRtc, 'open'>;
  lan: Pick<Lan, 'sendGuest'>;
  /** A lane to a guest that showed the ticket of this hash. */
  guest: (ticketHash: string, lane: Transport) => void;
}

/** Where guests with an invite come in over the local network: their lane is a WebRTC connection that they offer. */
export class GuestDoor {
  readonly #o: GuestDoorOptions;
  readonly #attempts = new Map<string, { connection: string; rtc: P2pAttempt | undefined }>();

  constructor(options: GuestDoorOptions) {
    this.#o = options;
  }

  /** A value from a guest whose invite is open. What is no signal is dropped. */
  receive(ticketHash: string, guest: string, value: unknown): void {
    const parsed = v.safeParse(signalSchema, value);
    if (!parsed.success || parsed.output.type !== 'p2p') return;
    const { connection, signal } = parsed.output;
    const attempt = this.#attempts.get(guest);
    if (attempt?.connection === connection) {
      attempt.rtc?.signal(signal);
    } else if (signal.type === 'offer' && (attempt || this.#attempts.size < mostGuests)) {
      attempt?.rtc?.close();
      this.#open(ticketHash, guest, connection)?.signal(signal);
    }
  }

  close(): void {
    for (const { rtc } of this.#attempts.values()) rtc?.close();
    this.#attempts.clear();
  }

  #open(ticketHash: string, guest: string, connection: string): P2pAttempt | undefined {
    const attempt: { connection: string; rtc: P2pAttempt | undefined } = { connection, rtc: undefined };
    this.#attempts.set(guest, attempt);
    const over = (): boolean => {
      if (this.#attempts.get(guest) !== attempt) return false;
      this.#attempts.delete(guest);
      return true;
    };
    const send = inOrder((signal) => this.#o.lan.sendGuest(guest, signal));
    attempt.rtc = this.#o.webrtc.open(false, {
      // A lost answer is the guest's to notice: it tries again.
      signal: (signal) => send({ type: 'p2p', connection, signal }),
      connected: (lane) => {
        if (over()) this.#o.guest(ticketHash, lane);
        else lane.close();
      },
      failed: () => over(),
    });
    return attempt.rtc;
  }
}

/** Datagrams overtake each other; an offer has to be there before its candidates. */
function inOrder(send: (signal: Signal) => Promise<boolean>): (signal: Signal) => void {
  let before: Promise<unknown> = Promise.resolve();
  return (signal) => {
    // One that cannot be sent is as good as lost: whoever waits for it tries again.
    before = before.then(() => send(signal)).catch(() => false);
  };
}

export interface LanLaneOptions {
  /** The inviter's Noise key (base64url) and the secret, as the invite code has them. */
  inviterKey: string;
  secret: Uint8Array;
  webrtc: Pick<WebRtc, 'open'>;
  signal: AbortSignal;
  log: Log;
  /** How long the inviter is looked for, milliseconds. */
  findMs: number;
}

/** A guest's lane to its inviter over the local network. Rejects with `gateway_unreachable`, or what aborted the signal. */
export async function connectLanGuest({ webrtc, signal, findMs, ...o }: LanLaneOptions): Promise<Transport> {
  const connection = randomBytes(9).toString('base64url');
  let attempt: P2pAttempt | undefined;
  const early: unknown[] = [];
  const receive = (value: unknown): void => {
    const parsed = v.safeParse(signalSchema, value);
    if (!parsed.success || parsed.output.type !== 'p2p' || parsed.output.connection !== connection) return;
    if (attempt) attempt.signal(parsed.output.signal);
    else early.push(value);
  };
  const guest = new LanGuest({ ...o, signal: receive });
  const send = inOrder((out) => guest.send(out));
  try {
    if (!(await guest.find(findMs, signal))) {
      throw new NiiaError(
        'gateway_unreachable',
        'neither the gateway of the invite can be reached, nor is the inviting machine on this network',
        'Let the inviting machine listen (niia up --listen 0.0.0.0:7447) and make a new invite, or use a gateway.',
      );
    }
    signal.throwIfAborted();
    return await new Promise<Transport>((resolve, reject) => {
      const aborted = (): void => {
        attempt?.close();
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
      attempt = webrtc.open(true, {
        signal: (out) => send({ type: 'p2p', connection, signal: out }),
        connected: (lane) => {
          signal.removeEventListener('abort', aborted);
          resolve(lane);
        },
        failed: (error) => {
          signal.removeEventListener('abort', aborted);
          reject(error);
        },
      });
      for (const value of early.splice(0)) receive(value);
    });
  } finally {
    guest.close();
  }
}
