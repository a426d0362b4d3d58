import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { daemonState } from '../../../daemon/headless/crashed-daemon.ts';
import type { DaemonState } from '../../../daemon/headless/guardian.ts';
import { Guardian } from '../../../daemon/headless/guardian.ts';
import { acquireLock } from '../../../daemon/home/lock.ts';
import { ask as askPeer } from '../../../shared/rpc/client.ts';
import { cleanup, connect, start, temporaryHome } from './support.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

function scene() {
  const seen = {
    state: 'busy' as DaemonState,
    starts: [] as number[],
    alive: new Set<number>(),
    fails: false,
    looks: 0,
  };
  const guardian = new Guardian({
    look: () => {
      seen.looks++;
      return seen.state;
    },
    start: () => {
      if (seen.fails) throw new Error('no process to be had');
      const pid = 100 + seen.starts.length;
      seen.starts.push(Date.now());
      return pid;
    },
    alive: (pid) => seen.alive.has(pid),
    now: () => Date.now(),
    log: quiet,
  });
  const begun = Date.now();
  return { seen, guardian, startedAfter: () => seen.starts.map((at) => at - begun) };
}

describe('the guardian of the daemon', () => {
  test('starts one that crashed again after 1 s, 2 s, 4 s and so on, and begins anew once it lasted a minute', () => {
    const { seen, guardian, startedAfter } = scene();
    guardian.connected();
    seen.state = 'crashed';
    guardian.disconnected();
    vi.advanceTimersByTime(16_000);
    expect(startedAfter()).toEqual([1_000, 3_000, 7_000, 15_000]);
    guardian.connected();
    vi.advanceTimersByTime(120_000);
    expect(seen.starts).toHaveLength(4);
    guardian.disconnected();
    vi.advanceTimersByTime(1_000);
    expect(startedAfter().at(-1)).toBe(16_000 + 120_000 + 1_000);
  });

  test('goes on looking while a pause lasts: it is by looking that an upgrade is taken up again', () => {
    const { seen, guardian, startedAfter } = scene();
    seen.state = 'crashed';
    guardian.guard();
    vi.advanceTimersByTime(8_000);
    expect(startedAfter()).toEqual([1_000, 3_000, 7_000]);
    const before = seen.looks;
    vi.advanceTimersByTime(6_000);
    expect([seen.looks - before, seen.starts.length]).toEqual([6, 3]);
    vi.advanceTimersByTime(1_000);
    expect(startedAfter()).toEqual([1_000, 3_000, 7_000, 15_000]);
  });

  test('leaves one alone that was stopped, before and after it looked', () => {
    const { seen, guardian } = scene();
    guardian.connected();
    seen.state = 'stopped';
    guardian.disconnected();
    expect(guardian.busy).toBe(false);
    guardian.connected();
    seen.state = 'crashed';
    guardian.disconnected();
    expect(guardian.busy).toBe(true);
    seen.state = 'stopped';
    vi.advanceTimersByTime(100_000);
    expect(seen.starts).toEqual([]);
    expect(guardian.busy).toBe(false);
  });

  test('waits while somebody else is at it, an upgrade or a daemon that is starting', () => {
    const { seen, guardian, startedAfter } = scene();
    guardian.guard();
    vi.advanceTimersByTime(50_000);
    expect(seen.starts).toEqual([]);
    seen.state = 'crashed';
    vi.advanceTimersByTime(1_000);
    expect(startedAfter()).toEqual([51_000]);
    // Slow to start: no second one beside it.
    seen.alive.add(100);
    vi.advanceTimersByTime(50_000);
    expect(seen.starts).toHaveLength(1);
    seen.alive.clear();
    vi.advanceTimersByTime(1_000);
    expect(seen.starts).toHaveLength(2);
  });

  test('is not in the way of other daemons that are still connected, and tries again where a start fails', () => {
    const { seen, guardian } = scene();
    guardian.connected();
    guardian.connected();
    seen.state = 'crashed';
    guardian.disconnected();
    expect(guardian.busy).toBe(false);
    seen.fails = true;
    guardian.disconnected();
    vi.advanceTimersByTime(10_000);
    seen.fails = false;
    vi.advanceTimersByTime(10_000);
    expect(seen.starts).toHaveLength(1);
  });

  test('does nothing once its server ends', () => {
    const { seen, guardian } = scene();
    seen.state = 'crashed';
    guardian.guard();
    guardian.close();
    guardian.guard();
    vi.advanceTimersByTime(100_000);
    expect(seen.starts).toEqual([]);
  });
});

describe('what is known of a daemon', () => {
  test('that left its record and holds no lock: it crashed, unless an upgrade is at it or nobody shall guard it', async () => {
    vi.useRealTimers();
    const home = temporaryHome();
    expect(daemonState(home)).toBe('stopped');
    writeFileSync(home.path('daemon.json'), '{}');
    expect(daemonState(home)).toBe('crashed');
    for (const name of ['daemon.lock', 'upgrade.lock']) {
      const lock = await acquireLock(home.path(name));
      if ('heldBy' in lock) throw new Error('nobody else may hold it');
      expect(daemonState(home)).toBe('busy');
      lock.release();
    }
    writeFileSync(home.path('daemon.json'), JSON.stringify({ pid: 1, managed: true }));
    expect(daemonState(home)).toBe('stopped');
    writeFileSync(home.path('daemon.json'), JSON.stringify({ pid: 1, managed: false }));
    // A lock that a process left when it was killed.
    writeFileSync(home.path('daemon.lock'), JSON.stringify({ pid: 2 ** 22 - 1, started: 'x' }));
    expect(daemonState(home)).toBe('crashed');
    writeFileSync(home.path('config.json'), '{"guard":"off"}');
    expect(daemonState(home)).toBe('stopped');
    writeFileSync(home.path('config.json'), '{"guard":');
    expect(daemonState(home)).toBe('crashed');
  });
});

describe('a server that is sent away', () => {
  beforeEach(() => {
    vi.useRealTimers();
  });

  test('leaves at once where nothing lives in it, though somebody is connected, and stays for a session', async () => {
    const { ask, run, server } = await start();
    const { session } = await run('read x');
    expect(await ask('headless.retire', {})).toEqual({ retired: false, pid: process.pid });
    await ask('session.write', { session }, { body: Buffer.from('\n') });
    await ask('session.wait', { session, until: { type: 'exit' } });
    expect(await ask('headless.retire', {})).toEqual({ retired: true, pid: process.pid });
    await server.done;
  });

  test('leaves what it looked after to the next one, which is told', async () => {
    const home = temporaryHome();
    const old = await start({ home, generation: 'old' });
    const done = await old.run('echo last words; exit 3');
    await old.ask('session.wait', { session: done.session, until: { type: 'exit' } });
    const lock = await acquireLock(home.path('headless', 'old.lock'));
    if ('heldBy' in lock) throw new Error('nobody else may hold it');
    const { ask } = await start({ home, generation: 'new' });
    expect((await ask('session.list', {})).sessions).toEqual([]);
    await old.ask('headless.retire', {});
    await old.server.done;
    const tidied = ask('headless.adopt', { after: 'old' });
    lock.release();
    await tidied;
    expect((await ask('session.list', {})).sessions).toMatchObject([{ id: done.session, exitCode: 3 }]);
    expect((await ask('session.read', { session: done.session })).lines[0]).toBe('last words');
  });

  test('stays for a crashed daemon that is to be brought back', async () => {
    const seen = { state: 'crashed' as DaemonState };
    const guardian = new Guardian({
      look: () => seen.state,
      start: () => 1,
      alive: () => true,
      log: quiet,
    });
    const { server, peer } = await start({ leaveAfterMs: 50, guardian });
    const daemon = await connect(server, 'daemon');
    await askPeer(daemon, 'headless.info', {});
    daemon.close();
    peer.close();
    let over = false;
    void server.done.then(() => {
      over = true;
    });
    await expect.poll(() => guardian.busy).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(over).toBe(false);
    seen.state = 'stopped';
    await server.done;
    cleanup(() => guardian.close());
  });
});
