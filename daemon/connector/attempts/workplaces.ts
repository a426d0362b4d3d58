import { closeSync, existsSync, mkdirSync, openSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve, sep } from 'node:path';
import type { AttemptKey, Kept } from '../../../shared/protocol/attempt-methods.ts';
import type { Home } from '../../home/home.ts';
import type { Log } from '../../home/log.ts';
import { AttemptFailure } from './failure.ts';
import type { AttemptRecord, Place, Worktree } from './record.ts';
import { fileNameOf, nothingKept } from './record.ts';
import type { SandboxPlan } from './sandbox.ts';
import { requireSandbox, sandboxed } from './sandbox.ts';
import type { ScratchpadRemote } from './scratchpad.ts';
import { Scratchpad } from './scratchpad.ts';
import type { Surroundings } from './start.ts';
import type { AttemptStore } from './store.ts';
import { Worktrees } from './worktrees.ts';

/** A scratchpad is kept in step this often while its attempt works. */
const syncEveryMs = 10_000;

export interface WorkplacesOptions {
  home: Home;
  store: AttemptStore;
  /** Where the run's scratchpad is kept; undefined: here. */
  scratchpad: (key: AttemptKey, coordinators: readonly string[]) => ScratchpadRemote | undefined;
  /** The PATH that sessions get. */
  path: () => Promise<string | undefined>;
  log: Log;
}

/** The folders in which attempts work, and what is around them. */
export class Workplaces {
  readonly #o: WorkplacesOptions;
  readonly #worktrees: Worktrees;
  readonly #scratchpads = new Map<string, Scratchpad>();

  constructor(options: WorkplacesOptions) {
    this.#o = options;
    this.#worktrees = new Worktrees(options.log);
  }

  /**
   * Makes the place of an attempt, or finds what an earlier daemon made of it. `save` has the worktree on disk before it is
   * made. Throws `start_failed`.
   */
  async prepare(record: AttemptRecord, save: (worktree: Worktree) => void, signal: AbortSignal): Promise<Place> {
    const { spec } = record;
    const { environment, run } = spec;
    if (environment.sandbox) await requireSandbox();
    const folder = this.#folder(record);
    const slug = environment.resume ?? environment.worktree;
    let cwd = folder;
    if (slug !== null) {
      const repository = await this.#worktrees.repositoryOf(folder);
      const worktree = await this.#worktree(record, repository, save);
      signal.throwIfAborted();
      const inside = join(worktree.path, repository.prefix);
      cwd = existsSync(inside) ? inside : worktree.path;
    }
    const scratchpad = environment.scratchpad ? this.#o.store.folder(run, 'scratchpad') : null;
    if (scratchpad !== null) await this.#inStep(record, scratchpad, 'pull', signal);
    const place = { cwd: realpathSync(cwd), scratchpad };
    // What cannot be sandboxed is refused before anything starts.
    if (environment.sandbox) this.#plan({ ...record, place });
    return place;
  }

  async surroundings(record: AttemptRecord): Promise<Surroundings> {
    const { spec, place, worktree } = record;
    if (!place) throw new AttemptFailure('start_failed', 'an attempt without a place');
    const path = await this.#o.path();
    const env = {
      ...(path !== undefined && { PATH: path }),
      ...{ NIIA_RUN: spec.run, NIIA_WORKER: spec.worker },
      ...(place.scratchpad !== null && { NIIA_SCRATCHPAD: place.scratchpad }),
      ...(worktree && this.#worktrees.environment(worktree)),
    };
    const plan = spec.environment.sandbox ? this.#plan(record) : undefined;
    return { cwd: place.cwd, env, wrap: (argv) => (plan ? sandboxed(plan, argv) : [...argv]) };
  }

  /** Keeps its scratchpad in step until the result is called. */
  keepInStep(record: AttemptRecord): () => void {
    const folder = record.place?.scratchpad;
    if (!folder) return () => undefined;
    const timer = setInterval(() => {
      this.#shared(record, folder).catch((error: unknown) => {
        this.#o.log.debug('a scratchpad could not be kept in step', { run: record.spec.run, error });
      });
    }, syncEveryMs);
    return () => clearInterval(timer);
  }

  /** Others see what it wrote, and it what others did. */
  async #shared(record: AttemptRecord, folder: string): Promise<void> {
    await this.#inStep(record, folder, 'push');
    await this.#inStep(record, folder, 'pull');
  }

  /** Sends what the attempt wrote into its scratchpad to where the others find it. */
  async share(record: AttemptRecord, signal: AbortSignal): Promise<void> {
    const folder = record.place?.scratchpad;
    if (folder) await this.#inStep(record, folder, 'push', signal);
  }

  /** Puts what it left in order, once nothing of it runs. Says where work is kept; repeats change nothing. */
  async leave(
    record: AttemptRecord,
    how: 'succeeded' | 'failed' | 'fenced',
    outputs: readonly string[],
  ): Promise<Kept> {
    const { worktree, place, submitted, kept, spec } = record;
    if (worktree) {
      const cwd = place?.cwd ?? worktree.path;
      return await this.#worktrees.leave(worktree, how, { epoch: spec.epoch, before: kept, cwd, outputs });
    }
    return how === 'succeeded' || !submitted || !place ? nothingKept : { folder: place.cwd, branch: null };
  }

  async #worktree(
    record: AttemptRecord,
    repository: Awaited<ReturnType<Worktrees['repositoryOf']>>,
    save: (worktree: Worktree) => void,
  ): Promise<Worktree> {
    const { environment, run, worker, epoch } = record.spec;
    if (environment.resume !== null) {
      const found = await this.#worktrees.find(repository, environment.resume);
      save(found);
      return found;
    }
    const { worktree: slug } = environment;
    if (slug === null) throw new AttemptFailure('start_failed', 'a worktree without a name');
    if (record.worktree && record.worktree.gitDir !== '') return record.worktree;
    const path = join(this.#o.home.folder('worktrees', run), `${fileNameOf(worker)}-${epoch}`);
    const begun = record.worktree;
    // A branch that is found free stays free until it is made.
    return await this.#worktrees.inTurn(repository.common, async () => {
      const planned = begun ?? (await this.#worktrees.plan(repository, slug, worker, path));
      save(planned);
      const made = await this.#worktrees.make(repository, planned, begun !== null);
      save(made);
      return made;
    });
  }

  /** Where it works, or would without a worktree. */
  #folder({ spec }: AttemptRecord): string {
    const { cwd } = spec.environment;
    if (cwd !== null) {
      const folder = fromHome(cwd);
      if (isFolder(folder)) return folder;
      throw new AttemptFailure('start_failed', `its folder ${folder} is not there`);
    }
    // On another machine than the file's there may be the same folder; else it gets an empty one.
    return isFolder(spec.folder) ? spec.folder : this.#o.store.folder(spec.run, 'work');
  }

  #plan({ spec, place, worktree }: AttemptRecord): SandboxPlan {
    const { sandbox } = spec.environment;
    if (!sandbox || !place) throw new AttemptFailure('start_failed', 'a sandbox without a place');
    const home = realpathSync(this.#o.home.root);
    const own = [home, ...this.#ownPlaces(spec.run)];
    const asked = sandbox.write.map((name) => {
      const folder = fromHome(name);
      if (!existsSync(folder))
        throw new AttemptFailure('start_failed', `${folder}, which its sandbox may write, is not there`);
      return realpathSync(folder);
    });
    for (const folder of [place.cwd, ...asked]) {
      const inHome = folder === home || folder.startsWith(home + sep);
      if (!inHome || own.slice(1).some((one) => folder === one || folder.startsWith(one + sep))) continue;
      throw new AttemptFailure(
        'start_failed',
        `its sandbox may not write ${folder}: what is in ${home} stays out of its reach`,
      );
    }
    const scratchpad = place.scratchpad === null ? [] : [realpathSync(place.scratchpad)];
    const sockets = realpathOrNone(dirname(this.#o.home.socket('daemon')));
    const hidden = [home, ...(sockets.some((folder) => folder.startsWith(home)) ? [] : sockets)];
    const { writable, readOnly } = gitPlaces(place.cwd, worktree);
    return {
      network: sandbox.network,
      writable: [place.cwd, ...(worktree ? [realpathSync(worktree.path)] : []), ...scratchpad, ...asked, ...writable],
      hidden,
      readOnly,
    };
  }

  #ownPlaces(run: string): string[] {
    return ['attempts', 'worktrees'].flatMap((kind) => realpathOrNone(this.#o.home.path(kind, run)));
  }

  async #inStep({ spec }: AttemptRecord, folder: string, how: 'pull' | 'push', signal?: AbortSignal): Promise<void> {
    const { run, worker, epoch } = spec;
    const remote = this.#o.scratchpad({ run, worker, epoch }, spec.coordinators);
    // Without one it is the run's only one.
    if (!remote) return;
    let scratchpad = this.#scratchpads.get(run);
    if (!scratchpad) {
      scratchpad = new Scratchpad({ folder, index: join(dirname(folder), 'scratchpad.index'), log: this.#o.log });
      this.#scratchpads.set(run, scratchpad);
    }
    await scratchpad[how](remote, signal);
  }
}

/**
 * A commit in a worktree writes into its repository. What git carries out, or is configured by, stays as it is: it would
 * count for whoever uses the repository later, outside of the sandbox.
 */
function gitPlaces(cwd: string, worktree: Worktree | null): { writable: string[]; readOnly: string[] } {
  if (!worktree) {
    const common = join(cwd, '.git');
    return {
      writable: [],
      readOnly: isFolder(common) ? kept(common, ['hooks', 'info'], ['config', worktreeConfig]) : [],
    };
  }
  const { common, gitDir } = worktree;
  const written = ['objects', 'refs', 'logs'].map((name) => join(common, name)).filter(existsSync);
  // Links lead into the main checkout, wherever that is.
  const seen = [dirname(common), common];
  return {
    writable: [...written, gitDir],
    readOnly: [...seen, ...kept(gitDir, [], ['commondir', 'gitdir', worktreeConfig])],
  };
}

/** It counts where the repository's `extensions.worktreeConfig` is set. */
const worktreeConfig = 'config.worktree';

/** What shall stay as it is, made empty where it is missing: what is not there cannot be kept from being made. */
function kept(folder: string, folders: readonly string[], files: readonly string[]): string[] {
  for (const name of folders) mkdirSync(join(folder, name), { recursive: true });
  for (const name of files) closeSync(openSync(join(folder, name), 'a', 0o644));
  return [...folders, ...files].map((name) => join(folder, name));
}

function fromHome(path: string): string {
  return resolve(homedir(), path.replace(/^~(?=\/|$)/, homedir()));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function realpathOrNone(path: string): string[] {
  return existsSync(path) ? [realpathSync(path)] : [];
}
