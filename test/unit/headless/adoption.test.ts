import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { SessionMeta } from '../../../daemon/headless/session-folder.ts';
import { SessionFolder } from '../../../daemon/headless/session-folder.ts';
import type { Home } from '../../../daemon/home/home.ts';
import { acquireLock } from '../../../daemon/home/lock.ts';
import { headlessLock } from '../../../daemon/process/headless-record.ts';
import { ask as askPeer } from '../../../shared/rpc/client.ts';
import { connect, numbered, start, tailed, temporaryHome } from './support.ts';

/** A session as a server leaves it on disk; `endedAt` null: the server was killed while it ran. */
function leave(home: Home, meta: Partial<SessionMeta>, output = ''): string {
  const folder = SessionFolder.claim(home);
  folder.writeMeta({
    ...{
      id: folder.id,
      name: folder.id,
      argv: ['sh'],
      cwd: '/',
      pid: 1,
      cols: 80,
      rows: 24,
      sizing: 'viewer',
      title: '',
    },
    ...{ createdAt: new Date().toISOString(), endedAt: null, exitCode: null, signal: null, lost: false },
    ...{ owner: 'local', generation: 'old', key: null },
    ...{ restore: false, takenAlong: false, restoredFrom: null, restoredAs: null, notRestored: null },
    ...meta,
  });
  writeFileSync(`${folder.path}/output-000000000000000.log`, output);
  return folder.id;
}

const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();

describe('a server that starts', () => {
  test('shows what an earlier one left: ended sessions, and those that it lost', async () => {
    const home = temporaryHome();
    const first = await start({ home });
    const done = await first.run('seq 1 100; exit 3', { name: 'done' });
    await first.ask('session.wait', { session: done.session, until: { type: 'exit' } });
    await first.server.stop();
    const lost = leave(home, { name: 'lost', key: 'local:k9' }, numbered(60));
    const { ask, peer, write } = await start({ home, generation: 'g2' });
    expect((await ask('session.list', {})).sessions).toMatchObject([
      { id: 'local-1', name: 'done', state: 'exited', exitCode: 3, outputBytes: numbered(100).length },
      { id: lost, name: 'lost', state: 'exited', exitCode: null, signal: null },
    ]);
    expect((await ask('session.list', {})).sessions[1]?.evidence).toContain('headless server ended');
    expect((await ask('session.read', { session: 'done', scrollback: 1000 })).lines).toHaveLength(101);
    expect((await ask('session.read', { session: lost })).lines.at(-2)).toBe('60');
    expect((await tailed(peer, { session: lost, since: 3 })).bytes.toString()).toBe(numbered(60).slice(3));
    expect(await ask('session.wait', { session: lost, until: { type: 'exit' } })).toMatchObject({ exitCode: null });
    await expect(write(lost, 'x')).rejects.toMatchObject({ code: 'session_ended' });
    // The request that made it gets it again, and not a second one.
    expect(await ask('session.new', { argv: ['true'] }, { key: 'k9' })).toMatchObject({ session: lost });
    const fresh = await ask('session.new', { argv: ['true'] });
    expect(fresh.session).toBe('local-3');
  });

  test('remembers what was written to them', async () => {
    const home = temporaryHome();
    const first = await start({ home });
    const { session } = await first.run('read x');
    const receipt = await first.write(session, 'bye\n', 'k');
    await first.ask('session.wait', { session, until: { type: 'exit' } });
    await first.server.stop();
    const second = await start({ home });
    expect(await second.write(session, 'bye\n', 'k')).toEqual(receipt);
  });

  test('leaves those of a living server of another generation alone', async () => {
    const home = temporaryHome();
    const lock = await acquireLock(headlessLock(home, 'other'));
    const theirs = leave(home, { generation: 'other' });
    const { ask, server } = await start({ home, generation: 'g2' });
    expect((await ask('session.list', {})).sessions).toEqual([]);
    const mine = await ask('session.new', { argv: ['true'] });
    expect(mine.session).toBe('local-2');
    await server.stop();
    if ('heldBy' in lock) throw new Error('nobody else may hold it');
    lock.release();
    const later = await start({ home, generation: 'g2' });
    expect((await later.ask('session.list', {})).sessions.map(({ id }) => id)).toEqual([theirs, mine.session]);
  });

  test('clears away ended sessions beyond a hundred or a week, and never gives a number twice', async () => {
    const home = temporaryHome();
    const old = leave(home, { endedAt: daysAgo(8), exitCode: 0 });
    for (let i = 0; i < 102; i++) leave(home, { endedAt: daysAgo(1 + i / 100), exitCode: 0 });
    const { ask } = await start({ home });
    const ids = (await ask('session.list', {})).sessions.map(({ id }) => id);
    expect(ids).toHaveLength(100);
    expect(ids).not.toContain(old);
    // The newest ended last.
    expect(ids[0]).toBe('local-2');
    expect(existsSync(home.path('sessions', 'local-103'))).toBe(false);
    expect((await ask('session.new', { argv: ['true'] })).session).toBe('local-104');
  });

  test('is not put off by folders that are no sessions', async () => {
    const home = temporaryHome();
    mkdirSync(home.path('sessions', 'local-7'), { recursive: true });
    mkdirSync(home.path('sessions', 'local-8'));
    writeFileSync(home.path('sessions', 'local-8', 'meta.json'), '{"torn');
    const { ask } = await start({ home });
    expect((await ask('session.list', {})).sessions).toEqual([]);
    expect((await ask('session.new', { argv: ['true'] })).session).toBe('local-9');
    expect(readdirSync(home.path('sessions'))).toContain('local-7');
  });
});

describe('a server', () => {
  test('tells about itself and ends everything when it is stopped', async () => {
    const { ask, run, server } = await start();
    await run('exec sleep 100');
    await run('exec sleep 100');
    expect(await ask('headless.info', {})).toMatchObject({ generation: 'g1', pid: process.pid, sessions: 2 });
    expect(await ask('headless.stop', {})).toEqual({ ended: 2 });
    await server.done;
  });

  test('that nobody needs ends by itself, and not while a session lives', async () => {
    const { ask, run, server, peer } = await start({ leaveAfterMs: 50 });
    const { session } = await run('read x');
    peer.close();
    let over = false;
    void server.done.then(() => {
      over = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(over).toBe(false);
    const again = await connect(server);
    await askPeer(again, 'session.write', { session }, { body: Buffer.from('\n') });
    await askPeer(again, 'session.wait', { session, until: { type: 'exit' } });
    again.close();
    await server.done;
    await expect(ask('headless.info', {})).rejects.toMatchObject({ code: 'link_lost' });
  });

  test('refuses what it does not serve', async () => {
    const { peer } = await start();
    await expect(peer.call('machine.list', {}).response).rejects.toMatchObject({ code: 'unknown_method' });
    await expect(peer.call('session.read', { session: 7 }).response).rejects.toMatchObject({ code: 'usage' });
  });
});
