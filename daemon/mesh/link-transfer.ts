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

/** A ping measures the path, and not the queue, while less than this is in flight. */
const unloadedBytes = 64 << 10;

/**
 * One session at work on the paths of a link: sends, acknowledges, pings, finds out what was lost and which paths fail,
 * and sends the unacknowledged tail again where that helps. Time comes in with every call.
 */
export class LinkTransfer {
  readonly session: LinkSession;
  readonly #paths: LinkPaths;
  readonly #stats: LinkStats;
  readonly #emit: (action: LinkAction) => void;
  #blocked = false;
  /** When a message last went or came; something authentic came; data moved or began to wait; data was sent again. */
  #usedAt: number;
  #heardAt: number;
  #progressAt: number;
  #resentAt = Number.NEGATIVE_INFINITY;
  #resends = 0;
  #pingId = 0;
  /** When an acknowledgement is due, and the bytes that it is for. */
  #ackAt = Number.POSITIVE_INFINITY;
  #unacknowledged = 0;
  #gapAt = Number.NEGATIVE_INFINITY;

  constructor(
    session: LinkSession,
    paths: LinkPaths,
    stats: LinkStats,
    emit: (action: LinkAction) => void,
    now: number,
  ) {
    this.session = session;
    this.#paths = paths;
    this.#stats = stats;
    this.#emit = emit;
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
    this.session.write(internal, head, body);
    this.#usedAt = now;
    if (outbox.unsent >= limits.unsent || outbox.bytes >= limits.window) this.#blocked = true;
  }

  take(): { path: number; head: Uint8Array; body: Uint8Array } | undefined {
    const { active } = this.#paths;
    const { outbox } = this.session;
    if (!active || outbox.inFlight >= this.#window()) return undefined;
    const { highest } = outbox;
    const frame = outbox.take();
    if (!frame) return undefined;
    if (frame.counter < highest) this.#stats.resent++;
    this.#unblock();
    return { path: active.id, head: frame.head, body: frame.body };
  }

  /** The message that this frame completes. Throws `too_large` where the other side broke the limit. */
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
        this.#stats.forged++;
        return undefined;
      case 'gap':
        this.#stats.gaps++;
        this.#gapAt = now;
        this.heard(path, now);
        this.#control(this.#paths.active ?? path, { kind: 'gap', received: this.session.received });
        return undefined;
    }
    this.heard(path, now);
    this.#usedAt = now;
    this.#unacknowledged += frame.ciphertext.length;
    if (this.#unacknowledged >= limits.ackEvery) this.#acknowledge();
    else if (this.#ackAt === Number.POSITIVE_INFINITY) this.#ackAt = now + timing.ackMs;
    return received.is === 'message' ? received : undefined;
  }

  /** Takes a control message; gives the error with which the other side said good-bye. */
  control(path: LinkPath, frame: SealedFrame, now: number): NiiaError | undefined {
    const control = this.session.openControl(frame);
    if (control === 'forged' || control === 'replayed') {
      this.#stats[control]++;
      return undefined;
    }
    this.heard(path, now);
    return control === 'unknown' ? undefined : this.controlled(path, control, now);
  }

  /** The same for one that is open already. */
  controlled(path: LinkPath, control: Control, now: number): NiiaError | undefined {
    if (control.kind === 'bye') return control.error;
    const { outbox, received } = this.session;
    if (outbox.acknowledge(control.received)) {
      this.#progressAt = now;
      this.#paths.active?.progressed(now);
      this.#unblock();
    }
    switch (control.kind) {
      case 'ping':
        this.#control(path, { kind: 'pong', id: control.id, received });
        break;
      case 'pong': {
        const ping = path.ponged(control.id, now);
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
    if (this.#paths.judge(now)) {
      this.#resend(now);
      this.#progressAt = now;
    }
    if (before !== this.#paths.active || worked !== before?.works) this.#emit({ do: 'changed' });
  }

  ping(path: LinkPath, now: number): void {
    const { outbox, received } = this.session;
    this.#pingId = (this.#pingId + 1) >>> 0;
    const resends = path === this.#paths.active ? this.#resends : -1;
    path.pinged({ id: this.#pingId, at: now, resends, next: outbox.next, unloaded: outbox.inFlight < unloadedBytes });
    this.#control(path, { kind: 'ping', id: this.#pingId, received });
  }

  pingAll(now: number): void {
    for (const path of this.#paths) this.ping(path, now);
  }

  bye(error: NiiaError): void {
    for (const path of this.#paths) if (path.attached) this.#control(path, { kind: 'bye', error });
  }

  tick(now: number): void {
    if (now >= this.#ackAt) this.#acknowledge();
    const inUse = this.#inUse(now);
    for (const path of this.#paths) {
      if (now >= path.lastPingAt + this.#paths.pingEvery(path, inUse, now)) this.ping(path, now);
      const since = path.heardAt ?? path.addedAt;
      if (!path.works && path.kind !== 'gateway' && now - since >= timing.abandonMs) {
        this.#emit({ do: 'close-path', path: path.id });
      }
    }
    if (this.#waits() && now >= this.#stallAt()) {
      this.#paths.active?.avoid(now);
      this.#progressAt = now;
    }
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

  /** This machine slept: silence meanwhile is no sign of anything, and only time awake counts against the link. */
  woke(now: number, sleptMs: number): void {
    this.#paths.woke();
    this.#heardAt += sleptMs;
    this.#progressAt = now;
  }

  #acknowledge(): void {
    this.#ackAt = Number.POSITIVE_INFINITY;
    this.#unacknowledged = 0;
    // Without a path nothing can be said; whichever comes starts with a ping that says it.
    const { active } = this.#paths;
    if (active) this.#control(active, { kind: 'ack', received: this.session.received });
  }

  #control(path: LinkPath, control: Control): void {
    this.#emit({ do: 'send', path: path.id, ...this.session.sealControl(control) });
  }

  /** The unacknowledged tail goes out again on the active path, the same bytes. */
  #resend(now: number): void {
    this.session.outbox.rewind();
    this.#resends++;
    this.#resentAt = now;
  }

  #unblock(): void {
    const { outbox } = this.session;
    if (!this.#blocked || outbox.unsent > limits.unsent / 2 || outbox.bytes > (limits.window / 4) * 3) return;
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

  /** Bytes that may be in flight. A window from the round trip and the measured rate would go here. */
  #window(): number {
    return limits.window;
  }
}
