import { existsSync, lstatSync, readFileSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { Kept } from '../../../shared/protocol/attempt-methods.ts';
import { isErrno } from '../../home/files.ts';
import type { Log } from '../../home/log.ts';
import { AttemptFailure } from './failure.ts';
import { GitError, git } from './git.ts';
import type { Worktree } from './record.ts';
import { nothingKept, slugOf } from './record.ts';

/** Folders that take long to make and that git ignores: a worktree gets a link to the main checkout's. */
const linkedFolders = new Set(['node_modules', '.venv', 'venv', 'target', '.tox', '.gradle', 'Pods', 'vendor']);

export interface Repository {
  /** `.git`, which all worktrees share. */
  common: string;
  /** The checkout's own folder, and the way from there to the folder that was asked about. */
  top: string;
  prefix: string;
  head: string;
}

/** The git worktrees of attempts. */
export class Worktrees {
  readonly #log: Log;
  /** One at a time is made or removed in a repository. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Rejects with `start_failed` where the folder is in none, or in one without a commit. */
  async repositoryOf(folder: string): Promise<Repository> {
    const asked = ['--path-format=absolute', '--git-common-dir', '--show-toplevel', '--show-prefix', 'HEAD^{commit}'];
    try {
      const [common = '', top = '', prefix = '', head = ''] = (
        await git(['rev-parse', ...asked], { cwd: folder })
      ).split('\n');
      return { common, top, prefix, head };
    } catch (error) {
      if (!(error instanceof GitError)) throw error;
      const why = /unknown revision|ambiguous argument/.test(error.message)
        ? `the repository of ${folder} has no commit yet to start a worktree from`
        : `${folder} is in no git repository that a worktree could be made of: ${error.message}`;
      throw new AttemptFailure('start_failed', why);
    }
  }

  /** A free branch named after `slug`; nothing is made yet. */
  async plan(repository: Repository, slug: string, worker: string, path: string): Promise<Worktree> {
    const wanted = slug.replaceAll('{worker}', slugOf(worker, 60) || 'worker');
    const { top: cwd, common, head: base } = repository;
    await git(['check-ref-format', '--branch', wanted], { cwd }).catch(() => {
      throw new AttemptFailure('start_failed', `"${wanted}" is no name for a branch`);
    });
    const branch = await freeBranch(common, wanted);
    return { common, gitDir: '', path, branch, base, links: [], resumed: false };
  }

  /** Makes it; `again`: an earlier daemon may have begun to. */
  async make(repository: Repository, planned: Worktree, again: boolean): Promise<Worktree> {
    const { top: cwd } = repository;
    const { path, branch, base } = planned;
    if (again) await this.#clearAway(planned);
    try {
      await git(['worktree', 'add', '--quiet', '-b', branch, path, base], { cwd });
    } catch (error) {
      if (!(error instanceof GitError)) throw error;
      throw new AttemptFailure('start_failed', `the worktree could not be made: ${error.message}`);
    }
    const made = { ...planned, gitDir: gitDirOf(path), links: await linkLarge(repository, path) };
    await writeExcludes(made, cwd);
    return made;
  }

  /** The worktree of an earlier run whose branch, or folder, has this name. */
  async find(repository: Repository, name: string): Promise<Worktree> {
    const { common, top: cwd } = repository;
    const list = await git(['worktree', 'list', '--porcelain', '-z'], { cwd });
    for (const entry of list.split('\0\0')) {
      const lines = entry.split('\0');
      const of = (key: string): string => lines.find((line) => line.startsWith(`${key} `))?.slice(key.length + 1) ?? '';
      const [path, branch, base] = [of('worktree'), of('branch').replace(/^refs\/heads\//, ''), of('HEAD')];
      if (path === '' || path === repository.top || (branch !== name && basename(path) !== name)) continue;
      if (!existsSync(path)) continue;
      const gitDir = gitDirOf(path);
      return { common, gitDir, path, branch: branch || 'HEAD', base, links: [], resumed: true };
    }
    throw new AttemptFailure('start_failed', `there is no worktree ${name} in ${repository.top} to go on in`);
  }

  /** What a git of the worker must be told, so that links do not count as its work. */
  environment({ gitDir, resumed }: Worktree): Record<string, string> {
    if (resumed || gitDir === '') return {};
    return { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'core.excludesFile', GIT_CONFIG_VALUE_0: excludesOf(gitDir) };
  }

  /**
   * Removes it with its branch where nothing was done in it. Else it stays where the work `succeeded`, and is committed
   * onto a side branch, without a folder of its own, where it `failed` or was `fenced`. `outputs`: files, relative to
   * `cwd`, that others may want. Repeats change nothing.
   */
  async leave(
    worktree: Worktree,
    how: 'succeeded' | 'failed' | 'fenced',
    { epoch, before, cwd, outputs }: { epoch: number; before: Kept; cwd: string; outputs: readonly string[] },
  ): Promise<Kept> {
    const { path, branch, resumed, gitDir } = worktree;
    if (resumed) return { folder: path, branch };
    if (!existsSync(path)) return before;
    return await this.inTurn(worktree.common, async () => {
      if (gitDir === '') {
        await this.#clearAway(worktree);
        return nothingKept;
      }
      const present = await this.#branchOf(worktree);
      if (!(await this.#hasWork(worktree, cwd, outputs))) {
        await this.#remove(worktree);
        await this.#deleteBranch(worktree, branch);
        return nothingKept;
      }
      if (how === 'succeeded') return { folder: path, branch: present };
      try {
        const side = await this.#ontoSideBranch(worktree, present, `${branch}-${how}-${epoch}`);
        await this.#remove(worktree);
        return { folder: null, branch: side };
      } catch (error) {
        this.#log.warn('the work of an attempt could not be committed; it stays in its folder', { path, error });
        return { folder: path, branch: present };
      }
    });
  }

  async #hasWork(worktree: Worktree, cwd: string, outputs: readonly string[]): Promise<boolean> {
    const { base, branch } = worktree;
    const status = await this.#in(worktree, ['status', '--porcelain', '--ignore-submodules=all']);
    if (status !== '') return true;
    const tips = await this.#in(worktree, ['rev-parse', 'HEAD', `refs/heads/${branch}`]).catch(() => 'gone');
    if (
      tips
        .trim()
        .split('\n')
        .some((tip) => tip !== base)
    )
      return true;
    if (outputs.length === 0) return false;
    // What git ignores is there all the same.
    const tracked = await this.#in(worktree, ['ls-files', '-z', '--', ...outputs], cwd);
    return tracked.split('\0').filter((name) => name !== '').length < outputs.length;
  }

  async #ontoSideBranch(worktree: Worktree, present: string, wanted: string): Promise<string> {
    for (const link of worktree.links) unlinkIfLink(join(worktree.path, link));
    if ((await this.#in(worktree, ['status', '--porcelain', '--ignore-submodules=all'])) !== '') {
      await this.#in(worktree, ['add', '--all']);
      const message = `Keep what ${worktree.branch} had when its attempt ended`;
      const commit = ['commit', '--quiet', '--no-verify', '--no-gpg-sign', '--message', message];
      await this.#in(worktree, commit, undefined, await this.#author(worktree));
    }
    if (present.startsWith(wanted)) return present;
    const side = await freeBranch(worktree.common, wanted);
    if (present === worktree.branch) await this.#in(worktree, ['branch', '--move', present, side]);
    else {
      // It went on elsewhere: that branch is its own affair, the side branch names what it had.
      await this.#in(worktree, ['branch', side, 'HEAD']);
      await this.#in(worktree, ['checkout', '--quiet', '--detach']);
      await this.#deleteBranch(worktree, worktree.branch);
    }
    return side;
  }

  /** Whoever the user is to git; somebody where git does not know. */
  async #author(worktree: Worktree): Promise<string[]> {
    const known = await this.#in(worktree, ['config', 'user.email']).catch(() => '');
    return known.trim() === '' ? ['-c', 'user.name=niia', '-c', 'user.email=niia@localhost'] : [];
  }

  async #branchOf(worktree: Worktree): Promise<string> {
    const name = await this.#in(worktree, ['symbolic-ref', '--short', '--quiet', 'HEAD']).catch(() => '');
    return name.trim() || worktree.branch;
  }

  async #remove(worktree: Worktree): Promise<void> {
    const { path, links, common } = worktree;
    for (const link of links) unlinkIfLink(join(path, link));
    try {
      await inRepository(common, ['worktree', 'remove', '--force', '--force', path]);
    } catch (error) {
      // Its worker may have made anything of it.
      this.#log.debug('a worktree is removed by hand', { path, error });
      rmSync(path, { recursive: true, force: true });
      await inRepository(common, ['worktree', 'prune']);
    }
  }

  /** Never one that has something which no other branch has, unless it is our own empty one. */
  async #deleteBranch({ common, base }: Worktree, branch: string): Promise<void> {
    const tip = await inRepository(common, ['rev-parse', '--verify', '--quiet', `refs/heads/${branch}`]).catch(
      () => '',
    );
    if (tip.trim() === base) await inRepository(common, ['branch', '--quiet', '-D', branch]);
  }

  /** What was begun and not finished: nothing was done in it. */
  async #clearAway(worktree: Worktree): Promise<void> {
    if (existsSync(worktree.path)) await this.#remove(worktree);
    else await inRepository(worktree.common, ['worktree', 'prune']);
    await this.#deleteBranch(worktree, worktree.branch);
  }

  /**
   * In the worktree, whatever it has made of its own settings: the repository's count, no hook runs, and links are no work
   * of anybody.
   */
  async #in(worktree: Worktree, args: string[], cwd?: string, more: string[] = []): Promise<string> {
    const { path, gitDir, common } = worktree;
    const settings = ['core.fsmonitor=false', 'core.hooksPath=/dev/null', `core.excludesFile=${excludesOf(gitDir)}`];
    return await git(args, {
      cwd: cwd ?? path,
      env: { GIT_DIR: gitDir, GIT_WORK_TREE: path, GIT_COMMON_DIR: common },
      config: [...settings.flatMap((setting) => ['-c', setting]), ...more],
    });
  }

  /** Of what is done to a repository's worktrees one thing at a time. */
  async inTurn<T>(common: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(common) ?? Promise.resolve();
    const turn = before.catch(() => undefined).then(work);
    this.#turns.set(common, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(common) === turn) this.#turns.delete(common);
    }
  }
}

/** Where git keeps what it knows of a worktree (gitrepository-layout(5)). */
function gitDirOf(path: string): string {
  const found = /^gitdir: (.*)$/m.exec(readFileSync(join(path, '.git'), 'utf8'))?.[1];
  if (found === undefined) throw new AttemptFailure('start_failed', `${path} is no worktree of git`);
  return resolve(path, found);
}

/** In no worktree: about the repository itself. */
async function inRepository(common: string, args: string[]): Promise<string> {
  return await git(args, { cwd: common, env: { GIT_DIR: common } });
}

async function freeBranch(common: string, wanted: string): Promise<string> {
  for (let count = 1; ; count++) {
    const branch = count === 1 ? wanted : `${wanted}-${count}`;
    const found = await inRepository(common, ['for-each-ref', '--format=%(refname)', `refs/heads/${branch}`]);
    if (!found.split('\n').includes(`refs/heads/${branch}`)) return branch;
  }
}

/** Links the large folders that git ignores; says which. */
async function linkLarge({ top }: Repository, path: string): Promise<string[]> {
  const listed = await git(['ls-files', '--others', '--ignored', '--exclude-standard', '--directory', '-z'], {
    cwd: top,
  });
  const links: string[] = [];
  for (const name of listed.split('\0')) {
    const folder = name.replace(/\/$/, '');
    if (folder === name || !linkedFolders.has(basename(folder))) continue;
    const target = join(path, folder);
    if (!isFolder(dirname(target)) || lstatSync(target, { throwIfNoEntry: false })) continue;
    symlinkSync(join(top, folder), target);
    links.push(folder);
  }
  return links;
}

/** `node_modules/` in a `.gitignore` means folders, and a link is none. The user's own list goes on counting. */
async function writeExcludes({ gitDir, links }: Worktree, cwd: string): Promise<void> {
  const named = await git(['config', '--path', 'core.excludesFile'], { cwd }).catch(() => '');
  const usual = join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'git', 'ignore');
  const own = await readFile(named.trimEnd() || usual, 'utf8').catch((error: unknown) => {
    if (isErrno(error)) return '';
    throw error;
  });
  writeFileSync(excludesOf(gitDir), [own, ...links.map((link) => `/${link}`), ''].join('\n'));
}

function excludesOf(gitDir: string): string {
  return join(gitDir, 'niia-excludes');
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function unlinkIfLink(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) unlinkSync(path);
}
