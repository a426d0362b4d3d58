import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { endLeftovers, isAlive, killAndWait, type TestMachine, withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';

interface MachineList {
  machines: Array<{
    name: string;
    id: string;
    self: boolean;
    online: boolean;
    path: string | null;
    rttMs: number | null;
    headless: string;
    sessions: number;
    role: string;
    version: string;
    labels: Record<string, string>;
  }>;
}

// One team for nearly all: each test names its sessions and ends them. Removal comes last.
const team = forAllTests<TestMachine[]>((body) => withTeam(['A', 'B'], (...machines) => body(machines)));
const both = (): [TestMachine, TestMachine] => team() as [TestMachine, TestMachine];

const soon = { timeout: 20_000 };
const gone = { timeout: 15_000 };

describe('two machines in one team', () => {
  it('see each other, run commands on each other and work in each other’s sessions', async () => {
    const [a, b] = both();
    const { machines } = await a.json<MachineList>('remote', 'status', 'list');
    expect(machines.map(({ name, self, online, path, role }) => ({ name, self, online, path, role }))).toEqual([
      { name: 'A', self: true, online: true, path: null, role: 'admin' },
      { name: 'B', self: false, online: true, path: 'gateway', role: 'operator' },
    ]);
    const asked = await a.run(['remote', 'ask', 'B', 'echo out; echo err >&2; exit 7']);
    expect(asked).toMatchObject({ code: 7, stderr: 'err\n' });
    expect(asked.stdout.toString()).toBe('out\n');
    const made = await a.json<{ session: string; machine: string; pid: number }>(
      ...['remote', 'new', 'B', '--name', 'main', '--', 'cat'],
    );
    expect(made).toMatchObject({ session: 'local-1', machine: 'B' });
    expect(isAlive(made.pid)).toBe(true);
    const written = await a.json('remote', 'write', 'B', 'hello\r');
    expect(written).toMatchObject({ session: 'local-1', machine: 'B', bytes: 6 });
    await a.ok('remote', 'wait', 'B', '--match', 'hello', '--timeout', '10');
    await a.ok('remote', 'wait', 'B', '--idle', '200', '--timeout', '10');
    expect(await a.ok('remote', 'read', 'B')).toBe('hello\nhello');
    const { sessions } = await b.json<{ sessions: unknown[] }>('list');
    expect(sessions).toMatchObject([
      { id: 'local-1', name: 'main', command: 'cat', pid: made.pid, state: 'unknown', exitCode: null },
    ]);
    await expect
      .poll(async () => (await a.json<MachineList>('remote', 'status', 'list')).machines[1])
      .toMatchObject({ headless: 'running', sessions: 1 });
    await b.ok('kill', '--session', 'main');
  });

  it('keep keys and sockets to their user', () => {
    for (const { home } of both()) {
      const mode = (file: string): number => statSync(join(home, file)).mode & 0o777;
      expect(mode('.')).toBe(0o700);
      for (const file of ['identity.json', 'daemon.sock', 'config.json', 'audit.jsonl'].filter((name) =>
        existsSync(join(home, name)),
      )) {
        expect([file, mode(file)]).toEqual([file, 0o600]);
      }
    }
  });

  it('find their way back after either daemon is killed, and no session notices', async () => {
    const [a, b] = both();
    const { pid } = await a.json<{ pid: number }>('remote', 'new', 'B', '--name', 'kept', '--', 'cat');
    const session = ['--session', 'kept'];
    await a.ok('remote', 'write', 'B', ...session, 'before\r');
    await a.ok('remote', 'wait', 'B', ...session, '--match', 'before', '--timeout', '10');
    await b.killDaemon();
    await expect
      .poll(async () => (await a.json<MachineList>('remote', 'status', 'list')).machines[1]?.online, {
        timeout: 10_000,
      })
      .toBe(false);
    const refused = await a.run(['remote', 'read', 'B', ...session]);
    expect(refused.code).toBe(4);
    await b.ok('up');
    await a.ok('remote', 'write', 'B', ...session, 'after\r');
    await a.ok('remote', 'wait', 'B', ...session, '--match', 'after', '--timeout', '10');
    await a.ok('remote', 'wait', 'B', ...session, '--idle', '200', '--timeout', '10');
    expect(await a.ok('remote', 'read', 'B', ...session)).toBe('before\nbefore\nafter\nafter');
    const { sessions } = await b.json<{ sessions: Array<{ name: string; pid: number }> }>('list');
    expect(sessions.find(({ name }) => name === 'kept')?.pid).toBe(pid);
    await a.killDaemon();
    await a.ok('up');
    expect(await a.ok('remote', 'read', 'B', ...session)).toBe('before\nbefore\nafter\nafter');
    await b.ok('kill', ...session);
  });

  it('start a headless server that was killed, and tell what became of its sessions', async () => {
    const [a, b] = both();
    await a.ok('remote', 'new', 'B', '--name', 'lost', '--', 'cat');
    await b.ok('config', 'set', 'guard', 'off');
    await killAndWait(b.headlessPid);
    await expect
      .poll(async () => (await a.json<MachineList>('remote', 'status', 'list')).machines[1]?.headless)
      .toBe('stopped');
    expect(await a.json('remote', 'start', 'B')).toMatchObject({ machine: 'B', headless: 'running', started: true });
    const { sessions } = await a.json<{ sessions: Array<{ name: string }> }>('remote', 'list', 'B');
    expect(sessions.filter(({ name }) => name === 'lost')).toMatchObject([{ state: 'exited', exitCode: null }]);
    await a.ok('remote', 'new', 'B', '--name', 'next', '--', 'cat');
    expect(await a.json('remote', 'start', 'B')).toMatchObject({ started: false });
    await b.ok('kill', '--session', 'next');
  });

  it('leave no process behind when they go down', { tags: 'full' }, async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      await a.ok('remote', 'new', 'B', '--', 'cat');
      for (const machine of [b, a]) {
        await machine.ok('down', '--sessions');
        expect(endLeftovers(machine.home)).toEqual([]);
      }
    });
  });
});

describe('roles', () => {
  it('let operators ask where the machine’s owner allowed it', async () => {
    const [a, b] = both();
    const before = await a.ok('config', 'get', 'ask');
    const refused = await b.run(['remote', 'ask', 'A', 'true', '--json']);
    expect([refused.code, JSON.parse(refused.stderr)]).toMatchObject([255, { error: { code: 'denied' } }]);
    await a.ok('config', 'set', 'ask', 'operator');
    expect((await b.run(['remote', 'ask', 'A', 'echo yes'])).stdout.toString()).toBe('yes\n');
    await a.ok('config', 'set', 'ask', before);
  });

  it('count from the next request on when they change', async () => {
    const [a, b] = both();
    expect((await b.run(['remote', 'ask', 'A', 'true'])).code).toBe(255);
    await a.ok('team', 'role', 'B', 'admin');
    await expect.poll(async () => (await b.run(['remote', 'ask', 'A', 'true'])).code).toBe(0);
    await a.ok('team', 'role', 'B', 'viewer');
    await expect.poll(async () => (await b.run(['remote', 'write', 'A', 'x'])).code).toBe(10);
  });

  it('let a viewer look and refuse everything else with exit code 10', async () => {
    const [a, b] = both();
    await a.ok('new', '--name', 'main', '--', 'cat');
    await a.ok('team', 'role', 'B', 'viewer');
    await expect.poll(async () => (await b.run(['remote', 'write', 'A', 'x'])).code, soon).toBe(10);
    for (const allowed of [
      ['read', 'A'],
      ['list', 'A'],
      ['wait', 'A', '--idle', '10', '--timeout', '5'],
    ]) {
      expect([allowed, (await b.run(['remote', ...allowed])).code]).toEqual([allowed, 0]);
    }
    for (const refused of [
      ['write', 'A', 'x'],
      ['new', 'A'],
      ['kill', 'A', '--session', 'main'],
      ['rename', 'A', '--session', 'main', 'other'],
      ['start', 'A'],
    ]) {
      const { code, stderr } = await b.run(['remote', ...refused, '--json']);
      expect([refused, code, JSON.parse(stderr)]).toMatchObject([refused, 10, { error: { code: 'denied' } }]);
    }
    const asked = await b.run(['remote', 'ask', 'A', 'true', '--json']);
    expect([asked.code, JSON.parse(asked.stderr)]).toMatchObject([255, { error: { code: 'denied' } }]);
    expect((await b.run(['invite', '--machine', 'A'])).code).toBe(10);
    expect(await a.ok('read')).toBe('');
    const audit = readFileSync(join(a.home, 'audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { outcome: string; method: string });
    expect(audit.filter((entry) => entry.outcome === 'refused').map((entry) => entry.method)).toContain(
      'session.write',
    );
  });

  it('end with removal', async () => {
    const [a, b] = both();
    await a.ok('team', 'remove', 'B');
    await expect.poll(async () => (await b.run(['remote', 'list', 'A', '--timeout', '5'])).code, gone).not.toBe(0);
    expect((await a.json<MachineList>('remote', 'status', 'list')).machines.map(({ name }) => name)).toEqual(['A']);
  });
});
