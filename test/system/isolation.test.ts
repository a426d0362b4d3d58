import { describe, expect, it } from 'vitest';
import { isAlive, killAndWait, type TestMachine, withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';

describe('sessions beside each other', () => {
  const machine = forAllTests<TestMachine>((body) => withTeam(['A'], body));

  it('hold nothing of one another: when their server is killed, every one of them ends', async () => {
    const a = machine();
    const pids: number[] = [];
    for (let i = 0; i < 4; i++) pids.push((await a.json<{ pid: number }>('new', '--', 'cat')).pid);
    await killAndWait(a.headlessPid);
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
    const { sessions } = await a.json<{ sessions: Array<{ state: string }> }>('list');
    expect(sessions.map(({ state }) => state)).toEqual(['exited', 'exited', 'exited', 'exited']);
  });

  it('do not see each other’s terminals', async () => {
    const a = machine();
    await a.ok('new', '--', 'cat');
    await a.ok('new', '--name', 'look', '--', 'sh', '-c', 'ls -l /proc/self/fd; read _');
    await a.ok('wait', '--session', 'look', '--match', ' 2 -> ', '--timeout', '10');
    expect(await a.ok('read', '--session', 'look')).not.toContain('ptmx');
    expect(await a.ok('ask', 'ls -l /proc/self/fd')).not.toContain('ptmx');
  });
});
