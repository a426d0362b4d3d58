import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkHeadless } from '../../../daemon/doctor/checks/headless.ts';
import { forgetFormer } from '../../../daemon/headless/former-servers.ts';
import { Home } from '../../../daemon/home/home.ts';
import { acquireLock } from '../../../daemon/home/lock.ts';
import { headlessLock } from '../../../daemon/process/headless-record.ts';

let folder: string;
let home: Home;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-former-'));
  home = new Home(folder);
  home.folder('headless');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What a server leaves that is killed: its record names a process that is another one by now. */
function killed(generation: string, daysAgo: number): string[] {
  const record = home.path('headless', `${generation}.json`);
  writeFileSync(record, JSON.stringify({ generation, pid: process.pid }));
  writeFileSync(headlessLock(home, generation), JSON.stringify({ pid: process.pid, started: '1@another-boot' }));
  const logs = ['', '.1'].map((end) => home.path(`headless-${generation}.log${end}`));
  for (const log of logs) {
    writeFileSync(log, 'its last words\n');
    const then = Date.now() / 1_000 - daysAgo * 86_400;
    utimesSync(log, then, then);
  }
  return [record, ...logs];
}

test('what killed servers of other generations left goes: records at once, logs a week after their last line', async () => {
  const [own, recent, long, running] = [killed('a0', 30), killed('b1', 1), killed('c2', 8), killed('d3', 8)];
  rmSync(headlessLock(home, 'd3'));
  const lock = await acquireLock(headlessLock(home, 'd3'));
  if ('heldBy' in lock) throw new Error(`held by ${lock.heldBy}`);
  writeFileSync(home.path('headless', 'torn.json'), '{"gen');
  forgetFormer(home, 'a0', Date.now());
  expect([own, recent, long, running].map((files) => files.map((file) => existsSync(file)))).toEqual([
    [true, true, true],
    [false, true, true],
    [false, false, false],
    [true, true, true],
  ]);
  lock.release();
});

test('the doctor takes a process that got the id of a killed server for none', async () => {
  killed('a0', 0);
  const found = await checkHeadless({ home } as Parameters<typeof checkHeadless>[0]);
  expect(found).toMatchObject({ status: 'warn', found: expect.stringContaining('was killed') });
});
