import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { AttemptStore } from '../../../daemon/connector/attempts/store.ts';
import { soon } from '../headless/support.ts';
import { Stage } from './stage.ts';

// Each test runs dozens of commands.
vi.setConfig({ testTimeout: 60_000 });

function git(cwd: string, ...args: string[]): string {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_AUTHOR_NAME: 'T', GIT_AUTHOR_EMAIL: 't@t' };
  return execFileSync('git', args, {
    cwd,
    encoding: 'utf8',
    env: { ...env, GIT_COMMITTER_NAME: 'T', GIT_COMMITTER_EMAIL: 't@t' },
  }).trim();
}

/** A stage whose run lies in a repository, with large folders that git ignores. */
async function open(below = ''): Promise<{ stage: Stage; folder: string }> {
  const stage = await Stage.open();
  git(stage.folder, 'init', '--quiet', '--initial-branch', 'main');
  mkdirSync(stage.path('sub'));
  writeFileSync(stage.path('sub/tracked'), 'tracked\n');
  writeFileSync(stage.path('.gitignore'), 'node_modules/\n.venv/\nsecret\nbuilt.txt\n');
  git(stage.folder, 'add', '.');
  git(stage.folder, 'commit', '--quiet', '--message', 'first');
  for (const name of ['node_modules', '.venv', 'sub/node_modules']) {
    mkdirSync(stage.path(name));
    writeFileSync(stage.path(`${name}/large`), 'large\n');
  }
  writeFileSync(stage.path('secret'), 'secret\n');
  return { stage, folder: join(stage.folder, below) };
}

const branches = (stage: Stage) => git(stage.folder, 'branch', '--format=%(refname:short)').split('\n');
const worktrees = (stage: Stage) => git(stage.folder, 'worktree', 'list').split('\n').length - 1;
const environment = { worktree: 'job-{worker}' };

describe('a worktree of an attempt', () => {
  test('starts from HEAD with links to large folders, and is gone where nothing was done in it', async () => {
    const { stage, folder } = await open('sub');
    const script =
      'cat tracked node_modules/large ../node_modules/large; git branch --show-current; git status --short; ls ..';
    const spec = { ...stage.spec(script, { environment }), folder };
    const { text, outcome } = await stage.outcomeOf(spec);
    expect(text).toBe('tracked\nlarge\nlarge\njob-w\nnode_modules\nsub\n');
    expect(outcome).toMatchObject({ is: 'succeeded', kept: { folder: null, branch: null } });
    expect([branches(stage), worktrees(stage)]).toEqual([['main'], 0]);
    expect(readFileSync(stage.path('node_modules/large'), 'utf8')).toBe('large\n');
    expect(readdirSync(stage.home.path('worktrees', 'r1'))).toEqual([]);
  });

  test('is kept with what was done in it, and named', async () => {
    const { stage } = await open();
    const script =
      'echo new > new.txt; git add --all; git -c user.name=W -c user.email=w@w commit --quiet -m work; echo more > more.txt';
    const { outcome } = await stage.outcomeOf(stage.spec(script, { environment }));
    const { folder, branch } = outcome.kept;
    expect(branch).toBe('job-w');
    expect(git(stage.folder, 'show', '--name-only', '--format=', 'job-w')).toBe('new.txt');
    expect(readFileSync(join(folder ?? '', 'more.txt'), 'utf8')).toBe('more\n');
    // A later attempt of that name takes another branch.
    const next = await stage.outcomeOf(stage.spec('git branch --show-current', { environment, epoch: 2 }));
    expect(next.text).toBe('job-w-2\n');
    // And one that resumes it goes on in the same.
    const resume = { ...environment, resume: 'job-w' };
    const third = await stage.outcomeOf(stage.spec('cat more.txt; pwd', { environment: resume, epoch: 3 }));
    expect(third.text).toBe(`more\n${folder}\n`);
    expect(third.outcome.kept).toEqual({ folder, branch });
  });

  test('is kept where only files that git ignores are its output', { tags: 'full' }, async () => {
    const { stage } = await open();
    const { outcome } = await stage.outcomeOf(
      stage.spec('echo built > built.txt', { environment, output: { files: ['built.txt'] } }),
    );
    expect(readFileSync(join(outcome.kept.folder ?? '', 'built.txt'), 'utf8')).toBe('built\n');
  });

  test('of an attempt that failed leaves a branch with its work, and its name to the next', async () => {
    const { stage } = await open();
    const { outcome } = await stage.outcomeOf(stage.spec('echo half > half.txt; exit 1', { environment }));
    expect(outcome).toMatchObject({ is: 'failed', reason: 'failed', kept: { folder: null, branch: 'job-w-failed-1' } });
    expect(git(stage.folder, 'show', 'job-w-failed-1:half.txt')).toBe('half');
    expect(git(stage.folder, 'diff', '--name-only', 'main', 'job-w-failed-1')).toBe('half.txt');
    expect(worktrees(stage)).toBe(0);
    const next = await stage.outcomeOf(stage.spec('git branch --show-current; ls', { environment, epoch: 2 }));
    expect(next.text).toBe('job-w\nnode_modules\nsub\n');
  });

  test('of an attempt that is fenced keeps all of it on a side branch, also where it had succeeded', async () => {
    const { stage } = await open();
    stage.coordinator.takes = false;
    await stage.begin(stage.spec('echo late > late.txt', { environment }));
    await expect.poll(() => stage.coordinator.reports.at(-1)?.step, soon).toBe('delivering');
    stage.coordinator.granted = 2;
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    const kept = await stage.attempts.end({ run: 'r1', worker: 'w', epoch: 1 }, 'fenced');
    expect(kept).toEqual({ folder: null, branch: 'job-w-fenced-1' });
    expect(git(stage.folder, 'show', 'job-w-fenced-1:late.txt')).toBe('late');
    expect([branches(stage), worktrees(stage)]).toEqual([['job-w-fenced-1', 'main'], 0]);
  });

  test('stays as it is where its work cannot be committed', { tags: 'full' }, async () => {
    const { stage } = await open();
    const script = 'echo half > half.txt; touch "$(git rev-parse --git-dir)/index.lock"; exit 1';
    const { outcome } = await stage.outcomeOf(stage.spec(script, { environment }));
    expect(outcome.kept.branch).toBe('job-w');
    expect(readFileSync(join(outcome.kept.folder ?? '', 'half.txt'), 'utf8')).toBe('half\n');
  });

  test('obeys no settings that its worker made', async () => {
    const { stage } = await open();
    const trap = stage.path('trapped');
    const script = [
      `mkdir -p away/hooks; git init --quiet away/repo; git -C away/repo config core.fsmonitor "touch ${trap}; false"`,
      `git -C away/repo config core.hooksPath "$PWD/away/hooks"`,
      `printf '#!/bin/sh\\ntouch ${trap}\\n' > away/hooks/post-commit; chmod +x away/hooks/post-commit`,
      'echo "gitdir: $PWD/away/repo/.git" > .git; exit 1',
    ].join('; ');
    const { outcome } = await stage.outcomeOf(stage.spec(script, { environment }));
    expect(outcome.kept.branch).toMatch(/^job-w/);
    expect(existsSync(trap)).toBe(false);
  });

  test('is made once, whenever its daemon stops in between', { tags: 'full' }, async () => {
    const original = AttemptStore.prototype.write;
    for (const when of ['before', 'after'] as const) {
      // What it is to be, and what it has become.
      for (const at of [2, 3]) {
        const { stage } = await open();
        const spec = stage.spec('ls -a; echo new > new.txt', { environment });
        let [count, stopped] = [0, undefined as Promise<void> | undefined];
        vi.spyOn(AttemptStore.prototype, 'write').mockImplementation(function (this: AttemptStore, file) {
          count += 1;
          if (count < at || (count === at && when === 'after')) original.call(this, file);
          if (count < at) return;
          stopped ??= stage.stopDaemon();
          if (count > at || when === 'before') throw new Error('its daemon is gone');
        });
        await stage.begin(spec).catch(() => undefined);
        await expect.poll(() => stopped !== undefined, soon).toBe(true);
        await stopped;
        vi.restoreAllMocks();
        await stage.startDaemon();
        await stage.begin(spec);
        const { outcome, text } = await stage.delivered(spec);
        expect([when, at, outcome, text.split('\n')]).toMatchObject([
          when,
          at,
          { kept: { branch: 'job-w' } },
          expect.any(Array),
        ]);
        expect([branches(stage), worktrees(stage)]).toEqual([['job-w', 'main'], 1]);
        await stage.stopDaemon();
      }
    }
  });

  test.each([
    ['no git repository', async (stage: Stage) => void stage],
    ['no commit yet', async (stage: Stage) => void git(stage.folder, 'init', '--quiet')],
  ])('cannot be had of a folder in %s', async (_, prepare) => {
    const stage = await Stage.open();
    await prepare(stage);
    const { outcome } = await stage.outcomeOf(stage.spec('true', { environment }));
    expect(outcome).toMatchObject({ is: 'failed', reason: 'start_failed', submitted: false });
    const resumed = await stage.outcomeOf(stage.spec('true', { environment: { resume: 'job' }, epoch: 2 }));
    expect(resumed.outcome).toMatchObject({ reason: 'start_failed' });
  });

  test('is one for each of many workers at once', { tags: 'full' }, async () => {
    const { stage } = await open();
    const workers = ['a', 'b', 'D e/f'];
    const slugs = ['job-{worker}', 'same', 'same'];
    const specs = workers.map((worker, index) => {
      const own = { worktree: slugs[index] ?? null };
      return stage.spec('echo mine > mine.txt', { worker, environment: own });
    });
    const outcomes = await Promise.all(specs.map((spec) => stage.outcomeOf(spec)));
    expect(outcomes.map(({ outcome }) => outcome.kept.branch).sort()).toEqual(['job-a', 'same', 'same-2']);
    expect(
      outcomes.every(({ outcome }) => lstatSync(join(outcome.kept.folder ?? '', 'node_modules')).isSymbolicLink()),
    ).toBe(true);
  });
});
