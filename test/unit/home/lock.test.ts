import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Lock } from '../../../daemon/home/lock.ts';
import { acquireLock, lockHolder } from '../../../daemon/home/lock.ts';
import { processStart } from '../../../daemon/home/process-identity.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-lock-'));
  path = join(folder, 'sub', 'test.lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function taken(): Promise<Lock> {
  const lock = await acquireLock(path);
  if ('heldBy' in lock) throw new Error(`held by ${lock.heldBy}`);
  return lock;
}

async function deadPid(): Promise<number> {
  const child = spawn('true');
  await new Promise((resolve) => child.once('exit', resolve));
  return child.pid!;
}

describe('a lock', () => {
  test('is held by one, and says by whom', async () => {
    const lock = await taken();
    expect(await acquireLock(path)).toEqual({ heldBy: process.pid });
    expect(lockHolder(path)).toBe(process.pid);
    lock.release();
    expect(lockHolder(path)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    const again = await taken();
    // A release that comes twice does not take the next one's lock.
    lock.release();
    expect(lockHolder(path)).toBe(process.pid);
    again.release();
    expect(readdirSync(join(folder, 'sub'))).toEqual([]);
  });

  test('of a process that is gone is recognised', async () => {
    (await taken()).release();
    writeFileSync(path, JSON.stringify({ pid: await deadPid(), started: '1@x', token: 't' }));
    expect(lockHolder(path)).toBeUndefined();
    (await taken()).release();
  });

  test('of an earlier process with the id of a living one is recognised', async () => {
    (await taken()).release();
    writeFileSync(path, JSON.stringify({ pid: process.pid, started: '1@some-other-boot', token: 't' }));
    (await taken()).release();
  });

  test('that is no lock at all belongs to nobody', async () => {
    (await taken()).release();
    for (const content of ['', 'not json', '{"pid":-1,"started":""}', '[]', '{"pid":"1"}']) {
      writeFileSync(path, content);
      (await taken()).release();
    }
  });

  test('is got by exactly one of many processes that find a stale one', { timeout: 60_000 }, async () => {
    (await taken()).release();
    const lockModule = new URL('../../../daemon/home/lock.ts', import.meta.url).pathname;
    const { build } = await import('esbuild');
    const script = join(folder, 'contender.mjs');
    await build({
      entryPoints: [lockModule],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: join(folder, 'lock.mjs'),
    });
    writeFileSync(
      script,
      `import { acquireLock } from './lock.mjs';
       process.stdin.once('data', async () => {
         const lock = await acquireLock(${JSON.stringify(path)});
         console.log('heldBy' in lock ? 'held' : 'mine');
       });
       console.log('ready');`,
    );
    for (let round = 0; round < 2; round++) {
      writeFileSync(path, JSON.stringify({ pid: await deadPid(), started: '1@x', token: 't' }));
      writeFileSync(`${path}.break`, JSON.stringify({ pid: await deadPid(), started: '1@x', token: 't' }));
      const contenders = Array.from({ length: 6 }, () =>
        spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] }),
      );
      const answers = contenders.map(
        (child) =>
          new Promise<string[]>((resolve) => {
            const lines: string[] = [];
            child.stdout.on('data', (chunk: Buffer) => {
              lines.push(...chunk.toString().trim().split('\n'));
              if (lines.length === 2) resolve(lines);
            });
          }),
      );
      await Promise.all(contenders.map((child) => new Promise((resolve) => child.stdout.once('data', resolve))));
      for (const child of contenders) child.stdin.write('go\n');
      const outcomes = (await Promise.all(answers)).map(([, outcome]) => outcome);
      // Those that hold it live on until all have answered.
      expect(outcomes.filter((outcome) => outcome === 'mine')).toHaveLength(1);
      await Promise.all(
        contenders.map((child) => {
          const gone = new Promise((resolve) => child.once('exit', resolve));
          child.kill('SIGKILL');
          return gone;
        }),
      );
    }
  });
});

test('a process is told from a later one by its start', async () => {
  expect(processStart(process.pid)).toBe(processStart(process.pid));
  expect(processStart(await deadPid())).toBeUndefined();
});
