import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { agreeOnVersion, protocolRange } from '../../shared/protocol/version.ts';
import type { LinkCrypto } from './link-crypto.ts';
import {
  answers,
  type Control,
  initiateFrame,
  parseJson,
  respondFrame,
  restartFrame,
  type SealedFrame,
} from './link-frames.ts';
import type { LinkPath } from './link-path.ts';
import { LinkSession, type SessionKeys } from './link-session.ts';
import { linkTiming as timing } from './link-timing.ts';

/** One run of Noise IK, as daemon/mesh/noise.ts does it. */
export interface LinkHandshake {
  write(payload?: Uint8Array): Uint8Array;
  read(message: Uint8Array): Uint8Array;
  readonly remoteStatic: Uint8Array | undefined;
  readonly keys: { send: Uint8Array; receive: Uint8Array };
  readonly hash: Uint8Array;
}

const chainSchema = v.object({ team: v.string(), head: v.string(), length: v.number() });
export type ChainHead = v.InferOutput<typeof chainSchema>;

/** What both sides say in the handshake's payloads. */
const greetingSchema = v.object({
  protocol: v.object({ min: v.number(), max: v.number() }),
  software: v.pipe(v.string(), v.maxLength(100)),
  roster: chainSchema,
  /** Initiator: the session that it has. Responder: that session lives here too, so no new one is begun. */
  session: v.optional(v.pipe(v.string(), v.maxLength(64))),
});
type Greeting = v.InferOutput<typeof greetingSchema>;

/** What can be read of a greeting of any version. */
const rangeSchema = v.object({
  protocol: greetingSchema.entries.protocol,
  software: v.fallback(greetingSchema.entries.software, ''),
});

/** A session whose keys both sides are known to have, and who the other side is. */
export interface Established {
  session: LinkSession;
  /** The other side's static key, proved. */
  remoteKey: Uint8Array;
  software: string;
  roster: ChainHead;
  /** Wire version that both speak, or why there is none. */
  version: number | NiiaError;
}

export interface SetupOptions {
  /** This machine starts handshakes (its id is the lower one). The other starts them only when asked. */
  initiator: boolean;
  software: string;
  crypto: LinkCrypto;
  framesPerKey: number | undefined;
  /** A fresh handshake; undefined for an initiator who does not know the other's key. */
  handshake(initiator: boolean): LinkHandshake | undefined;
  chain(): ChainHead;
  /** False for a key that cannot be the other machine's. Nobody but it gets so far as to replace a session. */
  mayBe(remoteKey: Uint8Array): boolean;
  /** Puts bytes on a path. */
  send(path: LinkPath, bytes: Uint8Array): void;
}

interface Attempt {
  path: LinkPath;
  handshake: LinkHandshake;
  noise: Uint8Array;
  sentAt: number;
  waitMs: number;
  /** Asked for by the other side and given up when it does not answer. */
  asked: boolean;
  sends: number;
}

interface Pending extends Established {
  initiate: Uint8Array;
  reply: Uint8Array;
  at: number;
}

/** Handshakes that the other side began and has not confirmed. The oldest goes first. */
const mostPending = 16;
/** Handshakes that are answered on one path in a burst, and milliseconds until one more is. */
const burst = 8;
const refillMs = 250;
const asksMs = 200;
const mostAskedSends = 4;

/**
 * Gets two machines to share a session, over paths that may drop anything:
 *
 * - The initiator repeats the same first message until it is answered; the responder answers the same message with the
 *   same reply. Each path is tried at once; the first answer wins.
 * - The responder uses a new session only after the initiator proved its keys, so a replayed first message ends nothing.
 * - Whoever gets frames of a session that it does not know, or has none, asks for a restart. That is only a hint: in the
 *   handshake both say which session they have, and if they share one it goes on.
 */
export class LinkSetup {
  readonly #options: SetupOptions;
  readonly #attempts = new Map<number, Attempt>();
  #pending: Pending[] = [];
  #backoffUntil = 0;
  /** By path, so that what comes over one cannot keep a handshake on another from being answered. */
  readonly #tokens = new Map<number, { left: number; at: number }>();
  readonly #askedAt = new Map<number, number>();

  constructor(options: SetupOptions) {
    this.#options = options;
  }

  get attempting(): boolean {
    return this.#attempts.size > 0;
  }

  /** A path came, or the last session ended. With a session that is live nothing is begun: its pings say what is known. */
  begin(path: LinkPath, now: number): void {
    if (now < this.#backoffUntil || this.#attempts.has(path.id)) return;
    if (this.#options.initiator && this.#attempt(path, undefined, false, now)) return;
    // Not ours to start, or we do not know the other's key: it may not know that this path is here.
    this.#ask(path, 0, now);
  }

  /** Frames of a session that is not ours came. */
  unknownSession(path: LinkPath, tag: number, now: number): void {
    // An initiator without a session has a handshake under way or waits for its time; with one, these are late frames.
    if (!this.#options.initiator) this.#ask(path, tag, now);
  }

  /** The other side asks for a handshake. */
  restart(path: LinkPath, session: { id: string; tag: number } | undefined, tag: number, now: number): void {
    if (now < this.#backoffUntil) return;
    // It answers frames of a session that is over here too, or says that it has none while ours is not known to it.
    if (session && tag !== session.tag && tag !== 0) return;
    const attempt = this.#attempts.get(path.id);
    if (!attempt) this.#attempt(path, session?.id, !this.#options.initiator, now);
    else if (now - attempt.sentAt >= timing.retryMs / 3) this.#repeat(attempt, now);
  }

  /** The first message of a handshake came. */
  initiate(path: LinkPath, noise: Uint8Array, session: string | undefined, now: number): void {
    const known = this.#pending.find((pending) => same(pending.initiate, noise));
    if (known) {
      this.#options.send(path, known.reply);
      return;
    }
    // Two handshakes in opposite directions could end in two sessions: the initiator's goes first.
    if (this.#options.initiator && this.#options.handshake(true)) return;
    if (!this.#takeToken(path, now)) return;
    const handshake = this.#options.handshake(false);
    const theirs = handshake && greetingIn(handshake, noise);
    const remoteKey = handshake?.remoteStatic;
    if (!theirs || !remoteKey || !this.#options.mayBe(remoteKey)) return;
    const shared = [session, ...this.#pending.map((pending) => pending.session.id)].find(
      (id) => id !== undefined && id === theirs.session,
    );
    const second = step(() => handshake.write(this.#greeting(shared)));
    if (!second) return;
    const reply = respondFrame(noise, second);
    this.#options.send(path, reply);
    if (shared !== undefined) return;
    const initiate = Uint8Array.from(noise);
    this.#pending.push({ ...this.#establish(handshake, theirs, remoteKey), initiate, reply, at: now });
    if (this.#pending.length > mostPending) this.#pending.shift();
  }

  /** The second message came. The session that begins with it, `shared` where the present one goes on, or nothing. */
  respond(path: LinkPath, echo: Uint8Array, noise: Uint8Array): Established | 'shared' | undefined {
    const attempt = this.#attempts.get(path.id);
    if (!attempt || !answers(echo, attempt.noise)) return undefined;
    const theirs = greetingIn(attempt.handshake, noise);
    const remoteKey = attempt.handshake.remoteStatic;
    if (!theirs || !remoteKey) {
      // A failed handshake cannot go on. `tick` makes another, no sooner than it would have repeated this one.
      attempt.noise = new Uint8Array();
      return undefined;
    }
    this.#attempts.delete(path.id);
    if (theirs.session !== undefined) return 'shared';
    return this.#establish(attempt.handshake, theirs, remoteKey);
  }

  /** The unconfirmed session that this frame confirms: a control frame under its keys. */
  confirmedBy(frame: SealedFrame): { established: Established; control: Control | 'unknown' } | undefined {
    if (frame.type !== 'control') return undefined;
    for (const pending of this.#pending) {
      if (pending.session.tag !== frame.session) continue;
      const control = pending.session.openControl(frame);
      if (control === 'forged' || control === 'replayed') continue;
      return { established: pending, control };
    }
    return undefined;
  }

  /** A session was agreed on: everything else under way is void. */
  settled(): void {
    this.#attempts.clear();
    this.#pending = [];
  }

  pathDown(id: number): void {
    this.#attempts.delete(id);
    this.#askedAt.delete(id);
    this.#tokens.delete(id);
  }

  /** The machine slept: the other side had no time to confirm. */
  woke(now: number): void {
    for (const pending of this.#pending) pending.at = now;
  }

  /** No handshake before `until`. */
  backOff(until: number): void {
    this.#backoffUntil = until;
    this.#attempts.clear();
  }

  /** Handshakes may begin again. */
  endBackOff(): void {
    this.#backoffUntil = 0;
  }

  /** Repeats what was not answered. */
  tick(session: string | undefined, now: number): void {
    for (const attempt of this.#attempts.values()) {
      if (now < attempt.sentAt + attempt.waitMs) continue;
      if (attempt.asked && attempt.sends >= mostAskedSends) this.#attempts.delete(attempt.path.id);
      else if (attempt.noise.length > 0) this.#repeat(attempt, now);
      else
        this.#attempt(attempt.path, session, attempt.asked, now, Math.min(attempt.waitMs * 2, timing.longestRetryMs));
    }
    const oldest = this.#pending[0];
    if (oldest && now - oldest.at >= timing.admissionMs) this.#pending.shift();
  }

  get deadline(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const attempt of this.#attempts.values()) first = Math.min(first, attempt.sentAt + attempt.waitMs);
    const oldest = this.#pending[0];
    return oldest ? Math.min(first, oldest.at + timing.admissionMs) : first;
  }

  #attempt(path: LinkPath, session: string | undefined, asked: boolean, now: number, waitMs: number = timing.retryMs) {
    const handshake = this.#options.handshake(true);
    const noise = handshake && step(() => handshake.write(this.#greeting(session)));
    if (!noise) return false;
    this.#attempts.set(path.id, { path, handshake, noise, sentAt: now, waitMs, asked, sends: 1 });
    this.#options.send(path, initiateFrame(noise));
    return true;
  }

  #repeat(attempt: Attempt, now: number): void {
    if (attempt.noise.length === 0) return;
    attempt.sentAt = now;
    attempt.sends++;
    attempt.waitMs = Math.min(attempt.waitMs * 2, timing.longestRetryMs);
    this.#options.send(attempt.path, initiateFrame(attempt.noise));
  }

  #ask(path: LinkPath, tag: number, now: number): void {
    if (now - (this.#askedAt.get(path.id) ?? Number.NEGATIVE_INFINITY) < asksMs) return;
    this.#askedAt.set(path.id, now);
    this.#options.send(path, restartFrame(tag));
  }

  #takeToken(path: LinkPath, now: number): boolean {
    const tokens = this.#tokens.get(path.id) ?? { left: burst, at: now };
    this.#tokens.set(path.id, tokens);
    const refill = Math.floor((now - tokens.at) / refillMs);
    tokens.left = Math.min(burst, tokens.left + refill);
    tokens.at += refill * refillMs;
    if (tokens.left === 0) return false;
    tokens.left--;
    return true;
  }

  #greeting(session: string | undefined): Uint8Array {
    const greeting: Greeting = {
      protocol: protocolRange,
      software: this.#options.software.slice(0, 100),
      roster: this.#options.chain(),
    };
    if (session !== undefined) greeting.session = session;
    return Buffer.from(JSON.stringify(greeting));
  }

  #establish(handshake: LinkHandshake, theirs: Greeting, remoteKey: Uint8Array): Established {
    const keys: SessionKeys = { ...handshake.keys, hash: handshake.hash };
    return {
      session: new LinkSession(keys, this.#options.crypto, this.#options.framesPerKey),
      remoteKey,
      software: theirs.software,
      roster: theirs.roster,
      version: agreed(theirs),
    };
  }
}

function agreed(theirs: Pick<Greeting, 'protocol' | 'software'>): number | NiiaError {
  try {
    return agreeOnVersion(theirs.protocol, `niia ${theirs.software} there`);
  } catch (error) {
    return NiiaError.from(error);
  }
}

function greetingIn(handshake: LinkHandshake, noise: Uint8Array): Greeting | undefined {
  const payload = step(() => handshake.read(noise));
  if (!payload) return undefined;
  const json = parseJson(payload);
  const greeting = v.safeParse(greetingSchema, json);
  if (greeting.success) return greeting.output;
  // Of another version, perhaps: then the session begins, and ends with the word which side is the older.
  const range = v.safeParse(rangeSchema, json);
  if (!range.success || typeof agreed(range.output) === 'number') return undefined;
  return { ...range.output, roster: { team: '', head: '', length: 0 } };
}

/** What a step of a handshake gives; undefined where the other side's part is forged, damaged or for another team. */
function step(take: () => Uint8Array): Uint8Array | undefined {
  try {
    return take();
  } catch (error) {
    if (NiiaError.from(error).code === 'denied') return undefined;
    throw error;
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
