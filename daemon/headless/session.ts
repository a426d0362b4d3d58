import { timingSafeEqual } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import type { SessionInfo, Size } from '../../shared/protocol/shapes.ts';
import { Log } from '../home/log.ts';
import { SessionProcesses } from '../process/session-processes.ts';
import { isTerminalsOwn, PersonTyping } from '../workers/prompt/person-typing.ts';
import { commandLine } from './command.ts';
import { EndedScreen } from './ended-screen.ts';
import { InputQueue } from './input-queue.ts';
import { SessionCgroup } from './leases/cgroup.ts';
import { Freezer } from './leases/freezer.ts';
import { SessionLease } from './leases/session-lease.ts';
import type { OutputLog } from './output-log.ts';
import type { PtyExit, PtyOptions } from './pty.ts';
import { Pty } from './pty.ts';
import type { RuleFiles } from './rule-files.ts';
import type { Drawing, Look, ScreenText, Snapshot } from './screen-messages.ts';
import { scrollbackLines } from './screen-messages.ts';
import type { Screens } from './screens.ts';
import type { SessionFolder, SessionMeta } from './session-folder.ts';
import type { ScreenSource, SessionScreen } from './session-screen.ts';
import { endedState } from './session-state.ts';
import { SizeHistory } from './size-history.ts';
import { SizeRule } from './size-rule.ts';
import type { KnownState } from './state-tracking.ts';
import { StateTracking } from './state-tracking.ts';
import { TypedPositions } from './typed-positions.ts';

/** Whoever follows a session: viewers, readers of the raw output, waiters. */
export interface Follower {
  /** The log has grown; called in the turn in which the bytes came. */
  output?(): void;
  /** The terminal's size from `offset` on. */
  resized?(offset: number, size: Size): void;
  titled?(title: string): void;
  /** `state()` tells something else than before. */
  stateChanged?(): void;
  /** Somebody typed. */
  typed?(): void;
  /** The last byte is in the log and the exit is known. */
  ended?(): void;
}

/** A viewer as the session counts it. */
export interface Watcher {
  readonly readOnly: boolean;
}

/** The PTY waits while the screen, or a working disk, is this far behind its output. */
export const pauseAtLag = 8 << 20;
/** A question about the screen waits at most so long for output that is still to be drawn. */
const catchUpMs = 3000;
/** A long answer is drawn again with so many lines (29 MB at 120 columns), and within this time. */
const redrawnLines = 20_000;
const redrawnWithinMs = 30_000;
const killAfterMs = 2000;
const mostReplies = 64 << 10;

interface Live {
  pty: Pty;
  input: InputQueue;
  screen: SessionScreen;
  tracking: StateTracking;
}

/** A command, found and ready to start. */
export interface StartedCommand {
  file: string;
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
}

/** Runs in the terminal of an `exec` worker: a reader of what people type, which goes nowhere. */
const execTerminal = { file: '/bin/sh', args: ['-c', 'stty -echo 2>/dev/null; exec cat >/dev/null'] };

export interface SessionParts {
  folder: SessionFolder;
  meta: SessionMeta;
  log: OutputLog;
  screens: Screens;
  rules: RuleFiles;
  /** Whoever knows it is inside: only the session's environment has it. */
  token: string | undefined;
  /** When the lease runs out that holds it from its start, milliseconds since boot. */
  leasedUntil?: number | undefined;
  /** Tells this home's cgroups from others'. */
  homeHash: string;
  /** Something about it changed that lists show; `urgent` where somebody may wait for it. */
  changed: (urgent?: 'urgent') => void;
}

const log = new Log('session');

/** One PTY with its command, its output log and its screen; after its end, what is kept of them. */
export class Session {
  readonly #parts: SessionParts;
  readonly #followers = new Set<Follower>();
  readonly #viewers = new Set<Watcher>();
  readonly #sizeRule = new SizeRule<Watcher>();
  /** How many bytes each client has typed. */
  readonly typed = new TypedPositions();
  readonly sizes: SizeHistory;
  #live: Live | undefined;
  #command: StartedCommand | undefined;
  #ended: EndedScreen | undefined;
  readonly lease: SessionLease;
  #cgroup: SessionCgroup | undefined;
  /** By its own clock, as all its times: when it last had output or input. */
  #lastActivity: number;
  #outputAt: number;
  readonly #people = new PersonTyping();
  #exited: Promise<void>;
  #tellExited: () => void = () => undefined;

  private constructor(parts: SessionParts) {
    this.#parts = parts;
    this.sizes = new SizeHistory({ cols: parts.meta.cols, rows: parts.meta.rows });
    this.lease = new SessionLease({
      freezer: () => this.#freezer(),
      end: () => void this.end(),
      changed: () => this.#frozenOrThawed(),
    });
    this.#lastActivity = this.now;
    this.#outputAt = this.now;
    this.#exited = new Promise((resolve) => {
      this.#tellExited = resolve;
    });
    parts.log.onChange = () => {
      this.#balance();
      parts.changed();
    };
  }

  /** Starts the command; `parts.meta.pid` is filled in. Throws when the system has no process to give. */
  static start(parts: SessionParts, command: Pick<PtyOptions, 'file' | 'args' | 'env'>): Session {
    const session = new Session(parts);
    const { cwd, cols, rows, worker } = parts.meta;
    const inside = session.#inCgroup();
    const pty = new Pty({
      // The command of an `exec` worker runs for each prompt, and not in the terminal.
      ...inside(worker === 'exec' ? { ...execTerminal, env: command.env } : command),
      cwd,
      cols,
      rows,
      onData: (bytes) => session.#heard(bytes),
      onExit: (exit) => session.#over(exit),
    });
    parts.meta.pid = pty.pid;
    const screen = parts.screens.open(parts.log, { cols, rows }, 0, {
      titled: (title) => session.#titled(title),
      reply: (bytes) => session.#reply(bytes),
      drawn: () => {
        // What is still to be drawn need not come back from the disk; it is bounded by the lag.
        parts.log.keepFrom(screen.drawn);
        session.#balance();
      },
      rows: (rows) => tracking.rows(rows),
    });
    const tracking = new StateTracking({
      ...{ argv: parts.meta.argv, worker: parts.meta.worker ?? undefined, pid: pty.pid, files: parts.rules },
      changed: () => session.#stateChanged(),
      type: (bytes) => session.#answer(bytes),
      observe: (on) => screen.observe(on),
      now: () => session.now,
    });
    parts.log.keepFrom(0);
    session.#command = { ...inside(command), cwd };
    session.#live = { pty, input: new InputQueue((bytes) => pty.write(bytes)), screen, tracking };
    if (parts.leasedUntil !== undefined) session.lease.extend(parts.leasedUntil);
    return session;
  }

  /** A session that ended, from what is kept of it. */
  static ended(parts: SessionParts): Session {
    const session = new Session(parts);
    session.#ended = new EndedScreen(parts);
    session.#tellExited();
    return session;
  }

  /** What it was started with; undefined for a session of an earlier server. */
  get command(): StartedCommand | undefined {
    return this.#command;
  }

  get id(): string {
    return this.#parts.meta.id;
  }
  get name(): string {
    return this.#parts.meta.name;
  }
  get meta(): Readonly<SessionMeta> {
    return this.#parts.meta;
  }
  get folder(): SessionFolder {
    return this.#parts.folder;
  }
  get log(): OutputLog {
    return this.#parts.log;
  }
  get live(): boolean {
    return this.#live !== undefined;
  }
  /** Milliseconds of the session's own clock, which stands still while it is frozen. */
  get now(): number {
    return this.lease.clock.now();
  }
  get lastActivity(): number {
    return this.#lastActivity;
  }
  get outputAt(): number {
    return this.#outputAt;
  }
  get size(): Size {
    return { cols: this.#parts.meta.cols, rows: this.#parts.meta.rows };
  }
  /** Whether anybody uses it at the moment. */
  get inUse(): boolean {
    return this.live || this.#followers.size > 0;
  }
  /** Output below this offset is on the screen. */
  get drawn(): number {
    return this.#live ? this.#live.screen.drawn : this.log.end;
  }
  get exit(): PtyExit {
    return { exitCode: this.#parts.meta.exitCode, signal: this.#parts.meta.signal };
  }

  state(): KnownState {
    return this.#live ? this.#live.tracking.known : endedState(this.#parts.meta);
  }

  /** Whether `token` is that of this session's environment. */
  isInside(token: string): boolean {
    const [own, shown] = [Buffer.from(this.#parts.token ?? ''), Buffer.from(token)];
    return own.length > 0 && own.length === shown.length && timingSafeEqual(own, shown);
  }

  /** What is known of its state, while it lives. */
  get tracking(): StateTracking | undefined {
    return this.#live?.tracking;
  }

  info(): SessionInfo {
    const { id, name, argv, cwd, pid, cols, rows, title, createdAt, endedAt, exitCode, signal } = this.#parts.meta;
    const { owner, worker = null, socket = null, restore, restoredFrom, restoredAs, notRestored } = this.#parts.meta;
    return {
      ...{ id, name, command: commandLine(argv), argv, cwd, pid, cols, rows, ...this.state(), title },
      ...{ createdAt, endedAt, exitCode, signal, viewers: this.#viewers.size, owner, worker, socket },
      ...{ outputBytes: this.log.end, firstOffset: this.log.firstOffset, logError: this.log.logError },
      ...{ restore, restoredFrom, restoredAs, notRestored },
      ...(this.lease.held && { frozen: this.lease.frozen }),
    };
  }

  /** Calls of `follower` until the returned function is called. */
  follow(follower: Follower): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  // Input

  /** Types all of `bytes` or none. Throws `session_ended`, or `busy` when its program does not read. */
  type(bytes: Uint8Array): void {
    if (!this.#live) throw this.endedError();
    this.#live.input.typeAll(bytes);
    this.#noteTyped(bytes);
  }

  /**
   * Lets one typist have the terminal to itself: others' input waits until `release`. Throws `session_ended`, or `busy`
   * where another has it.
   */
  takeOver(): { type: (bytes: Uint8Array) => void; release: () => void } {
    if (!this.#live) throw this.endedError();
    const { input, tracking } = this.#live;
    const turn = input.takeOver();
    const type = (bytes: Uint8Array) => {
      turn.type(bytes);
      this.#lastActivity = this.now;
      tracking.typed();
    };
    return { type, release: turn.release };
  }

  /** What is known of whoever else types. */
  get people(): Pick<PersonTyping, 'at' | 'pending'> {
    return this.#people;
  }

  /** Bytes that were typed and that its program has not taken. */
  get unreadInput(): number {
    return this.#live?.input.waitingBytes ?? 0;
  }

  /** Output that its program did not write itself. */
  show(bytes: Uint8Array): void {
    if (this.#live) this.#heard(bytes);
  }

  #noteTyped(bytes: Uint8Array): void {
    const { now } = this;
    this.#lastActivity = now;
    this.#people.typed(bytes, now);
    this.#live?.tracking.typed();
    for (const follower of this.#followers) follower.typed?.();
  }

  /** Types a viewer's bytes; a promise while it shall send no more. After the end they go nowhere. */
  typeAtPace(viewer: Watcher, bytes: Uint8Array): undefined | Promise<void> {
    if (!this.#live) return undefined;
    if (this.meta.sizing === 'viewer') this.#apply(this.#sizeRule.typed(viewer));
    const { input, tracking } = this.#live;
    const own = tracking.withoutAnswer(bytes);
    if (isTerminalsOwn(own)) {
      input.urgent(own);
      return undefined;
    }
    this.#noteTyped(own);
    return input.typeAtPace(own);
  }

  // Viewers and sizes

  addViewer(viewer: Watcher, size: Size): void {
    this.#viewers.add(viewer);
    if (!viewer.readOnly && this.meta.sizing === 'viewer') this.#apply(this.#sizeRule.joined(viewer, size));
    this.#parts.changed();
  }

  removeViewer(viewer: Watcher): void {
    if (!this.#viewers.delete(viewer)) return;
    this.#apply(this.#sizeRule.left(viewer));
    this.#parts.changed();
  }

  viewerResized(viewer: Watcher, size: Size): void {
    this.#apply(this.#sizeRule.resized(viewer, size));
  }

  // Screen

  /** The screen when everything that is in the log now has been drawn, or `withinMs` have passed. */
  async text(scrollback: number, withinMs: number = catchUpMs): Promise<ScreenText> {
    const screen = this.#live?.screen;
    if (!screen) return await this.#endedScreen().text(scrollback);
    await screen.drawnTo(this.log.end, withinMs);
    return this.#live ? await screen.text(scrollback) : await this.#endedScreen().text(scrollback);
  }

  /** The screen when everything that is in the log now has been drawn. Throws `session_ended`. */
  async look(): Promise<Look> {
    const screen = this.#live?.screen;
    if (!screen) throw this.endedError();
    await screen.drawnTo(this.log.end, catchUpMs);
    return await screen.look();
  }

  /** All rows that output makes which is drawn from `offset` on, long scrollback included. */
  async redrawn(source: ScreenSource, offset: number, size: Size): Promise<Drawing> {
    const ignore = () => undefined;
    const handler = { titled: ignore, reply: ignore, drawn: ignore };
    const screen = this.#parts.screens.open(source, size, offset, handler, redrawnLines);
    try {
      await screen.drawnTo(source.end, redrawnWithinMs);
      return await screen.drawing();
    } finally {
      screen.dispose();
    }
  }

  /** A picture of the screen as it is drawn now, which may be behind the log. */
  async snapshot(scrollback: number): Promise<Snapshot> {
    return this.#live ? await this.#live.screen.snapshot(scrollback) : await this.#endedScreen().snapshot(scrollback);
  }

  // Life

  rename(name: string): void {
    const before = this.#parts.meta.name;
    this.#parts.meta.name = name;
    try {
      this.folder.writeMeta(this.#parts.meta);
    } catch (error) {
      this.#parts.meta.name = before;
      throw error;
    }
    this.#parts.changed();
  }

  /** Changes what is on record about starting it again. Throws where that cannot be written. */
  noteRestore(note: Partial<Pick<SessionMeta, 'restore' | 'takenAlong' | 'restoredAs' | 'notRestored'>>): void {
    const { meta } = this.#parts;
    this.folder.writeMeta({ ...meta, ...note });
    Object.assign(meta, note);
    if (!meta.restore) this.folder.dropRestorePlan();
    this.#parts.changed();
  }

  /** Sends a signal to its processes. One that is frozen hears it when it goes on, unless the signal ends it. */
  signal(signal: NodeJS.Signals): void {
    if (signal === 'SIGCONT' && this.lease.frozen) return;
    this.#live?.pty.kill(signal);
  }

  /**
   * Ends it: SIGHUP, and SIGKILL where that was not enough within two seconds; SIGKILL alone where it is frozen, since it
   * would do its last things after its lease. Resolves when it has ended.
   */
  async end(): Promise<void> {
    const pty = this.#live?.pty;
    if (!pty) return await this.#exited;
    if (this.lease.frozen) {
      await this.lease.kill();
      return await this.#exited;
    }
    pty.kill('SIGHUP');
    // A stopped process sees the signal only once it goes on.
    pty.kill('SIGCONT');
    const timer = setTimeout(() => pty.kill('SIGKILL'), killAfterMs);
    try {
      await this.#exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when it has ended and what is kept of it is in place. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  endedError(): NiiaError {
    const { name, id } = this;
    return new NiiaError(
      'session_ended',
      `session ${name === id ? id : `${name} (${id})`} has ended: ${this.state().evidence}`,
      'Start another with: niia new',
    );
  }

  #heard(bytes: Uint8Array): void {
    this.log.append(bytes);
    this.#lastActivity = this.now;
    this.#outputAt = this.#lastActivity;
    for (const follower of this.#followers) follower.output?.();
    this.#live?.screen.outputArrived();
    this.#live?.tracking.heard(bytes, this.log.end);
    this.#balance();
  }

  /** Holds the program back while the screen or the disk is too far behind, and lets it go on at half of that. */
  #balance(): void {
    if (!this.#live) return;
    const { pty, screen } = this.#live;
    const lag = Math.max(this.log.end - screen.drawn, this.log.backlog);
    if (lag > pauseAtLag) pty.pause();
    else if (pty.paused && lag < pauseAtLag / 2) pty.resume();
  }

  #titled(title: string): void {
    this.#parts.meta.title = title;
    for (const follower of this.#followers) follower.titled?.(title);
    this.#parts.changed();
  }

  #stateChanged(): void {
    for (const follower of this.#followers) follower.stateChanged?.();
    this.#parts.changed('urgent');
  }

  /** A terminal answers questions of its program; while no viewer's terminal is there to do it, the screen does. */
  #reply(bytes: Uint8Array): void {
    for (const viewer of this.#viewers) if (!viewer.readOnly) return;
    this.#answer(bytes);
  }

  /** Types what no person typed. */
  #answer(bytes: Uint8Array): void {
    const input = this.#live?.input;
    // A program that only asks and never reads gets no more answers.
    if (input && input.waitingBytes < mostReplies) input.urgent(bytes);
  }

  #freezer(): Freezer | undefined {
    const { pid } = this.#parts.meta;
    // Windows has nothing that stops a process for a while.
    if (process.platform === 'win32' || this.#parts.token === undefined) return undefined;
    const processes = new SessionProcesses({ root: pid, mark: { NIIA_SESSION_TOKEN: this.#parts.token } });
    return new Freezer({ processes, cgroup: this.#cgroup });
  }

  /** Where a lease holds it from its start, it starts in a cgroup of its own, if that can be had. */
  #inCgroup(): <C extends { file: string; args: readonly string[] }>(command: C) => C {
    const { leasedUntil, homeHash, meta } = this.#parts;
    if (leasedUntil !== undefined) this.#cgroup = SessionCgroup.make(homeHash, meta.id);
    const cgroup = this.#cgroup;
    return (command) => cgroup?.inside(command) ?? command;
  }

  #frozenOrThawed(): void {
    this.#live?.tracking.hold(this.lease.frozen);
    for (const follower of this.#followers) follower.stateChanged?.();
    this.#parts.changed('urgent');
  }

  #apply(wanted: Size | undefined): void {
    const { meta } = this.#parts;
    if (!wanted || !this.#live || (wanted.cols === meta.cols && wanted.rows === meta.rows)) return;
    const size: Size = { cols: wanted.cols, rows: wanted.rows };
    Object.assign(meta, size);
    const offset = this.log.end;
    this.#live.pty.resize(size);
    this.#live.screen.resize(size);
    this.sizes.add(offset, size);
    for (const follower of this.#followers) follower.resized?.(offset, size);
    this.#parts.changed();
  }

  #over(exit: PtyExit): void {
    const live = this.#live;
    if (!live) return;
    const { meta } = this.#parts;
    meta.exitCode = exit.exitCode;
    meta.signal = exit.signal;
    meta.endedAt = new Date().toISOString();
    live.input.close();
    live.tracking.close();
    this.#live = undefined;
    this.#ended = new EndedScreen(this.#parts, live.screen);
    this.#save();
    for (const follower of this.#followers) follower.ended?.();
    this.#parts.changed('urgent');
    this.#settle(this.#ended).then(this.#tellExited, (error: unknown) => {
      log.error('the end of a session could not be recorded', { session: this.id, error });
      this.#tellExited();
    });
  }

  async #settle(screen: EndedScreen): Promise<void> {
    await Promise.all([this.lease.ended(), screen.keep(scrollbackLines)]);
    await this.log.close();
  }

  #save(): void {
    try {
      this.folder.writeMeta(this.#parts.meta);
    } catch (error) {
      log.error('the end of a session could not be written', { session: this.id, error });
    }
  }

  #endedScreen(): EndedScreen {
    if (!this.#ended) throw new NiiaError('internal', `session ${this.id} is neither live nor ended`);
    return this.#ended;
  }
}
