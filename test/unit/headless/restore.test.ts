import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { endedAsByShutdown, environmentAgain } from '../../../daemon/headless/restore.ts';
import type { Running } from './support.ts';
import { start, temporaryFolder, temporaryHome } from './support.ts';

type Meta = Record<string, unknown>;

const file = (one: Running, id: string, name: string) => one.home.path('sessions', id, name);
const meta = (one: Running, id: string) => JSON.parse(readFileSync(file(one, id, 'meta.json'), 'utf8')) as Meta;

/** Puts the session on disk back to how a server leaves it that is killed while it runs. */
async function crash(one: Running, ids: string[]): Promise<void> {
  const plans = ids.map((id) => readFileSync(file(one, id, 'restore.json'), 'utf8'));
  const metas = ids.map((id) => meta(one, id));
  await one.server.stop();
  for (const [at, id] of ids.entries()) {
    writeFileSync(file(one, id, 'restore.json'), plans[at] ?? '');
    writeFileSync(file(one, id, 'meta.json'), JSON.stringify(metas[at]));
    rmSync(file(one, id, 'screen.json'), { force: true });
  }
}

const list = async (one: Running) => (await one.ask('session.list', {})).sessions;
const wait = (one: Running, session: string, pattern: string) =>
  one.ask('session.wait', { session, until: { type: 'match', pattern, since: 0 } });

describe('a session that is marked to be started again', () => {
  test('has its command, folder, environment, size and name after its server crashed, and says so', async () => {
    const home = temporaryHome();
    const folder = temporaryFolder();
    process.env['NIIA_TEST_OUTER'] = 'stripped';
    process.env['OUTER_TEST_WORD'] = 'outer';
    const first = await start({ home });
    const params = {
      name: 'work',
      cwd: folder,
      env: { GIVEN: 'a b' },
      cols: 101,
      rows: 31,
      restore: true,
    };
    const made = await first.run('echo $GIVEN $OUTER_TEST_WORD $NIIA_RESTORED_FROM; pwd; stty size; cat', params);
    expect(made.restore).toBe(true);
    await wait(first, made.session, '31 101');
    expect(statSync(file(first, made.session, 'restore.json')).mode & 0o777).toBe(0o600);
    await crash(first, [made.session]);
    // The next server was started by somebody else.
    delete process.env['OUTER_TEST_WORD'];
    const second = await start({ home, generation: 'g2' });
    const [before, after] = await list(second);
    expect(before).toMatchObject({
      id: 'local-1',
      state: 'exited',
      exitCode: null,
      restore: false,
      restoredAs: 'local-2',
    });
    expect(after).toMatchObject({ id: 'local-2', name: 'work', cwd: folder, restore: true, restoredFrom: 'local-1' });
    await wait(second, 'local-2', '31 101');
    const { lines } = await second.ask('session.read', { session: 'work' });
    expect(lines.slice(0, 3)).toEqual([
      '[niia: this is local-1 started again; its headless server had ended]',
      'a b outer local-1',
      folder,
    ]);
    expect((await second.ask('session.read', { session: 'local-1' })).lines[0]).toBe('a b outer');
    // Its plan went over to the new one.
    expect(existsSync(file(second, 'local-1', 'restore.json'))).toBe(false);
    expect(existsSync(file(second, 'local-2', 'restore.json'))).toBe(true);
    await second.ask('session.kill', { session: 'work' });
    expect(existsSync(file(second, 'local-2', 'restore.json'))).toBe(false);
  });

  test('is started again once, however often servers start, and again after each crash', async () => {
    const home = temporaryHome();
    const first = await start({ home });
    const { session } = await first.run('cat', { restore: true });
    await crash(first, [session]);
    const second = await start({ home });
    await crash(second, ['local-2']);
    const third = await start({ home });
    const states = (await list(third)).map(({ id, state, restoredAs }) => [id, state === 'exited', restoredAs]);
    expect(states).toEqual([
      ['local-1', true, 'local-2'],
      ['local-2', true, 'local-3'],
      ['local-3', false, null],
    ]);
    await third.server.goDown();
    const fourth = await start({ home });
    expect((await list(fourth)).filter(({ state }) => state !== 'exited').map(({ id }) => id)).toEqual(['local-4']);
  });

  test('comes back after its server was told to end by SIGTERM, as at a shutdown; what is not marked does not', async () => {
    const home = temporaryHome();
    const first = await start({ home });
    await first.run('cat', { name: 'marked', restore: true });
    await first.run('cat', { name: 'other' });
    // The shutdown's signal reached its process before it reached the server.
    const early = await first.run('cat', { name: 'early', restore: true });
    process.kill(early.pid, 'SIGTERM');
    await first.ask('session.wait', { session: 'early', until: { type: 'exit' } });
    await first.server.goDown();
    const second = await start({ home });
    const live = (await list(second)).filter(({ state }) => state !== 'exited');
    expect(live.map(({ name, restoredFrom }) => [name, restoredFrom])).toEqual([
      ['marked', 'local-1'],
      ['early', 'local-3'],
    ]);
  });

  test('stays ended where it ended by itself, was killed, or was ended with everything else', async () => {
    const home = temporaryHome();
    const first = await start({ home });
    const done = await first.run('exit 0', { restore: true });
    const failed = await first.run('exit 1', { restore: true });
    for (const { session } of [done, failed]) {
      await first.ask('session.wait', { session, until: { type: 'exit' } });
    }
    const killed = await first.run('cat', { restore: true });
    await first.ask('session.kill', { session: killed.session });
    await expect.poll(async () => (await list(first)).map(({ restore }) => restore)).toEqual([false, false, false]);
    for (const { session } of [done, failed, killed]) {
      expect(existsSync(file(first, session, 'restore.json'))).toBe(false);
    }
    await first.run('cat', { restore: true });
    await first.ask('headless.stop', {});
    await first.server.done;
    const second = await start({ home });
    expect((await list(second)).map(({ state }) => state)).toEqual(Array(4).fill('exited'));
  });

  test('that cannot be started says why, and does not keep others from it', async () => {
    const home = temporaryHome();
    const folder = join(temporaryFolder(), 'gone');
    mkdirSync(folder);
    const first = await start({ home });
    await first.run('cat', { cwd: folder, restore: true });
    await first.run('cat', { restore: true });
    await first.run('cat', { restore: true, name: 'kept' });
    await crash(first, ['local-1', 'local-2', 'local-3']);
    rmSync(folder, { recursive: true });
    writeFileSync(file(first, 'local-2', 'restore.json'), '{"torn');
    const second = await start({ home });
    const found = await list(second);
    expect(found[0]?.notRestored).toContain(`${folder} cannot be entered`);
    expect(found[1]?.notRestored).toContain('not on record');
    expect(found[3]).toMatchObject({ id: 'local-4', name: 'kept', restoredFrom: 'local-3' });
    expect(found).toHaveLength(4);
  });

  test('whose start was interrupted is not started a second time', async () => {
    const home = temporaryHome();
    const first = await start({ home });
    await first.run('cat', { restore: true });
    await crash(first, ['local-1']);
    // As it stands between the note and the start.
    const noted = { ...meta(first, 'local-1'), restore: false, notRestored: 'it was interrupted' };
    writeFileSync(file(first, 'local-1', 'meta.json'), JSON.stringify(noted));
    const second = await start({ home });
    expect(await list(second)).toMatchObject([{ id: 'local-1', state: 'exited', notRestored: 'it was interrupted' }]);
  });
});

describe('the environment of a session that is started again', () => {
  const plan = {
    given: {},
    environment: { PATH: '/old/bin', TOKEN: 'secret', SSH_AUTH_SOCK: '/old/agent', DISPLAY: ':0' },
  };

  test('is the one from before, but for what belongs to one login or boot', () => {
    expect(environmentAgain(plan, { PATH: '/new/bin', OTHER: 'x', SSH_AUTH_SOCK: '/new/agent' })).toEqual({
      PATH: '/old/bin',
      TOKEN: 'secret',
      SSH_AUTH_SOCK: '/new/agent',
    });
  });
});

describe('an end as by a shutdown', () => {
  test.each([
    [null, 'SIGTERM', true],
    [null, 'SIGHUP', true],
    [143, null, true],
    [129, null, true],
    [0, null, false],
    [1, null, false],
    [null, 'SIGKILL', false],
    [null, 'SIGSEGV', false],
  ] as const)('exit code %s, signal %s: %s', (exitCode, signal, as) => {
    expect(endedAsByShutdown({ exitCode, signal })).toBe(as);
  });
});
