import { createHmac, randomBytes } from 'node:crypto';
import type { AckFrame, DataFrame } from './frames.ts';
import { haveAll } from './frames.ts';
import { readMessage } from './message.ts';

/**
 * What arrives, each message at most once. All of it is sealed, so only replays of what a correspondent once sent have
 * to be told apart. Data are taken only with a cookie, which this side made for the sender's session a short while ago:
 * replays of older datagrams, and of those to an earlier run of this machine, fail there without any memory of them.
 * For as long as a session's cookie counts, the numbers of its messages are remembered. No clock of the other side is
 * involved, and none of ours but the monotonic one.
 */
export class Inbox {
  readonly #secret = randomBytes(32);
  readonly #windows = new Map<string, Window>();
  /** Oldest first. */
  readonly #partials = new Set<Partial>();

  /** What data of this session must carry now. It counts for one to two periods. */
  cookie(tag: bigint, session: bigint, now: number): bigint {
    return this.#cookieOf(tag, session, Math.floor(now / cookieMs));
  }

  /** Takes a part. Undefined: not fresh, to be dropped without a word. */
  take(tag: bigint, frame: DataFrame, now: number): Taken | undefined {
    const period = Math.floor(now / cookieMs);
    const fresh = [period, period - 1].some((one) => this.#cookieOf(tag, frame.session, one) === frame.cookie);
    if (!fresh) return undefined;
    const window = this.#window(tag, frame.session, now, (period + 2) * cookieMs);
    if (!window) return undefined;
    const { message, session } = frame;
    if (window.delivered.has(message)) return { ack: { type: 'ack', session, message, have: haveAll }, repeated: true };
    if (message <= window.highest - rememberedMessages) return undefined;
    const partial = this.#partialOf(window, frame);
    if (!partial) return undefined;
    partial.parts[frame.index] ??= Buffer.from(frame.part);
    const have = partial.parts.reduce((bits, part, index) => (part ? bits | (1 << index) : bits), 0);
    if (partial.parts.some((part) => part === undefined)) return { ack: { type: 'ack', session, message, have } };
    this.#drop(partial);
    markDelivered(window, message);
    const read = readMessage(Buffer.concat(partial.parts.flatMap((part) => part ?? [])), partial.deflated);
    const ack: AckFrame = { type: 'ack', session, message, have: haveAll };
    return read ? { ack, message: read } : { ack, malformed: true };
  }

  /** Sizes of what is kept, for tests of its bounds. */
  get kept(): { sessions: number; partialMessages: number } {
    return { sessions: this.#windows.size, partialMessages: this.#partials.size };
  }

  #cookieOf(tag: bigint, session: bigint, period: number): bigint {
    const input = Buffer.alloc(24);
    input.writeBigUInt64BE(tag);
    input.writeBigUInt64BE(session, 8);
    input.writeBigInt64BE(BigInt(period), 16);
    return createHmac('sha256', this.#secret).update(input).digest().readBigUInt64BE();
  }

  #window(tag: bigint, session: bigint, now: number, until: number): Window | undefined {
    const key = `${tag}/${session}`;
    const known = this.#windows.get(key);
    if (known) {
      known.until = until;
      return known;
    }
    let siblings = 0;
    for (const [other, window] of this.#windows) {
      if (window.until <= now) this.#forget(other, window);
      else if (window.tag === tag) siblings++;
    }
    if (siblings >= sessionsPerTag || this.#windows.size >= sessionsInAll) return undefined;
    const window: Window = { tag, until, highest: -1, delivered: new Set(), partial: new Map() };
    this.#windows.set(key, window);
    return window;
  }

  #partialOf(window: Window, { message, count, deflated }: DataFrame): Partial | undefined {
    const known = window.partial.get(message);
    if (known) return known.parts.length === count && known.deflated === deflated ? known : undefined;
    // The oldest gives way: its sender learns from the next `have` that it has to start again.
    const [oldestHere] = window.partial.values();
    if (oldestHere && window.partial.size >= partialPerSession) this.#drop(oldestHere);
    const [oldest] = this.#partials;
    if (oldest && this.#partials.size >= partialInAll) this.#drop(oldest);
    const parts = Array<Buffer | undefined>(count).fill(undefined);
    const partial: Partial = { window, message, parts, deflated };
    window.partial.set(message, partial);
    this.#partials.add(partial);
    return partial;
  }

  #drop(partial: Partial): void {
    partial.window.partial.delete(partial.message);
    this.#partials.delete(partial);
  }

  #forget(key: string, window: Window): void {
    for (const partial of window.partial.values()) this.#partials.delete(partial);
    this.#windows.delete(key);
  }
}

interface Taken {
  ack: AckFrame;
  message?: { value: unknown };
  /** All of the message was delivered before. */
  repeated?: true;
  /** It came whole, and was no JSON: nothing that another try would mend. */
  malformed?: true;
}

/** What is remembered of one session of a correspondent. */
interface Window {
  tag: bigint;
  /** When the last cookie that could have been used with it stops counting. */
  until: number;
  highest: number;
  delivered: Set<number>;
  partial: Map<number, Partial>;
}

interface Partial {
  window: Window;
  message: number;
  parts: Array<Buffer | undefined>;
  deflated: boolean;
}

/** How long a cookie counts at least, milliseconds; at most twice that. */
export const cookieMs = 120_000;
const rememberedMessages = 256;
/** Restarts of one machine, or guests with one code, within the time that cookies count. */
const sessionsPerTag = 32;
const sessionsInAll = 1_024;
const partialPerSession = 8;
/** Times 16 parts: at most 2.4 MB in all. */
const partialInAll = 128;

function markDelivered(window: Window, message: number): void {
  window.delivered.add(message);
  if (message <= window.highest) return;
  window.highest = message;
  for (const old of window.delivered) if (old <= message - rememberedMessages) window.delivered.delete(old);
}
