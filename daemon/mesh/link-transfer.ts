import type { NiiaError } from '../../shared/errors.ts';
import type { LinkAction } from './link-action.ts';
import type { Control, SealedFrame } from './link-frames.ts';
import type { LinkPath } from './link-path.ts';
import type { LinkPaths } from './link-paths.ts';
import type { LinkSession } from './link-session.ts';
import { linkLimits as limits, linkTiming as timing } from './link-timing.ts';

/** Counts of what did not count. */
export interface LinkStats {
  malformed: number;
  forged: number;
  replayed: number;
  duplicates: number;
  gaps: number;
  /** Data frames sent more than once. */
  resent: number;
}

/** A ping measures the path, and not the queue, while less than this is in flight, or the queue is known to be short. */
const unloadedBytes = 8 << 10;

/**
 * One session at work on the paths of a link: sends, acknowledges, pings, finds out what was lost and which paths fail,
 * and sends the unacknowledged tail again where that helps. Time comes in with every call.
 */
export class LinkTransfer {
  readonly session: LinkSession;
  readonly #paths: LinkPaths;
  readonly #stats: LinkStats;
  readonly #emit: (action: LinkAction) => void;
  readonly #condemn: (path: LinkPath) => void;
  #blocked = false;
  /** When a message last went or came; something authentic came; data moved or began to wait; data was sent again. */
  #usedAt: number;
  #heardAt: number;
  #progressAt: number;
  #resentAt = Number.NEGATIVE_INFINITY;
  #resends = 0;
  /** Frames below this counter may have been sent more than once. */
  #freshFrom = 0;
  #pingId = 0;
  /** When an acknowledgement is due, when the last one went, and the bytes that came since. */
  #ackAt = Number.POSITIVE_INFINITY;
  #ackedAt = Number.NEGATIVE_INFINITY;
  #unacknowledged = 0;
  /** Bytes that the other side puts in one frame. */
  #fragment = 0;
  /** Where data last came from. */
  #dataPath: LinkPath | undefined;
  #gapAt = Number.NEGATIVE_INFINITY;

  constructor(
    session: LinkSession,
    paths: LinkPaths,
    stats: LinkStats,
    does: { emit: (action: LinkAction) => void; condemn: (path: LinkPath) => void },
    now: number,
  ) {
    this.session = session;
    this.#paths = paths;
    this.#stats = stats;
    this.#emit = does.emit;
    this.#condemn = does.condemn;
    this.#usedAt = now;
    this.#heardAt = now;
    this.#progressAt = now;
  }

  get writable(): boolean {
    return !this.#blocked;
  }

  /** When something authentic last came, not counting time asleep. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Sealed and queued at once; goes out as `take` is called. */
  write(internal: boolean, head: Uint8Array, body: Uint8Array | undefined, now: number): void {
    const { outbox } = this.session;
    if (outbox.bytes === 0) this.#progressAt = now;
    const { active } = this.#paths;
    this.session.write(internal, head, body, active?.window.fragment);
    this.#usedAt = now;
    if (outbox.unsent >= this.#mostUnsent || outbox.bytes >= limits.window) this.#blocked = true;
  }

  take(now: number): { path: number; head: Uint8Array; body: Uint8Array } | undefined {
    const { active } = this.#paths;
    const { outbox } = this.session;
    const frame = outbox.peek();
    if (!active || !frame || !active.window.admits(outbox.inFlight, frame.size)) return undefined;
    if (frame.counter < outbox.highest) this.#stats.resent++;
    outbox.take(now);
    // Of a frame that was sent twice nobody can tell which one was acknowledged.
    if (frame.counter >= this.#freshFrom) active.window.sent(frame.counter, outbox.inFlight, now);
    this.#unblock();
    return { path: active.id, head: frame.head, body: frame.body };
  }

  /** The message that this frame completes. Throws where the other side broke the limits. */
  data(path: LinkPath, frame: SealedFrame, now: number): { internal: boolean; bytes: Uint8Array } | undefined {
    if (frame.counter > this.session.received && now - this.#gapAt < timing.resendMs) {
      this.#stats.gaps++;
      return undefined;
    }
    const received = this.session.openData(frame);
    switch (received.is) {
      case 'duplicate':
        this.#stats.duplicates++;
        this.#ackAt = Math.min(this.#ackAt, now + timing.ackMs);
        return undefined;
      case 'forged':
        this.#offence('forged', path, now);
        return undefined;
      case 'gap':
        this.#stats.gaps++;
        this.#gapAt = now;
        this.heard(path, now);
        this.#control(this.#wayBack ?? path, { kind: 'gap', received: this.session.received });
        return undefined;
    }
    this.heard(path, now);
    this.#usedAt = now;
    this.#dataPath = path;
    const { length } = frame.ciphertext;
    // Fragments are a part of the sender's window: several acknowledgements a window show it what becomes of that.
    if (frame.more || length > this.#fragment) this.#fragment = length;
    this.#unacknowledged += length;
    const enough = Math.min(limits.ackEvery, Math.max(limits.ackLeast, 2 * this.#fragment - limits.ackLeast));
    if (this.#unacknowledged >= enough) this.#acknowledge(now);
    else if (this.#ackAt === Number.POSITIVE_INFINITY) this.#ackAt = Math.max(now, this.#ackedAt + timing.ackMs);
    return received.is === 'message' ? received : undefined;
  }

  /** Takes a control message; gives the error with which the other side said good-bye. */
  control(path: LinkPath, frame: SealedFrame, now: number): NiiaError | undefined {
    if (!path.controls.take(now)) this.#condemn(path);
    const control = this.session.openControl(frame);
    if (control === 'forged' || control === 'replayed') {
      this.#offence(control, path, now);
      return undefined;
    }
    this.heard(path, now);
    return control === 'unknown' ? undefined : this.controlled(path, control, now);
  }

  /** The same for one that is open already. */
  controlled(path: LinkPath, control: Control, now: number): NiiaError | undefined {
    if (control.kind === 'bye') return control.error;
    const { outbox, received } = this.session;
    const held = outbox.bytes;
    if (outbox.acknowledge(control.received)) {
      this.#progressAt = now;
      const { active } = this.#paths;
      active?.progressed(now);
      active?.window.acknowledged(control.received, held - outbox.bytes, outbox.next, now, path === active);
      active?.rate.delivered(held - outbox.bytes, this.#blocked || outbox.unsent > 0, now);
      this.#unblock();
    }
    switch (control.kind) {
      case 'ping':
        if (path.pongs.take(now)) this.#control(path, { kind: 'pong', id: control.id, received });
        break;
      case 'pong': {
        const ping = path.ponged(control.id, now);
        if (ping) path.window.roundTrip(now - ping.at, now);
        // What went before the ping on the same path, and since the last resend, would have arrived before it.
        const lost = ping?.resends === this.#resends && path === this.#paths.active;
        if (lost && control.received < ping.next && outbox.acknowledged < ping.next) this.#resend(now);
        this.judge(now);
        break;
      }
      case 'gap': {
        const pause = Math.max(timing.resendMs, this.#paths.active?.rttMs ?? 0);
        if (control.received === outbox.acknowledged && now - this.#resentAt >= pause) this.#resend(now);
      }
    }
    return undefined;
  }

  heard(path: LinkPath, now: number): void {
    const { works } = path;
    path.heard(now);
    this.#heardAt = now;
    if (works && this.#paths.active) return;
    this.judge(now);
    this.#emit({ do: 'changed' });
  }

  /** Marks failed paths and moves to a better one. */
  judge(now: number): void {
    const before = this.#paths.active;
    const worked = before?.works;
    if (this.#paths.judge(now)) this.moved(now);
    if (before !== this.#paths.active || worked !== before?.works) this.#emit({ do: 'changed' });
  }

  /** Another path is active: what the one before may have lost goes out there. */
  moved(now: number): void {
    this.#resend(now);
    this.#progressAt = now;
  }

  ping(path: LinkPath, now: number): void {
    const { outbox, received } = this.session;
    this.#pingId = (this.#pingId + 1) >>> 0;
    const { active } = this.#paths;
    const resends = path === active ? this.#resends : -1;
    const unloaded = outbox.inFlight < unloadedBytes || active?.window.calm === true;
    path.pinged({ id: this.#pingId, at: now, resends, next: outbox.next, unloaded });
    this.#control(path, { kind: 'ping', id: this.#pingId, received });
  }

  pingAll(now: number): void {
    for (const path of this.#paths) this.ping(path, now);
  }

  bye(error: NiiaError): void {
    for (const path of this.#paths) if (path.attached) this.#control(path, { kind: 'bye', error });
  }

  tick(now: number): void {
    if (now >= this.#ackAt) this.#acknowledge(now);
    const inUse = this.#inUse(now);
    for (const path of this.#paths) {
      if (now >= path.lastPingAt + this.#paths.pingEvery(path, inUse, now)) this.ping(path, now);
    }
    if (this.#waits() && now >= this.#stallAt()) {
      this.#paths.active?.avoid(now, 'data did not move on it');
      this.#progressAt = now;
    }
    const { oldestAt, inFlight } = this.session.outbox;
    this.#paths.judgeRate(now, oldestAt === undefined ? 0 : now - oldestAt, inFlight);
    this.judge(now);
  }

  deadline(now: number): number {
    let first = this.#ackAt;
    const inUse = this.#inUse(now);
    for (const path of this.#paths) {
      first = Math.min(first, path.lastPingAt + this.#paths.pingEvery(path, inUse, now), path.judgeAt);
    }
    return this.#waits() ? Math.min(first, this.#stallAt()) : first;
  }

  /** This machine slept: only time awake counts against the link. */
  woke(now: number, sleptMs: number): void {
    this.#heardAt += sleptMs;
    this.#progressAt = now;
  }

  #offence(kind: 'forged' | 'replayed', path: LinkPath, now: number): void {
    this.#stats[kind]++;
    if (!path.offences.take(now)) this.#condemn(path);
  }

  #acknowledge(now: number): void {
    this.#ackAt = Number.POSITIVE_INFINITY;
    this.#ackedAt = now;
    this.#unacknowledged = 0;
    // Without a path nothing can be said; whichever comes starts with a ping that says it.
    const path = this.#wayBack;
    if (path) this.#control(path, { kind: 'ack', received: this.session.received });
  }

  /** Where the data came from, so that a round trip there is that path's own; the active one where that fails. */
  get #wayBack(): LinkPath | undefined {
    const path = this.#dataPath;
    return path?.works && this.#paths.get(path.id) === path ? path : this.#paths.active;
  }

  #control(path: LinkPath, control: Control): void {
    this.#emit({ do: 'send', path: path.id, ...this.session.sealControl(control) });
  }

  /** The unacknowledged tail goes out again on the active path, the same bytes. */
  #resend(now: number): void {
    const { outbox } = this.session;
    this.#freshFrom = outbox.highest;
    outbox.rewind();
    this.#paths.active?.window.restart(this.#freshFrom);
    this.#resends++;
    this.#resentAt = now;
  }

  #unblock(): void {
    const { outbox } = this.session;
    // Whoever writes does so at once when asked: only what is nearly gone is filled up, and little waits.
    if (!this.#blocked || outbox.unsent > this.#mostUnsent / 8 || outbox.bytes > (limits.window / 4) * 3) return;
    this.#blocked = false;
    this.#emit({ do: 'writable' });
  }

  #inUse(now: number): boolean {
    return now - this.#usedAt < timing.usedMs || this.session.outbox.bytes > 0;
  }

  /** Data waits to arrive, and there is a path that it could use. */
  #waits(): boolean {
    return this.#paths.active !== undefined && this.session.outbox.bytes > 0;
  }

  #stallAt(): number {
    const rtt = Math.min(this.#paths.active?.rttMs ?? 0, timing.stallMs);
    return this.#progressAt + Math.max(timing.stallMs, 4 * rtt);
  }

  /** Without a path too, something is taken. */
  get #mostUnsent(): number {
    return this.#paths.active?.window.unsent ?? limits.unsent;
  }
}
