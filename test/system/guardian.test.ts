import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFiles } from '../support/leaks.ts';
import type { TestMachine } from '../support/machine.ts';
import { endLeftovers, isAlive, killAndWait, withTeam } from '../support/machine.ts';

const soon = { timeout: 20_000, interval: 100 };

interface Status {
  pid: number;
  headless: Array<{ pid: number; generation: string; sessions: number }>;
}

const status = async (machine: TestMachine) => await machine.json<Status>('status');
const headlessIs = (machine: TestMachine) =>
  expect.poll(async () => (await status(machine)).headless.map(({ pid }) => pid), soon);

/** Another daemon than `before` answers; its pid. */
async function anotherDaemon(machine: TestMachine, before: number): Promise<number> {
  const pid = async () => {
    const { code, stdout } = await machine.run(['--json', 'status']);
    return code === 0 ? (JSON.parse(stdout.toString()) as Status).pid : before;
  };
  await expect.poll(pid, soon).not.toBe(before);
  return await pid();
}

describe('a machine', () => {
  it('has a headless server soon after its start, and nothing is left behind when it stops', async () => {
    await withTeam(['A'], async (a) => {
      await headlessIs(a).toHaveLength(1);
      await a.ok('down');
      expect(endLeftovers(a.home)).toEqual([]);
      // At once after the start as well, while the headless server is on its way.
      await a.ok('up');
      await a.ok('down');
      expect(endLeftovers(a.home)).toEqual([]);
    });
  });

  const isBack = async (crashes: number): Promise<void> => {
    await withTeam(['A'], async (a) => {
      const { pid: shell } = await a.json<{ pid: number }>('new', '--name', 'main', '--', 'cat');
      for (let crash = 0; crash < crashes; crash++) {
        const before = a.daemonPid;
        await killAndWait(before);
        const next = await anotherDaemon(a, before);
        // Whoever has a session's terminal open keeps its program from being hung up, and can read it.
        expect(openFiles(next)).not.toContain('/dev/ptmx');
        expect(readFileSync(join(a.home, 'daemon.log'), 'utf8')).toContain('the daemon before this one ended without');
      }
      await a.ok('write', 'still here\r');
      await a.ok('wait', '--match', 'still here', '--timeout', '10');
      expect(isAlive(shell)).toBe(true);
      const { headless } = await status(a);
      const log = readFileSync(join(a.home, `headless-${headless[0]?.generation}.log`), 'utf8');
      expect(log.match(/the daemon ended without saying so; it is started again/g)).toHaveLength(crashes);
      expect(log).toContain('the daemon is back');
    });
  };
  it('brings a daemon back that crashed, and no session notices', async () => await isBack(1));
  it('brings one back that crashes again and again', { tags: 'full' }, async () => await isBack(2));

  const stops: [string, (a: TestMachine) => Promise<unknown>][] = [
    ['by down', (a) => a.ok('down')],
    [
      'by SIGTERM',
      async (a) => {
        const pid = a.daemonPid;
        process.kill(pid, 'SIGTERM');
        await expect.poll(() => isAlive(pid), soon).toBe(false);
      },
    ],
    [
      'by down just after a crash',
      async (a) => {
        await killAndWait(a.daemonPid);
        await a.ok('down');
      },
    ],
  ];
  const staysStopped = async (_: string, stop: (a: TestMachine) => Promise<unknown>) => {
    await withTeam(['A'], async (a) => {
      await a.ok('new', '--', 'cat');
      await stop(a);
      // Longer than the first pause.
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect((await a.run(['status'])).code).toBe(1);
      await a.ok('up');
      expect((await status(a)).headless[0]?.sessions).toBe(1);
    });
  };
  it.each(stops)('that was stopped %s stays stopped', { tags: 'full' }, staysStopped);

  it('leaves a crashed daemon alone while an upgrade holds its lock', { tags: 'full' }, async () => {
    await withTeam(['A'], async (a) => {
      await headlessIs(a).toHaveLength(1);
      const started = readFileSync(`/proc/${process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19];
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      const lock = join(a.home, 'upgrade.lock');
      writeFileSync(lock, JSON.stringify({ pid: process.pid, started: `${started}@${boot}` }));
      const before = a.daemonPid;
      await killAndWait(before);
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect((await a.run(['status'])).code).toBe(1);
      writeFileSync(lock, '');
      await anotherDaemon(a, before);
    });
  });

  it('has a headless server again that was killed, and says what became of its sessions', async () => {
    await withTeam(['A'], async (a) => {
      await a.ok('new', '--name', 'lost', '--', 'sh', '-c', 'echo last words; cat');
      await a.ok('wait', '--session', 'lost', '--match', 'last words', '--timeout', '10');
      await a.ok('wait', '--session', 'lost', '--idle', '300', '--timeout', '10');
      const killed = a.headlessPid;
      await killAndWait(killed);
      await headlessIs(a).not.toEqual([killed]);
      await headlessIs(a).toHaveLength(1);
      const { sessions } = await a.json<{ sessions: unknown[] }>('list');
      expect(sessions).toMatchObject([{ name: 'lost', state: 'exited', exitCode: null }]);
      expect(await a.ok('read', '--session', 'lost')).toBe('last words');
    });
  });

  it('starts neither again where that was switched off', { tags: 'full' }, async () => {
    await withTeam(['A'], async (a) => {
      await headlessIs(a).toHaveLength(1);
      await a.ok('config', 'set', 'guard', 'off');
      await killAndWait(a.headlessPid);
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      await headlessIs(a).toEqual([]);
      await a.ok('config', 'set', 'guard', 'on');
      await headlessIs(a).toHaveLength(1);
    });
  });
});
