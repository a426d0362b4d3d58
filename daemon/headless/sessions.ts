import { NiiaError } from '../../shared/errors.ts';
import type { ParsedParamsOf } from '../../shared/protocol/methods.ts';
import type { SessionInfo } from '../../shared/protocol/shapes.ts';
import type { Home } from '../home/home.ts';
import type { Lock } from '../home/lock.ts';
import { acquireLock, lockHolder } from '../home/lock.ts';
import { Log } from '../home/log.ts';
import { chooseSession, mainName } from './choose-session.ts';
import { childEnvironment, executable, startFolder, userShell } from './command.ts';
import { OutputLog } from './output-log.ts';
import { Receipts } from './receipts.ts';
import type { Screens } from './screens.ts';
import { Session } from './session.ts';
import type { SessionMeta } from './session-folder.ts';
import { looksLikeId, SessionFolder } from './session-folder.ts';

/** Ended sessions are kept so long, and so many. */
const keepEndedMs = 7 * 86_400_000;
const keepEnded = 100;
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
  now?: () => number;
}

/** Where a server of this generation puts its lock. */
export function lockPath(home: Home, generation: string): string {
  return home.path('headless', `${generation}.lock`);
}

const log = new Log('sessions');

/** All sessions of one server: those whose terminals it owns, and ended ones that it looks after. */
export class Sessions {
  readonly receipts = new Receipts();
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #byKey = new Map<string, Session>();
  readonly #watchers = new Set<() => void>();
  readonly #now: () => number;
  #collector: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Takes over what dead servers left, and clears away what is old; again every hour. */
  async open(): Promise<void> {
    await this.#tidy();
    this.#collector = setInterval(() => {
      this.#tidy().catch((error: unknown) => log.error('old sessions could not be cleared away', { error }));
    }, collectEveryMs);
    this.#collector.unref();
  }

  /** Takes over now what servers that have ended left. */
  async adopt(): Promise<void> {
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

  /** Calls `changed` after each change that lists show, until the returned function is called. */
  watch(changed: () => void): () => void {
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
  create(params: ParsedParamsOf<'session.new'>, owner: string, machine: string, key?: string): Session {
    const known = key === undefined ? undefined : this.#byKey.get(key);
    if (known) return known;
    if (this.#stopping) throw new NiiaError('busy', 'the headless server is ending', 'Try again.');
    const { home, generation } = this.#options;
    const argv = params.argv?.length ? params.argv : [userShell()];
    const cwd = startFolder(params.cwd);
    const own = { TERM: 'xterm-256color', COLORTERM: 'truecolor', NIIA_MACHINE_NAME: machine, NIIA_HOME: home.root };
    const env = childEnvironment({ ...own, ...params.env });
    const [command = userShell(), ...args] = argv;
    const file = executable(command, env, cwd);
    if (params.name !== undefined) this.#checkName(params.name);
    const folder = SessionFolder.claim(home);
    const { id } = folder;
    const meta: SessionMeta = {
      ...{ id, name: params.name ?? id, argv, cwd, pid: 0, cols: params.cols ?? 80, rows: params.rows ?? 24 },
      ...{ sizing: params.sizing ?? 'viewer', title: '', createdAt: new Date(this.#now()).toISOString() },
      ...{ endedAt: null, exitCode: null, signal: null, lost: false, owner, generation, key: key ?? null },
    };
    const session = this.#start(folder, meta, { file, args, env: { ...env, NIIA_SESSION: id } });
    this.#add(session);
    this.#collect();
    this.#changed();
    return session;
  }

  #start(
    folder: SessionFolder,
    meta: SessionMeta,
    command: { file: string; args: string[]; env: Record<string, string> },
  ): Session {
    const output = new OutputLog(this.#logOptions(folder));
    const parts = { folder, meta, log: output, screens: this.#options.screens, changed: () => this.#changed() };
    let session: Session;
    try {
      session = Session.start(parts, command);
    } catch (error) {
      folder.remove();
      throw error;
    }
    try {
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

  rename(session: Session, name: string): void {
    if (name === session.name) return;
    this.#checkName(name, session);
    session.rename(name);
  }

  /** Ends all sessions and starts no more; resolves with how many were live. */
  async endAll(): Promise<number> {
    this.#stopping = true;
    const live = [...this.#sessions.values()].filter((session) => session.live);
    await Promise.all(live.map((session) => session.end()));
    // Those that had just ended may still be writing.
    await Promise.all([...this.#sessions.values()].map((session) => session.exited));
    return live.length;
  }

  close(): void {
    clearInterval(this.#collector);
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

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #logOptions(folder: SessionFolder): { folder: string; capBytes?: number } {
    const { logCapBytes } = this.#options;
    return { folder: folder.path, ...(logCapBytes === undefined ? {} : { capBytes: logCapBytes }) };
  }

  async #tidy(): Promise<void> {
    await this.#adopt();
    this.#collect();
  }

  /** Takes over the sessions of servers that are no more. One server at a time does so. */
  async #adopt(): Promise<void> {
    const { home, generation } = this.#options;
    const lock = await this.#adoptLock();
    try {
      for (const folder of SessionFolder.all(home)) {
        if (this.#sessions.has(folder.id)) continue;
        const meta = folder.readMeta();
        if (!meta) continue;
        const others = meta.generation !== generation;
        if (others && lockHolder(lockPath(home, meta.generation)) !== undefined) continue;
        try {
          await this.#takeOver(folder, meta);
        } catch (error) {
          log.error('a session of an earlier server could not be read', { session: folder.id, error });
        }
      }
    } finally {
      lock.release();
    }
  }

  /** Waits for another server that is at it; what it leaves may be for this one. */
  async #adoptLock(): Promise<Lock> {
    for (;;) {
      const lock = await acquireLock(this.#options.home.path('sessions', 'adopt.lock'));
      if (!('heldBy' in lock)) return lock;
      await new Promise((resolve) => setTimeout(resolve, adoptRetryMs));
    }
  }

  async #takeOver(folder: SessionFolder, meta: SessionMeta): Promise<void> {
    const { generation, screens, machine } = this.#options;
    const lost = meta.endedAt === null;
    if (lost || meta.generation !== generation) {
      meta.generation = generation;
      if (lost) Object.assign(meta, { lost, endedAt: new Date(this.#now()).toISOString() });
      folder.writeMeta(meta);
    }
    const output = await OutputLog.load(this.#logOptions(folder));
    const session = Session.ended({ folder, meta, log: output, screens, changed: () => this.#changed() });
    this.#add(session);
    await this.receipts.load(session, machine);
  }

  /** Clears away ended sessions that are too old or too many. */
  #collect(): void {
    const ended = [...this.#sessions.values()]
      .filter((session) => !session.inUse)
      .sort((a, b) => Date.parse(b.meta.endedAt ?? '') - Date.parse(a.meta.endedAt ?? ''));
    const oldest = this.#now() - keepEndedMs;
    let removed = 0;
    for (const [index, session] of ended.entries()) {
      if (index < keepEnded && Date.parse(session.meta.endedAt ?? '') >= oldest) continue;
      session.folder.remove();
      this.#sessions.delete(session.id);
      if (session.meta.key !== null) this.#byKey.delete(session.meta.key);
      removed++;
    }
    if (removed > 0) this.#changed();
  }
}
