import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { requireSandbox, sandboxed, seatbeltProfile } from '../../../daemon/connector/attempts/sandbox.ts';
import { listenLocal } from '../../../daemon/process/local-socket.ts';
import { cleanup, temporaryFolder } from '../headless/support.ts';
import { Stage } from './stage.ts';

vi.setConfig({ testTimeout: 60_000 });

const none = await requireSandbox().then(
  () => undefined,
  (error: Error) => error.message,
);
if (none !== undefined) console.warn(`what needs a sandbox is skipped: ${none}`);

const environment = { sandbox: { network: false, write: [] } };

describe.skipIf(none !== undefined)('an attempt in a sandbox', () => {
  test('writes its working folder, its scratchpad and what it was allowed, and nothing else', async () => {
    const stage = await Stage.open();
    const [allowed, other] = [temporaryFolder(), temporaryFolder()];
    const places = ['.', '"$NIIA_SCRATCHPAD"', allowed, '/tmp', other, '"$HOME"', '/etc', '/dev/shm'];
    const script = places.map((place) => `touch ${place}/mark 2>/dev/null && echo yes || echo no`).join('; ');
    const spec = stage.spec(script, {
      environment: { scratchpad: true, sandbox: { network: false, write: [allowed] } },
      // Its own shared memory and /tmp are nobody else's.
      check: 'test -e mark && touch checked && ! touch /etc/mark 2>/dev/null',
    });
    const { text, outcome } = await stage.outcomeOf(spec);
    expect(outcome).toMatchObject({ is: 'succeeded' });
    expect(text.trim().split('\n')).toEqual(['yes', 'yes', 'yes', 'yes', 'no', 'no', 'no', 'yes']);
    expect([existsSync('/tmp/mark'), existsSync('/etc/mark'), existsSync('/dev/shm/mark')]).toEqual([
      false,
      false,
      false,
    ]);
    expect(existsSync(stage.path('checked')) && existsSync(join(allowed, 'mark'))).toBe(true);
  });

  test('sees no key of the home and no socket of the machine, but its own', async () => {
    const stage = await Stage.open();
    mkdirSync(stage.home.path('keys'), { recursive: true });
    writeFileSync(stage.home.path('keys', 'secret'), 'key\n');
    const main = await listenLocal(stage.home.socket('daemon'), (socket) => socket.destroy());
    cleanup(() => main.close());
    const script = [
      `cat ${stage.home.path('keys', 'secret')} 2>/dev/null || echo hidden`,
      `ls -A ${stage.home.root} | tr '\\n' ' '; test -S ${stage.home.socket('daemon')} && echo socket || echo none`,
      'test -d "$(dirname "$NIIA_SOCKET")" && echo own',
      'echo "$(ls /proc | grep -c "^[0-9]")"',
    ];
    const { text } = await stage.outcomeOf(stage.spec(script.join('; '), { environment }));
    const [key, sockets, own, processes] = text.trim().split('\n');
    expect([key, sockets, own]).toEqual(['hidden', 'none', 'own']);
    expect(Number(processes)).toBeLessThan(10);
  });

  test('reaches no network, unless it may', async () => {
    const stage = await Stage.open();
    const server = createServer((socket) => socket.end('reached\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanup(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const script = `exec 2>/dev/null; bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3' || echo no`;
    expect((await stage.outcomeOf(stage.spec(script, { environment }))).text).toBe('no\n');
    const network = { sandbox: { network: true, write: [] } };
    expect((await stage.outcomeOf(stage.spec(script, { environment: network, epoch: 2 }))).text).toBe('reached\n');
  });

  test('commits in its worktree, and cannot change what git carries out', async () => {
    const stage = await Stage.open();
    const git = (...args: string[]) => execFileSync('git', args, { cwd: stage.folder, encoding: 'utf8' }).trim();
    git('init', '--quiet', '--initial-branch', 'main');
    git('-c', 'user.name=T', '-c', 'user.email=t@t', 'commit', '--quiet', '--allow-empty', '--message', 'first');
    // As `git sparse-checkout` leaves it: a worktree has settings of its own.
    git('config', 'extensions.worktreeConfig', 'true');
    const script = [
      'export GIT_AUTHOR_NAME=W GIT_AUTHOR_EMAIL=w@w GIT_COMMITTER_NAME=W GIT_COMMITTER_EMAIL=w@w',
      'echo new > new.txt; git add --all && git commit --quiet --message work && echo committed',
      'common=$(git rev-parse --path-format=absolute --git-common-dir); own=$(git rev-parse --git-dir)',
      'for file in "$common/hooks/post-commit" "$common/config" "$own/commondir" "$own/config.worktree" "$common/x"; do',
      '(echo "[core]" >> "$file") 2>/dev/null && echo wrote || echo kept; done',
    ];
    const config = readFileSync(stage.path('.git/config'), 'utf8');
    const spec = stage.spec(script.join('\n'), { environment: { ...environment, worktree: 'job' } });
    const { text, outcome } = await stage.outcomeOf(spec);
    expect(text.trim().split('\n')).toEqual(['committed', ...Array<string>(5).fill('kept')]);
    expect(git('show', `${outcome.kept.branch}:new.txt`)).toBe('new');
    expect(readFileSync(stage.path('.git/config'), 'utf8')).toBe(config);
  });

  test('cannot change what git carries out in a repository that it works in as it is', async () => {
    const stage = await Stage.open();
    execFileSync('git', ['init', '--quiet', '--template=', stage.folder]);
    const script =
      'for file in hooks/post-commit config config.worktree info/attributes; do (echo x >> .git/$file) 2>/dev/null && echo wrote $file || echo kept; done';
    const { text } = await stage.outcomeOf(stage.spec(script, { environment }));
    expect(text.trim().split('\n')).toEqual(Array<string>(4).fill('kept'));
  });

  test('works on a terminal, and is frozen and ended like any other', async () => {
    const stage = await Stage.open();
    const model = { driver: 'shell', command: ['/bin/bash', '--norc', '--noprofile', '-i'], env: { PS1: '$ ' } };
    const { text } = await stage.outcomeOf(stage.spec('', { model, environment }), 'test -t 0 && echo terminal');
    expect(text.trim()).toBe('terminal');
    const log = stage.path('log');
    const script = `i=0; while :; do i=$((i+1)); echo $i >> ${log}; sleep 0.01; done`;
    const spec = stage.spec(script, { environment, epoch: 2, lease: { ttlMs: 600, renewMs: 100 } });
    await stage.begin(spec);
    const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length : 0);
    await expect.poll(lines, { timeout: 15_000 }).toBeGreaterThan(3);
    stage.coordinator.reached = false;
    await expect.poll(() => stage.sessions.at(-1)?.frozen, { timeout: 15_000 }).toBe(true);
    const stoodAt = lines();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(lines()).toBe(stoodAt);
    await stage.attempts.end({ run: 'r1', worker: 'w', epoch: 2 }, 'cancelled');
    expect(lines()).toBe(stoodAt);
  });

  test('is refused what would open the home of niia, and folders that are not there', async () => {
    const stage = await Stage.open();
    const asked = [stage.home.root, stage.home.path('sessions'), '/no/such/folder'];
    for (const [index, folder] of asked.entries()) {
      const sandbox = { network: false, write: [folder] };
      const spec = stage.spec('echo started', { environment: { sandbox }, epoch: index + 1 });
      expect((await stage.outcomeOf(spec)).outcome).toMatchObject({ reason: 'start_failed', submitted: false });
    }
    // What is around the home may be written; the home is not there all the same.
    const sandbox = { network: false, write: [join(stage.home.root, '..')] };
    const script = `ls -A ${stage.home.root} | wc -l`;
    expect((await stage.outcomeOf(stage.spec(script, { environment: { sandbox }, epoch: 9 }))).text.trim()).toBe('0');
  });

  test('whose program is missing has not started', async () => {
    const stage = await Stage.open();
    const spec = stage.spec('', { environment, model: { command: ['no-such-program-here'] } });
    expect((await stage.outcomeOf(spec)).outcome).toMatchObject({
      reason: 'start_failed',
      why: expect.stringContaining('no-such-program-here: command not found'),
    });
  });
});

describe('a sandbox', () => {
  test('that cannot be had is refused, with what to install', async () => {
    const stage = await Stage.open();
    vi.stubEnv('PATH', temporaryFolder());
    cleanup(() => vi.unstubAllEnvs());
    const { outcome } = await stage.outcomeOf(stage.spec('echo started', { environment }));
    expect(outcome).toMatchObject({ is: 'failed', reason: 'start_failed', submitted: false });
    expect(outcome.is === 'failed' && outcome.why).toMatch(/bwrap is not installed.*apt install bubblewrap/);
    expect(stage.sessions).toEqual([]);
    await expect(requireSandbox('win32')).rejects.toMatchObject({ reason: 'start_failed' });
  });

  const plan = { network: false, writable: ['/w', '/h/attempts/r1'], hidden: ['/h'], readOnly: ['/w/.git/hooks'] };

  test('lays what is inside of another on top of it', () => {
    const [, , script = ''] = sandboxed({ ...plan, writable: ['/', ...plan.writable] }, ['true'], 'linux');
    const at = (words: string) => script.indexOf(words);
    expect(at('--bind / /')).toBeLessThan(at('--tmpfs /h'));
    expect(at('--tmpfs /h')).toBeLessThan(at('--bind /h/attempts/r1'));
    expect(at('--bind /w /w')).toBeLessThan(at('--ro-bind-try /w/.git/hooks'));
    expect(at('--unshare-net')).toBeGreaterThan(0);
  });

  test('of macOS says the same in its own words', () => {
    const profile = seatbeltProfile(plan);
    expect(profile).toMatch(/^\(version 1\)\n\(allow default\)\n\(deny file-write\*\)\n/);
    expect(profile.indexOf('(deny file-read* file-write* network-outbound (subpath "/h"))')).toBeLessThan(
      profile.indexOf('(allow file-read* file-write* (subpath "/h/attempts/r1"))'),
    );
    expect(profile).toContain('(deny network*)');
    expect(seatbeltProfile({ ...plan, network: true })).not.toContain('(deny network*)');
  });
});
