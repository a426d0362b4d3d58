import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Builds } from '../../support/builds.ts';
import { Counters } from '../../support/counter.ts';
import { isAlive, type TestMachine, withTeam } from '../../support/machine.ts';

let folder: string;
let newer: string;
let bundle: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-builds-'));
  const builds = new Builds(folder);
  newer = builds.make('9.0.0');
  bundle = builds.bundle(newer, folder, '--target', 'any');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const patience = { timeout: 240_000 };

interface Journal {
  id: string;
  step: string;
  from: { version: string };
  to: { version: string };
}

function read<T>(machine: TestMachine, ...path: string[]): T | undefined {
  try {
    return JSON.parse(readFileSync(join(machine.home, ...path), 'utf8')) as T;
  } catch {
    return undefined; // It is not there (yet).
  }
}

const holder = (machine: TestMachine, lock: string): number | undefined => {
  const pid = read<{ pid: number }>(machine, lock)?.pid;
  return pid !== undefined && isAlive(pid) ? pid : undefined;
};
const over = (journal: Journal | undefined): boolean => journal?.step === 'upgraded' || journal?.step === 'rolled_back';

type Victim = 'supervisor' | 'daemon' | 'both';

function kill(machine: TestMachine, victim: Victim): void {
  const supervisor = victim === 'daemon' ? undefined : holder(machine, 'upgrade.lock');
  const daemon = victim === 'supervisor' ? undefined : holder(machine, 'daemon.lock');
  for (const pid of [supervisor, daemon]) if (pid !== undefined) process.kill(pid, 'SIGKILL');
}

/** Starts an upgrade, kills `victim` once `when` holds, lets `niia up` come by, and expects a whole version. */
async function interrupted(machine: TestMachine, victim: Victim, when: (journal: Journal) => boolean): Promise<string> {
  const before = read<Journal>(machine, 'upgrade.json')?.id;
  const upgrade = machine.spawn(['upgrade', '--allow-downgrade', '--bundle', bundle]);
  const mine = (): Journal | undefined => {
    const journal = read<Journal>(machine, 'upgrade.json');
    return journal?.id === before ? undefined : journal;
  };
  for (let journal = mine(); !journal || !(when(journal) || over(journal)); journal = mine()) {
    if (upgrade.exitCode !== null) throw new Error(`the upgrade ended with ${upgrade.exitCode} before it began`);
    await new Promise((done) => setTimeout(done, 2));
  }
  kill(machine, victim);
  await machine.ok('up');
  await expect.poll(() => over(mine()), { timeout: 100_000, interval: 50 }).toBe(true);
  upgrade.kill('SIGKILL');
  const journal = mine();
  const pointer = read<{ entry: string; pending: string | null; version: string }>(machine, 'versions', 'current.json');
  const { version } = await machine.json<{ version: string }>('status');
  expect(existsSync(pointer?.entry ?? '')).toBe(true);
  expect(pointer?.pending).toBeNull();
  expect(version).toBe(pointer?.version);
  expect(version).toBe(journal?.step === 'upgraded' ? journal.to.version : journal?.from.version);
  return journal?.step ?? '';
}

describe('a machine has a whole version that runs, and all its sessions', patience, () => {
  test('whoever is killed at whichever step of an upgrade [UPG-6]', async () => {
    await withTeam(['lone'], async (machine) => {
      const counters = new Counters(machine);
      await counters.start(1);
      const cases: [Victim, string][] = [
        ['supervisor', 'prepared'],
        ['both', 'switched'],
        ['daemon', 'started'],
        ['supervisor', 'stopped'],
        ['both', 'stopped'],
      ];
      for (const [victim, step] of cases) await interrupted(machine, victim, (journal) => journal.step === step);
      await counters.check();
    });
  });

  test.runIf(process.env['NIIA_TEST_FULL'])(
    'whatever is killed at 100 random moments',
    { timeout: 1_800_000 },
    async () => {
      await withTeam(['lone'], async (machine) => {
        const counters = new Counters(machine);
        await counters.start(10);
        const outcomes: Record<string, number> = {};
        for (let round = 0; round < 100; round++) {
          const victim = (['supervisor', 'daemon', 'both'] as const)[round % 3] ?? 'both';
          let at = 0;
          const delay = Math.random() * 2_500;
          const outcome = await interrupted(machine, victim, () => {
            at ||= performance.now();
            return performance.now() - at > delay;
          });
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
          if (round % 10 !== 9) continue;
          await counters.check();
          console.log(`${round + 1} of 100:`, outcomes);
        }
      });
    },
  );
});
