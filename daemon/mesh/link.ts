import { NiiaError } from '../../shared/errors.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { SignedStatement } from '../team/roster.ts';
import type { LinkAction } from './link-action.ts';
import { LinkAdmission, type Membership, mayBe, NotAdmitted } from './link-admission.ts';
import { parseFrame, type SealedFrame } from './link-frames.ts';
import { encodeMessage, parseMessage } from './link-messages.ts';
import type { LinkPath } from './link-path.ts';
import { LinkPaths } from './link-paths.ts';
import { type ChainHead, type Established, LinkSetup, type SetupOptions } from './link-setup.ts';
import { linkLimits as limits, linkTiming as timing } from './link-timing.ts';
import { type LinkStats, LinkTransfer } from './link-transfer.ts';

export interface LinkOptions extends Pick<SetupOptions, 'initiator' | 'software' | 'crypto' | 'handshake'> {
  membership: Membership;
  /** Frames under one key; only tests have a reason to change it. */
  framesPerKey?: number;
  /** Milliseconds without a word from the other side after which a link is given up. */
  dropMs?: number;
}

/** A session that both sides have, from the handshake to its end. */
interface Live {
  with: Established;
  transfer: LinkTransfer;
  admission: LinkAdmission;
  since: number;
  opened: boolean;
  /** Messages that came before the other side was admitted, and the bytes of all that came until then. */
  held: Uint8Array[];
  strangerBytes: number;
  /** What the other side was told last: the preferred kind of path, and the counter at which all of it has arrived. */
  toldPreference: PathKind | null;
  toldUntil: number;
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
  #live: Live | undefined;
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
    this.paths.remove(id);
    this.#live?.transfer.judge(this.#now);
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
      live.admission.rosterChanged();
      this.#tellNews(live);
      this.#openIfAdmitted(live);
    });
  }

  /** Data uses this kind of path whenever one works, from now on; null for whichever is best. */
  prefer(kind: PathKind | null, now: number): void {
    this.#enter(now);
    const live = this.#live;
    if (this.paths.prefer('own', kind, this.#now)) live?.transfer.moved(this.#now);
    if (live) this.#tellNews(live);
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
    const { session, remoteKey, roster, version } = established;
    this.#leave(new NiiaError('link_lost', 'the other daemon was restarted'));
    this.#setup.settled();
    this.paths.reset(this.#now);
    const transfer = new LinkTransfer(session, this.paths, this.stats, this.#does, this.#now);
    const admission = new LinkAdmission(this.#options.membership, remoteKey, roster);
    const live = {
      with: established,
      transfer,
      admission,
      since: this.#now,
      opened: false,
      held: [],
      strangerBytes: 0,
      toldPreference: null,
      toldUntil: 0,
    };
    this.#live = live;
    this.#error = undefined;
    transfer.heard(path, this.#now);
    // The first of these also proves to a responder that the initiator has the keys.
    transfer.pingAll(this.#now);
    this.#guard(() => {
      if (typeof version !== 'number') throw version;
      admission.begin();
      this.#tellNews(live);
      this.#openIfAdmitted(live);
    });
    this.#emit({ do: 'changed' });
  }

  #openIfAdmitted(live: Live): void {
    if (live.opened || !live.admission.member) return;
    live.opened = true;
    this.#refusals = 0;
    this.#emit({ do: 'opened', member: live.admission.member });
    for (const message of live.held) this.#emit({ do: 'deliver', message });
    live.held = [];
    this.#emit({ do: 'changed' });
  }

  /** Runs what may find that the other side cannot be talked to. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      const error = NiiaError.from(thrown);
      if (!refusals.has(error.code)) throw thrown;
      if (error instanceof NotAdmitted && error.better) this.#offer(error.better.statements);
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
      else this.#tellNews(live);
    } else {
      this.#guard(() => this.#data(live, path, frame));
    }
  }

  #data(live: Live, path: LinkPath, frame: SealedFrame): void {
    const before = live.transfer.session.received;
    const message = live.transfer.data(path, frame, this.#now);
    if (!live.opened && live.transfer.session.received > before) {
      live.strangerBytes += frame.ciphertext.length;
      if (live.strangerBytes > limits.roster + limits.fragment) {
        throw new NiiaError('too_large', 'the other machine sent too much before it was admitted');
      }
    }
    if (!message) return;
    if (!message.internal) {
      if (live.opened) this.#emit({ do: 'deliver', message: message.bytes });
      else live.held.push(message.bytes);
      return;
    }
    const said = parseMessage(message.bytes);
    if (!said) return;
    if (said.type === 'prefer') {
      if (this.paths.prefer('theirs', said.kind, this.#now)) live.transfer.moved(this.#now);
      this.#emit({ do: 'changed' });
      return;
    }
    const { better, reply } = live.admission.receive(said);
    if (better) this.#offer(better.statements);
    if (reply) live.transfer.write(true, reply, undefined, this.#now);
    this.#tellNews(live);
    this.#openIfAdmitted(live);
  }

  /** Nothing newer is said before the last news arrived: however much changes meanwhile, one roster waits to be sent. */
  #tellNews(live: Live): void {
    const { outbox } = live.transfer.session;
    if (outbox.acknowledged < live.toldUntil) return;
    const roster = live.admission.news();
    const { ownPreference } = this.paths;
    const news = roster ? [roster] : [];
    if (ownPreference !== live.toldPreference) news.push(encodeMessage({ type: 'prefer', kind: ownPreference }));
    live.toldPreference = ownPreference;
    for (const message of news) live.transfer.write(true, message, undefined, this.#now);
    if (news.length > 0) live.toldUntil = outbox.end;
  }

  /** Every call starts here. One that comes far too late for its deadline means that this machine slept. */
  #enter(now: number): void {
    const late = now - this.#told;
    this.#now = Math.max(this.#now, now);
    if (late < timing.sleptMs) return;
    this.paths.woke(this.#now);
    this.#live?.transfer.woke(this.#now, late);
  }

  #dropAt(live: Live): number {
    return live.transfer.heardAt + (this.#options.dropMs ?? timing.dropMs);
  }

  /** Closes a path over which too much comes that costs more than it is worth. */
  #condemn(path: LinkPath): void {
    if (path.condemned) return;
    path.condemned = true;
    this.#emit({ do: 'close-path', path: path.id });
  }

  #offer(statements: readonly SignedStatement[]): void {
    this.#emit({ do: 'offer', statements });
  }

  #emit(action: LinkAction): void {
    if (action.do === 'changed' && this.#actions.at(-1)?.do === 'changed') return;
    this.#actions.push(action);
  }

  #chain(): ChainHead {
    const roster = this.#options.membership.roster();
    return { team: roster.team.id, head: roster.head, length: roster.length };
  }
}
