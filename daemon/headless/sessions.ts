import { randomBytes } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import type { ParsedParamsOf } from '../../shared/protocol/methods.ts';
import type { SessionInfo } from '../../shared/protocol/shapes.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import type { Lock } from '../home/lock.ts';
import { acquireLock } from '../home/lock.ts';
import { Log } from '../home/log.ts';
import { newSessionSocket, removeSessionSocket } from '../home/session-socket.ts';
import { isHeadlessRunning } from '../process/headless-record.ts';
import { chooseSession, mainName } from './choose-session.ts';
import { executable, startFolder, terminalEnvironment, userShell } from './command.ts';
import { forgetFormer } from './former-servers.ts';
import type { KeepLimits } from './keep-ended.ts';
import { tooMuch, usualLimits } from './keep-ended.ts';
import { removeEmptyCgroups } from './leases/cgroup.ts';
import { LeaseWatch } from './leases/lease-watch.ts';
import { OutputLog } from './output-log.ts';
import { explainMissing, withWorker } from './prompting/worker-start.ts';
import { Receipts } from './receipts.ts';
import type { RestorePlan } from './restore.ts';
import { restoreNote } from './restore.ts';
import type { Launch } from './restorer.ts';
import { Restorer } from './restorer.ts';
import { RuleFiles } from './rule-files.ts';
import type { Screens } from './screens.ts';
import type { SessionParts } from './session.ts';
import { Session } from './session.ts';
import type { SessionMeta } from './session-folder.ts';
import { looksLikeId, SessionFolder } from './session-folder.ts';

const collectEveryMs = 3_600_000;
const adoptRetryMs = 20;

export interface SessionsOptions {
  home: Home;
  generation: string;
  /** This machine's name as given at the start. */
  machine: string;
  screens: Screens;
  /** Most bytes of output that a session keeps on disk. */
  logCapBytes?: number;
  /** How much is kept of ended sessions. */
  keep?: () => KeepLimits;
  now?: () => number;
}

const log = new Log('sessions');

/** All sessions of one server: those whose terminals it owns, and ended ones that it looks after. */
export class Sessions {
  readonly receipts = new Receipts();
  readonly restorer: Restorer;
  readonly #leases = new LeaseWatch();
  readonly #rules: RuleFiles;
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #byKey = new Map<string, Session>();
  /** Bytes on disk of the sessions that have ended. */
  readonly #sizes = new Map<string, number>();
  readonly #watchers = new Set<(urgent?: 'urgent') => void>();
  readonly #now: () => number;
  #collector: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.restorer = new Restorer({
      machine: options.machine,
      sessions: () => this.#sessions.values(),
      launch: (wanted) => this.#launch(wanted),
    });
    this.#rules = new RuleFiles(options.home);
  }

  /** Takes over what dead servers left, and clears away what is old; again every hour. */
  async open(): Promise<void> {
    removeEmptyCgroups(this.#options.home.hash);
    await this.#tidy();
    this.#collector = setInterval(() => {
      this.#tidy().catch((error: unknown) => log.error('old sessions could not be cleared away', { error }));
    }, collectEveryMs);
    this.#collector.unref();
  }

  /** Takes over what a server leaves that is on its way out, once it is gone, and what others left. */
  async adopt(generation: string | undefined, signal: AbortSignal): Promise<void> {
    if (generation !== undefined) {
      while (isHeadlessRunning(this.#options.home, generation)) {
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, adoptRetryMs));
      }
    }
    await this.#tidy();
    this.#changed();
  }

  get liveCount(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.live) count++;
    return count;
  }

  list(): SessionInfo[] {
    return this.#inOrder().map((session) => session.info());
  }

  /** Those that wait for a person. */
  blocked(): Session[] {
    return this.#inOrder().filter((session) => session.state().state === 'blocked');
  }

  /** Calls `changed` after each change that lists show, until the returned function is called. */
  watch(changed: (urgent?: 'urgent') => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** Throws `no_such_session`. */
  choose(wanted: string | undefined): Session {
    const found = chooseSession(this.#inOrder(), wanted, false);
    if (!found) throw new NiiaError('internal', 'a choice without a session');
    return found;
  }

  /** The session that is meant, or a new shell named `main` where none is and none lives. */
  chooseOrCreate(wanted: string | undefined, cwd: string | undefined, owner: string, machine: string): Session {
    const found = chooseSession(this.#inOrder(), wanted, true);
    return found ?? this.create({ name: mainName, ...(cwd === undefined ? {} : { cwd }) }, owner, machine);
  }

  /**
   * Starts a session; done when it returns. A key that made one before gives that one. Throws `name_taken`, and `usage`
   * where the command cannot be run as it is.
   */
  create(asked: ParsedParamsOf<'session.new'>, owner: string, machine: string, key?: string): Session {
    const known = key === undefined ? undefined : this.#byKey.get(key);
    if (known) return known;
    if (this.#stopping) throw new NiiaError('busy', 'the headless server is ending', 'Try again.');
    const params = withWorker(asked);
    const argv = params.argv?.length ? params.argv : [userShell()];
    const cwd = startFolder(params.cwd);
    if (params.name !== undefined) this.#checkName(params.name);
    const plan = { given: params.env ?? {}, environment: terminalEnvironment() };
    return this.#launch({ ...params, argv, cwd, owner, machine, key, plan, restore: params.restore ?? false });
  }

  #launch(wanted: Launch): Session {
    const { home, generation } = this.#options;
    const { argv, cwd, owner, machine, plan, key, restore, restoredFrom } = wanted;
    const own = { TERM: 'xterm-256color', COLORTERM: 'truecolor', NIIA_MACHINE_NAME: machine, NIIA_HOME: home.root };
    const again = restoredFrom === undefined ? {} : { NIIA_RESTORED_FROM: restoredFrom };
    const env = { ...plan.environment, ...own, ...again, ...plan.given };
    const [command = userShell(), ...args] = argv;
    const file = this.#executable(command, env, cwd, wanted.worker ?? undefined);
    const folder = SessionFolder.claim(home);
    const { id } = folder;
    // What it asks niia goes by a socket of its own, which speaks for this session only.
    const socket = wanted.worker ? newSessionSocket(home, id) : null;
    const meta: SessionMeta = {
      ...{ id, name: wanted.name ?? id, argv, cwd, pid: 0, cols: wanted.cols ?? 80, rows: wanted.rows ?? 24 },
      ...{ sizing: wanted.sizing ?? 'viewer', title: '', createdAt: new Date(this.#now()).toISOString() },
      ...{ endedAt: null, exitCode: null, signal: null, lost: false, owner, generation, key: key ?? null },
      ...{ restore, takenAlong: false, restoredAs: null, notRestored: null, restoredFrom: restoredFrom ?? null },
      ...{ worker: wanted.worker ?? null, socket },
    };
    // A hook inside shows it, and so speaks for this session only.
    const token = randomBytes(18).toString('base64url');
    const inside = { NIIA_SESSION: id, NIIA_SESSION_TOKEN: token, ...(socket && { NIIA_SOCKET: socket }) };
    const session = this.#start(
      folder,
      meta,
      { file, args, env: { ...env, ...inside } },
      { token, plan: restore ? plan : undefined, leasedUntil: wanted.lease },
    );
    this.#add(session);
    if (session.lease.held) this.#leases.watch(session.lease);
    this.#collect();
    this.#changed();
    void session.exited.then(() => this.#settled(session));
    if (restore) this.restorer.started(session);
    return session;
  }

  #start(
    folder: SessionFolder,
    meta: SessionMeta,
    command: { file: string; args: string[]; env: Record<string, string> },
    { token, plan, leasedUntil }: { token: string; plan: RestorePlan | undefined; leasedUntil: number | undefined },
  ): Session {
    const output = new OutputLog(this.#logOptions(folder));
    if (meta.restoredFrom !== null) output.append(restoreNote(meta.restoredFrom));
    const parts = { ...this.#parts(folder, meta, output, token), leasedUntil };
    let session: Session;
    try {
      session = Session.start(parts, command);
    } catch (error) {
      folder.remove();
      throw error;
    }
    try {
      if (plan) folder.writeRestorePlan(plan);
      folder.writeMeta(meta);
    } catch (cause) {
      // What is not on record would be forgotten: better not to have it.
      void session.end().then(() => folder.remove());
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new NiiaError('io', `the session could not be recorded in ${folder.path}: ${why}`, 'Is the disk full?', {
        cause,
      });
    }
    return session;
  }

  #executable(command: string, env: NodeJS.ProcessEnv, cwd: string, worker: string | undefined): string {
    try {
      return executable(command, env, cwd);
    } catch (error) {
      throw explainMissing(error, worker);
    }
  }

  /** Binds the session to a lease until then (milliseconds since boot), or, without, to none; says whether it is frozen. */
  lease(session: Session, until: number | undefined): boolean {
    if (!session.live) throw session.endedError();
    if (until === undefined) session.lease.release();
    else session.lease.extend(until);
    this.#leases.watch(session.lease);
    return session.lease.frozen;
  }

  rename(session: Session, name: string): void {
    if (name === session.name) return;
    this.#checkName(name, session);
    session.rename(name);
  }

  /** Ends all sessions and starts no more; resolves with how many were live. */
  async endAll(): Promise<number> {
    this.#stopping = true;
    this.restorer.stop();
    const live = [...this.#sessions.values()].filter((session) => session.live);
    await Promise.all(live.map((session) => session.end()));
    // Those that had just ended may still be writing.
    await Promise.all([...this.#sessions.values()].map((session) => session.exited));
    return live.length;
  }

  close(): void {
    clearInterval(this.#collector);
    this.#leases.close();
    this.#rules.close();
  }

  /** In the order of their creation. */
  #inOrder(): Session[] {
    return [...this.#sessions.values()].sort((a, b) => a.folder.number - b.folder.number);
  }

  #add(session: Session): void {
    this.#sessions.set(session.id, session);
    if (session.meta.key !== null) this.#byKey.set(session.meta.key, session);
  }

  #checkName(name: string, self?: Session): void {
    if (looksLikeId(name) && name !== self?.id) {
      throw new NiiaError('usage', `${name} looks like a session's id`, 'Choose another name.');
    }
    for (const other of this.#sessions.values()) {
      if (other === self || !other.live || other.name !== name) continue;
      const hint = `Choose another name, or end that one with: niia kill --session ${name}`;
      throw new NiiaError('name_taken', `the session ${other.id} is named ${name} already`, hint);
    }
  }

  #parts(folder: SessionFolder, meta: SessionMeta, output: OutputLog, token?: string): SessionParts {
    const changed = (urgent?: 'urgent') => this.#changed(urgent);
    return {
      folder,
      meta,
      log: output,
      screens: this.#options.screens,
      rules: this.#rules,
      token,
      changed,
      homeHash: this.#options.home.hash,
    };
  }

  #changed(urgent?: 'urgent'): void {
    for (const watcher of this.#watchers) watcher(urgent);
  }

  #logOptions(folder: SessionFolder): { folder: string; capBytes?: number } {
    const { logCapBytes } = this.#options;
    return { folder: folder.path, ...(logCapBytes === undefined ? {} : { capBytes: logCapBytes }) };
  }

  async #tidy(): Promise<void> {
    const { home, generation } = this.#options;
    try {
      forgetFormer(home, generation, Date.now());
    } catch (error) {
      if (!isErrno(error)) throw error;
      log.warn('what former servers left could not be removed', { error });
    }
    for (const session of await this.#adopt()) {
      try {
        this.restorer.restore(session);
      } catch (error) {
        log.error('a session is not started again, since that could not be recorded', { session: session.id, error });
      }
    }
    this.#collect();
  }

  /**
   * Takes over the sessions of servers that are no more; those that are to be started again come out. One server at a
   * time does so.
   */
  async #adopt(): Promise<Session[]> {
    const { home, generation } = this.#options;
    const marked: Session[] = [];
    const lock = await this.#adoptLock();
    try {
      for (const folder of SessionFolder.all(home)) {
        if (this.#sessions.has(folder.id)) continue;
        const meta = folder.readMeta();
        if (!meta) continue;
        const others = meta.generation !== generation;
        if (others && isHeadlessRunning(home, meta.generation)) continue;
        try {
          const session = await this.#takeOver(folder, meta);
          if (!meta.restore) continue;
          if (meta.lost || meta.takenAlong) marked.push(session);
          else this.restorer.unmark(session);
        } catch (error) {
          log.error('a session of an earlier server could not be read', { session: folder.id, error });
        }
      }
    } finally {
      lock.release();
    }
    return marked;
  }

  /** Waits for another server that is at it; what it leaves may be for this one. */
  async #adoptLock(): Promise<Lock> {
    for (;;) {
      const lock = await acquireLock(this.#options.home.path('sessions', 'adopt.lock'));
      if (!('heldBy' in lock)) return lock;
      await new Promise((resolve) => setTimeout(resolve, adoptRetryMs));
    }
  }

  async #takeOver(folder: SessionFolder, meta: SessionMeta): Promise<Session> {
    const { generation, machine } = this.#options;
    const lost = meta.endedAt === null;
    if (lost || meta.generation !== generation) {
      meta.generation = generation;
      if (lost) Object.assign(meta, { lost, endedAt: new Date(this.#now()).toISOString() });
      if (lost) this.#dropSocket(meta);
      folder.writeMeta(meta);
    }
    const output = await OutputLog.load(this.#logOptions(folder));
    const session = Session.ended(this.#parts(folder, meta, output));
    this.#add(session);
    this.#sizes.set(session.id, folder.bytes());
    await this.receipts.load(session, machine);
    return session;
  }

  /** It has ended, and what is kept of it is in place. */
  #settled(session: Session): void {
    this.#dropSocket(session.meta);
    if (!this.#sessions.has(session.id)) return;
    this.#sizes.set(session.id, session.folder.bytes());
    this.#collect();
  }

  #dropSocket({ id, socket }: SessionMeta): void {
    if (!socket) return;
    try {
      removeSessionSocket(socket);
    } catch (error) {
      log.warn("the folder of a session's own socket could not be removed", { session: id, socket, error });
    }
  }

  /** Clears away ended sessions that are too old, too many or too large. */
  #collect(): void {
    const ended = [...this.#sessions.values()].flatMap((session) => {
      const endedAt = Date.parse(session.meta.endedAt ?? '');
      return session.inUse ? [] : [{ session, endedAt, bytes: this.#sizes.get(session.id) ?? 0 }];
    });
    const gone = tooMuch(ended, this.#now(), this.#options.keep?.() ?? usualLimits);
    for (const { session } of gone) {
      session.folder.remove();
      this.#sessions.delete(session.id);
      this.#sizes.delete(session.id);
      if (session.meta.key !== null) this.#byKey.delete(session.meta.key);
    }
    if (gone.length > 0) this.#changed();
  }
}
