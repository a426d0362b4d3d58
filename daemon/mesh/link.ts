import { NiiaError } from '../../shared/errors.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { LinkAction } from './link-action.ts';
import { type Membership, mayBe, NotAdmitted } from './link-admission.ts';
import { parseFrame, type SealedFrame } from './link-frames.ts';
import { LinkLive } from './link-live.ts';
import type { LinkPath } from './link-path.ts';
import { LinkPaths } from './link-paths.ts';
import { type ChainHead, type Established, LinkSetup, type SetupOptions } from './link-setup.ts';
import { linkTiming as timing } from './link-timing.ts';
import { type LinkStats, LinkTransfer } from './link-transfer.ts';

export interface LinkOptions extends Pick<SetupOptions, 'initiator' | 'software' | 'crypto' | 'handshake'> {
  membership: Membership;
  /** Frames under one key; only tests have a reason to change it. */
  framesPerKey?: number;
  /** Milliseconds without a word from the other side after which a link is given up. */
  dropMs?: number;
}

/** Errors after which trying again soon is of no use. */
const refusals: ReadonlySet<string> = new Set(['not_a_member', 'version_mismatch', 'too_large', 'bad_request']);

/**
 * The conversation of two machines: whole messages, each exactly once and in order, for as long as both daemons live,
 * over whichever of its paths works best. A pure state machine: calls tell it what happened and when, `nextAction` and
 * `takeData` say what to do, `deadline` when to call `tick`. Times are milliseconds and never go back.
 */
export class Link {
  readonly stats: LinkStats = { malformed: 0, forged: 0, replayed: 0, duplicates: 0, gaps: 0, resent: 0 };
  readonly paths = new LinkPaths();
  readonly #options: LinkOptions;
  readonly #setup: LinkSetup;
  readonly #actions: LinkAction[] = [];
  readonly #does = {
    emit: (action: LinkAction) => this.#emit(action),
    condemn: (path: LinkPath) => this.#condemn(path),
  };
  #live: LinkLive | undefined;
  #now = 0;
  /** The deadline that the owner was told. */
  #told = Number.POSITIVE_INFINITY;
  #closed = false;
  #error: NiiaError | undefined;
  /** When handshakes may be begun on paths that came before. */
  #beginAt = 0;
  #shortLives = 0;
  #refusals = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { initiator, software, crypto, handshake, framesPerKey } = options;
    this.#setup = new LinkSetup({
      initiator,
      software,
      crypto,
      handshake,
      framesPerKey,
      chain: () => this.#chain(),
      mayBe: (remoteKey) => mayBe(options.membership, remoteKey),
      send: (path, bytes) => this.#emit({ do: 'send', path: path.id, head: bytes }),
    });
  }

  get open(): boolean {
    return this.#live?.opened ?? false;
  }

  /** Whether a message should be sent now; `writable` is announced after it was false. */
  get writable(): boolean {
    return this.open && (this.#live?.transfer.writable ?? false);
  }

  /** It has a session that is not open yet, or tries to get one. */
  get connecting(): boolean {
    return this.#live ? !this.#live.opened : this.#setup.attempting;
  }

  /** Why the last session ended, while there is none. */
  get error(): NiiaError | undefined {
    return this.#error;
  }

  /** Bytes that are not acknowledged. */
  get buffered(): number {
    return this.#live?.transfer.session.outbox.bytes ?? 0;
  }

  /** Version of niia on the other side. */
  get software(): string | undefined {
    return this.#live?.with.software;
  }

  /** What is to be done next; to be asked after every call. */
  nextAction(): LinkAction | undefined {
    return this.#actions.shift();
  }

  /** The next frame for the active path; to be asked when there is no action, while that path takes more. */
  takeData(now: number): { path: number; head: Uint8Array; body: Uint8Array } | undefined {
    this.#now = Math.max(this.#now, now);
    return this.#live?.transfer.take(this.#now);
  }

  /** When `tick` is due; infinite while there is nothing to wait for. To be asked again after every call. */
  get deadline(): number {
    this.#told = this.#due;
    return this.#told;
  }

  get #due(): number {
    if (this.#closed) return Number.POSITIVE_INFINITY;
    const live = this.#live;
    const upkeep = Math.min(this.#setup.deadline, this.paths.surplusAt(this.#options.initiator));
    if (!live) return this.#mayBegin() ? Math.min(this.#beginAt, upkeep) : upkeep;
    const first = Math.min(live.transfer.deadline(this.#now), upkeep, this.#dropAt(live));
    return live.opened ? first : Math.min(first, live.since + timing.admissionMs);
  }

  pathUp(id: number, kind: PathKind, now: number): void {
    this.#enter(now);
    if (this.#closed) return;
    const path = this.paths.add(id, kind, this.#now);
    const { excess } = this.paths;
    if (excess) this.#emit({ do: 'close-path', path: excess.id });
    // The other daemon may be another one than that which hung up; after a refusal it is still the same team.
    if (this.#refusals === 0) this.#setup.endBackOff();
    if (this.#live) this.#live.transfer.ping(path, this.#now);
    else this.#setup.begin(path, this.#now);
    this.#emit({ do: 'changed' });
  }

  pathDown(id: number, now: number): void {
    this.#enter(now);
    this.#setup.pathDown(id);
    const path = this.paths.get(id);
    this.paths.remove(id);
    this.#live?.transfer.judge(this.#now);
    const another = path && [...this.paths].some(({ kind }) => kind === path.kind);
    if (path?.attached && !another) this.#live?.pathClosed(path.kind, this.#now);
    this.#emit({ do: 'changed' });
  }

  /** Never throws, whatever the bytes. */
  receive(pathId: number, bytes: Uint8Array, now: number): void {
    this.#enter(now);
    const path = this.paths.get(pathId);
    if (!path || path.condemned || this.#closed) return;
    const frame = parseFrame(bytes);
    const session = this.#live?.transfer.session;
    const sealed = frame?.type === 'data' || frame?.type === 'control';
    if (!sealed && !path.offences.take(this.#now)) this.#condemn(path);
    switch (frame?.type) {
      case undefined:
        this.stats.malformed++;
        return;
      case 'initiate':
        this.#setup.initiate(path, frame.noise, session?.id, this.#now);
        return;
      case 'respond': {
        const agreed = this.#setup.respond(path, frame.echo, frame.noise);
        if (agreed === 'shared') this.#live?.transfer.ping(path, this.#now);
        else if (agreed) this.#install(agreed, path);
        return;
      }
      case 'restart':
        this.#setup.restart(path, session, frame.session, this.#now);
        return;
      case 'control':
      case 'data':
        this.#sealed(path, frame);
    }
  }

  /** Only while open. Takes anything; the caller looks at `writable`. Throws `too_large` beyond 1 MiB. */
  send(head: Uint8Array, body: Uint8Array | undefined, now: number): void {
    this.#enter(now);
    if (this.#live?.opened) this.#live.transfer.write(false, head, body, this.#now);
  }

  tick(now: number): void {
    this.#enter(now);
    if (this.#closed) return;
    for (const path of this.paths.surplus(this.#options.initiator, this.#now)) {
      this.#emit({ do: 'close-path', path: path.id });
    }
    const live = this.#live;
    this.#setup.tick(live?.transfer.session.id, this.#now);
    if (!live) {
      if (this.#mayBegin() && this.#now >= this.#beginAt) this.#begin();
    } else if (this.#now >= this.#dropAt(live)) {
      this.#end(new NiiaError('link_lost', 'the other machine was out of reach for too long'), false);
    } else if (!live.opened && this.#now >= live.since + timing.admissionMs) {
      this.#end(new NiiaError('timeout', 'the rosters were not exchanged in time'), true);
    } else {
      live.transfer.tick(this.#now);
    }
  }

  /** This machine has another roster: a machine that is no member any more is cut off, the others are told. */
  rosterChanged(now: number): void {
    this.#enter(now);
    if (this.#closed) return;
    this.#refusals = 0;
    this.#backOff(0);
    const live = this.#live;
    if (!live) {
      this.#begin();
      return;
    }
    this.#guard(() => {
      if (live.with.roster.team !== this.#chain().team) {
        throw new NiiaError('not_a_member', 'the other machine is in another team now');
      }
      live.rosterChanged(this.#now);
    });
  }

  /** Data uses this kind of path whenever one works, from now on; null for whichever is best. */
  prefer(kind: PathKind | null, now: number): void {
    this.#enter(now);
    const live = this.#live;
    if (this.paths.prefer('own', kind, this.#now)) live?.transfer.moved(this.#now);
    if (live) this.#guard(() => live.tellNews(this.#now));
    this.#emit({ do: 'changed' });
  }

  /** Ends the session; a new one is made after a while. */
  hangUp(error: NiiaError, now: number): void {
    this.#enter(now);
    this.#end(error, true);
  }

  /** Ends it for good. The paths are the owner's to close, after the actions that are left. */
  close(error: NiiaError, now: number): void {
    this.hangUp(error, now);
    this.#closed = true;
  }

  #install(established: Established, path: LinkPath): void {
    this.#leave(new NiiaError('link_lost', 'the other daemon was restarted'));
    this.#setup.settled();
    this.paths.reset(this.#now);
    const transfer = new LinkTransfer(established.session, this.paths, this.stats, this.#does, this.#now);
    const { membership } = this.#options;
    const live = new LinkLive({ established, membership, transfer, paths: this.paths, now: this.#now, ...this.#does });
    this.#live = live;
    this.#error = undefined;
    transfer.heard(path, this.#now);
    // The first of these also proves to a responder that the initiator has the keys.
    transfer.pingAll(this.#now);
    this.#guard(() => live.begin(this.#now));
    this.#emit({ do: 'changed' });
  }

  /** Runs what may find that the other side cannot be talked to. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      const error = NiiaError.from(thrown);
      if (!refusals.has(error.code)) throw thrown;
      if (error instanceof NotAdmitted && error.better)
        this.#emit({ do: 'offer', statements: error.better.statements });
      this.#end(error, true);
    }
  }

  #end(error: NiiaError, tell: boolean): void {
    const live = this.#live;
    if (!live) return;
    if (tell) live.transfer.bye(error);
    this.#leave(error);
    this.paths.reset(this.#now);
    this.#error = error;
    if (refusals.has(error.code)) {
      this.#backOff(Math.min(timing.refusedMs * 2 ** this.#refusals++, timing.longestRefusedMs));
    } else {
      this.#shortLives = this.#now - live.since < timing.usedMs ? Math.min(this.#shortLives + 1, 16) : 0;
      this.#backOff(Math.min(timing.backoffMs * 2 ** this.#shortLives, timing.longestBackoffMs));
    }
    this.#emit({ do: 'changed' });
  }

  #leave(error: NiiaError): void {
    const wasOpen = this.#live?.opened;
    this.#live = undefined;
    if (wasOpen) this.#emit({ do: 'closed', error });
  }

  #mayBegin(): boolean {
    return !this.#closed && this.#options.initiator && !this.#setup.attempting && this.paths.size > 0;
  }

  #begin(): void {
    this.#beginAt = this.#now + timing.longestRetryMs;
    for (const path of this.paths) this.#setup.begin(path, this.#now);
    this.#emit({ do: 'changed' });
  }

  #backOff(ms: number): void {
    this.#beginAt = this.#now + ms;
    this.#setup.backOff(this.#beginAt);
  }

  #sealed(path: LinkPath, frame: SealedFrame): void {
    const live = this.#live;
    if (live?.transfer.session.tag !== frame.session) {
      const confirmed = this.#setup.confirmedBy(frame);
      if (!confirmed) {
        if (frame.type === 'control' && !path.offences.take(this.#now)) this.#condemn(path);
        this.#setup.unknownSession(path, frame.session, this.#now);
        return;
      }
      this.#install(confirmed.established, path);
      const { control } = confirmed;
      const bye = control === 'unknown' ? undefined : this.#live?.transfer.controlled(path, control, this.#now);
      if (bye) this.#end(bye, false);
    } else if (frame.type === 'control') {
      const bye = live.transfer.control(path, frame, this.#now);
      if (bye) this.#end(bye, false);
      else this.#guard(() => live.tellNews(this.#now));
    } else {
      this.#guard(() => live.data(path, frame, this.#now));
    }
  }

  /** Every call starts here. One that comes far too late for its deadline means that this machine slept. */
  #enter(now: number): void {
    const late = now - this.#told;
    this.#now = Math.max(this.#now, now);
    if (late < timing.sleptMs) return;
    this.paths.woke(this.#now);
    this.#setup.woke(this.#now);
    this.#live?.transfer.woke(this.#now, late);
  }

  #dropAt(live: LinkLive): number {
    return live.transfer.heardAt + (this.#options.dropMs ?? timing.dropMs);
  }

  /** Closes a path over which too much comes that costs more than it is worth. */
  #condemn(path: LinkPath): void {
    if (path.condemned) return;
    path.condemned = true;
    this.#emit({ do: 'close-path', path: path.id });
  }

  #emit(action: LinkAction): void {
    if (action.do === 'opened') this.#refusals = 0;
    if (action.do === 'changed' && this.#actions.at(-1)?.do === 'changed') return;
    this.#actions.push(action);
  }

  #chain(): ChainHead {
    const roster = this.#options.membership.roster();
    return { team: roster.team.id, head: roster.head, length: roster.length };
  }
}
