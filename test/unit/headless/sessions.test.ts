import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { devNull } from 'node:os';
import { describe, expect, test, vi } from 'vitest';
import { typedCall } from '../../../shared/rpc/client.ts';
import { as, cleanup, numbered, soon, start, tailed } from './support.ts';

describe('a session', () => {
  test('runs a command in a terminal and keeps its output, exit code and screen', async () => {
    const { ask, run, peer, home } = await start();
    const { session, pid, machine, name } = await run('echo hello; exit 3');
    expect({ session, machine, name }).toEqual({ session: 'local-1', machine: 'BOX', name: 'local-1' });
    expect(pid).toBeGreaterThan(1);
    const ended = await ask('session.wait', { session, until: { type: 'exit' } });
    expect(ended).toMatchObject({ exitCode: 3, signal: null, state: 'exited' });
    expect((await tailed(peer, { session })).bytes.toString()).toBe('hello\r\n');
    expect((await ask('session.read', { session })).lines).toEqual(['hello', '']);
    const [info] = (await ask('session.list', {})).sessions;
    expect(info).toMatchObject({ id: session, state: 'exited', exitCode: 3, outputBytes: 7, viewers: 0 });
    expect(info?.endedAt).not.toBeNull();
    expect(JSON.parse(readFileSync(home.path('sessions', session, 'meta.json'), 'utf8'))).toMatchObject({
      exitCode: 3,
    });
  });

  test('has its own environment, and nothing of the server inside', async () => {
    process.env['NIIA_INTERNAL_TEST'] = 'secret';
    const { ask, run, peer, home } = await start();
    const { session } = await run('env', { env: { MINE: 'a b' }, cwd: '/tmp' });
    await ask('session.wait', { session, until: { type: 'exit' } });
    const lines = (await tailed(peer, { session })).bytes.toString().split('\r\n');
    expect(lines).toContain(`NIIA_SESSION=${session}`);
    expect(lines).toContain('NIIA_MACHINE_NAME=BOX');
    expect(lines).toContain(`NIIA_HOME=${home.root}`);
    expect(lines).toContain('TERM=xterm-256color');
    expect(lines).toContain('COLORTERM=truecolor');
    expect(lines).toContain('MINE=a b');
    expect(lines).toContain('PWD=/tmp');
    expect(lines.filter((line) => line.startsWith('NIIA_INTERNAL'))).toEqual([]);
  });

  test('has somebody at its terminal, though its server was started by a CI job', async () => {
    cleanup(() => vi.unstubAllEnvs());
    vi.stubEnv('CI', 'true');
    vi.stubEnv('CI_JOB_ID', '7');
    vi.stubEnv('GITHUB_ACTIONS', 'true');
    const { ask, run, peer } = await start();
    const { session } = await run('env', { env: { CI_MINE: 'kept' } });
    await ask('session.wait', { session, until: { type: 'exit' } });
    const lines = (await tailed(peer, { session })).bytes.toString().split('\r\n');
    expect(lines.filter((line) => /^(CI|GITHUB)/.test(line))).toEqual(['CI_MINE=kept']);
  });

  test('has no other terminal open, whichever numbers are free when it starts', async () => {
    const { ask, run, peer } = await start();
    // The terminal of the first gets a number above many that the second finds free.
    const taken = Array.from({ length: 40 }, () => openSync(devNull, 'r'));
    await run('exec cat');
    for (const fd of taken) closeSync(fd);
    const { session } = await run('ls -l /proc/self/fd');
    await ask('session.wait', { session, until: { type: 'exit' } });
    const open = (await tailed(peer, { session })).bytes.toString();
    expect(open).toContain(' 2 -> ');
    expect(open).not.toContain('ptmx');
  });

  test('that cannot start is a clear error and leaves nothing behind', async () => {
    const { ask, home } = await start();
    await expect(ask('session.new', { argv: ['no-such-command-x'] })).rejects.toMatchObject({
      code: 'usage',
      message: 'no-such-command-x: command not found',
    });
    const file = home.path('not-executable');
    writeFileSync(file, 'true', { mode: 0o600 });
    await expect(ask('session.new', { argv: [file] })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('is not executable'),
    });
    await expect(ask('session.new', { argv: ['sh'], cwd: '/no/such' })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('/no/such'),
    });
    expect((await ask('session.list', {})).sessions).toEqual([]);
    expect(existsSync(home.path('sessions', 'local-1'))).toBe(false);
  });

  test('gets one name that no other live session has', async () => {
    const { ask, run } = await start();
    await run('exec sleep 100', { name: 'build' });
    await expect(run('true', { name: 'build' })).rejects.toMatchObject({ code: 'name_taken' });
    await expect(run('true', { name: 'local-9' })).rejects.toMatchObject({ code: 'usage' });
    const other = await run('exec sleep 100');
    await expect(ask('session.rename', { session: other.session, name: 'build' })).rejects.toMatchObject({
      code: 'name_taken',
    });
    await ask('session.kill', { session: 'build' });
    const again = await run('exec sleep 100', { name: 'build' });
    expect(await ask('session.rename', { session: 'build', name: 'deploy' })).toMatchObject({ session: again.session });
    // The ended one may be meant by its name when no live one has it.
    expect(await ask('session.read', { session: 'build' })).toMatchObject({ session: 'local-1', state: 'exited' });
    expect(await ask('session.read', { session: 'deploy' })).toMatchObject({ session: again.session });
  });

  test('is made once for one key', async () => {
    const { ask } = await start();
    const make = () => ask('session.new', { argv: ['sleep', '100'] }, { key: 'k1' });
    const [first, second] = await Promise.all([make(), make()]);
    expect(second).toEqual(first);
    expect((await ask('session.list', {})).sessions).toHaveLength(1);
    await ask('session.new', { argv: ['sleep', '100'] }, { key: 'k1', ...as('operator') });
    expect((await ask('session.list', {})).sessions).toHaveLength(2);
  });

  test('that ignores SIGHUP is killed', async () => {
    const { ask, run } = await start();
    const { session } = await run(`trap '' HUP; echo ready; while :; do sleep 0.1; done`);
    await ask('session.wait', { session, until: { type: 'match', pattern: 'ready' } });
    expect(await ask('session.kill', { session })).toMatchObject({
      state: 'exited',
      exitCode: null,
      signal: 'SIGKILL',
    });
  });

  test('takes the children in the foreground of its terminal along', async () => {
    const { ask, run } = await start();
    const { session } = await run('sleep 1000 & echo $!; wait');
    const { match } = await ask('session.wait', { session, until: { type: 'match', pattern: '[0-9]+' } });
    expect(() => process.kill(Number(match), 0)).not.toThrow();
    expect(await ask('session.kill', { session })).toMatchObject({ signal: 'SIGHUP' });
    await expect
      .poll(() => existsSync(`/proc/${match}/cmdline`) && readFileSync(`/proc/${match}/cmdline`, 'utf8'), soon)
      .toBeFalsy();
  });

  test('gets a given signal and nothing else', async () => {
    const { ask, run } = await start();
    const { session } = await run(`trap 'echo usr' USR1; echo ready; while :; do sleep 0.05; done`);
    await ask('session.wait', { session, until: { type: 'match', pattern: 'ready' } });
    expect(await ask('session.kill', { session, signal: 'SIGUSR1' })).toMatchObject({ state: 'unknown' });
    await ask('session.wait', { session, until: { type: 'match', pattern: 'usr' } });
    await expect(ask('session.kill', { session, signal: 'SIGFOO' })).rejects.toMatchObject({ code: 'usage' });
    expect(await ask('session.kill', { session, signal: 'SIGKILL' })).toMatchObject({ signal: 'SIGKILL' });
  });

  test('is ended by its owner or an admin, not by another operator', async () => {
    const { ask } = await start();
    const { session } = await ask('session.new', { argv: ['sleep', '100'] }, as('operator', 'owner'));
    await expect(ask('session.kill', { session }, as('operator', 'other'))).rejects.toMatchObject({ code: 'denied' });
    await expect(ask('session.kill', { session }, as('viewer', 'owner'))).rejects.toMatchObject({ code: 'denied' });
    expect(await ask('session.kill', { session }, as('operator', 'owner'))).toMatchObject({ signal: 'SIGHUP' });
    const second = await ask('session.new', { argv: ['sleep', '100'] }, as('operator', 'owner'));
    expect(await ask('session.kill', { session: second.session }, as('admin'))).toMatchObject({ state: 'exited' });
  });

  test('is out of a viewer’s reach', async () => {
    const { ask, run } = await start();
    const { session } = await run('exec cat');
    await expect(ask('session.write', { session }, { body: Buffer.from('x'), ...as('viewer') })).rejects.toMatchObject({
      code: 'denied',
    });
    await expect(ask('session.new', {}, as('viewer'))).rejects.toMatchObject({ code: 'denied' });
    await expect(ask('machine.ask', { command: 'true' }, as('viewer'))).rejects.toMatchObject({ code: 'denied' });
    await expect(
      ask('session.attach', { session, client: 'v', cols: 80, rows: 24 }, as('viewer')),
    ).rejects.toMatchObject({ code: 'denied' });
    expect((await ask('session.list', {}, as('viewer'))).sessions).toHaveLength(1);
  });
});

describe('every last byte', () => {
  test('of a short command is in its log', async () => {
    const { ask, run, peer } = await start();
    for (let round = 0; round < 15; round++) {
      const names = await Promise.all(Array.from({ length: 4 }, (_, i) => run(`printf 'short %s' ${round * 4 + i}`)));
      for (const [i, { session }] of names.entries()) {
        await ask('session.wait', { session, until: { type: 'exit' } });
        expect((await tailed(peer, { session })).bytes.toString()).toBe(`short ${round * 4 + i}`);
      }
    }
  });

  test('of a command that writes and ends at once is in its log', async () => {
    const { ask, run, peer } = await start();
    const whole = numbered(20_000);
    for (let round = 0; round < 8; round++) {
      const { session } = await run('seq 1 20000');
      await ask('session.wait', { session, until: { type: 'exit' } });
      expect((await tailed(peer, { session })).bytes.toString() === whole).toBe(true);
    }
  });

  test('counts, not what background jobs would still like to say', async () => {
    const { ask, run } = await start();
    const { session } = await run('echo out; sleep 1000 & exit 4');
    const ended = await ask('session.wait', { session, until: { type: 'exit' } }, { deadlineMs: 5000 });
    expect(ended).toMatchObject({ exitCode: 4 });
  });
});

describe('no session said', () => {
  test('means main, else the only live one, else a list', async () => {
    const { ask, run, write } = await start();
    await expect(ask('session.read', {})).rejects.toMatchObject({ code: 'no_such_session' });
    const only = await run('exec cat');
    expect(await ask('session.read', {})).toMatchObject({ session: only.session });
    const second = await run('exec cat', { name: 'second' });
    await expect(ask('session.read', {})).rejects.toMatchObject({
      code: 'no_such_session',
      message: `it is not said which session; live sessions: ${only.session}, second (${second.session})`,
    });
    const main = await run('exec cat', { name: 'main' });
    expect(await ask('session.read', {})).toMatchObject({ session: main.session });
    await expect(write('nobody', 'x')).rejects.toMatchObject({ code: 'no_such_session' });
  });

  test('makes a shell named main where a write may create one and none lives', async () => {
    const { ask } = await start();
    const write = () => ask('session.write', { create: true, cwd: '/tmp' }, { body: Buffer.from(`echo $((40+2))\r`) });
    const [first, second] = await Promise.all([write(), write()]);
    expect(second.session).toBe(first.session);
    await ask('session.wait', { until: { type: 'match', pattern: '\\b42$' } });
    const { sessions } = await ask('session.list', {});
    expect(sessions).toMatchObject([{ name: 'main', cwd: '/tmp' }]);
  });
});

describe('the list', () => {
  test('is sent at once and after changes, with time between', async () => {
    const { peer, run, ask } = await start();
    const started = performance.now();
    const call = typedCall(peer, 'session.watch', {});
    let events = 0;
    let wake: () => void = () => undefined;
    let last: string[] = [];
    call.onEvent(({ sessions }) => {
      events++;
      last = sessions.map(({ name, state }) => `${name} ${state}`);
      wake();
    });
    const until = async (wanted: string[]) => {
      while (JSON.stringify(last) !== JSON.stringify(wanted) || events === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    await until([]);
    for (let i = 0; i < 5; i++) await run('exec sleep 100', { name: `n${i}` });
    await until(['n0 starting', 'n1 starting', 'n2 starting', 'n3 starting', 'n4 starting']);
    for (let i = 0; i < 5; i++) await ask('session.kill', { session: `n${i}` });
    await until(['n0 exited', 'n1 exited', 'n2 exited', 'n3 exited', 'n4 exited']);
    // One at once, and then one in each hundred milliseconds at most.
    expect(events).toBeLessThanOrEqual(1 + (performance.now() - started) / 100);
    call.cancel();
    await expect(call.result).rejects.toMatchObject({ code: 'cancelled' });
  });
});
