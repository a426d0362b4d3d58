import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Builds } from '../../support/builds.ts';
import { halfSent, stoppedHalfway } from '../../support/half-sent.ts';
import { entry, type TestMachine, withTeam } from '../../support/machine.ts';
import { smallBundle } from '../../support/small-bundle.ts';

let folder: string;
let whole: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-builds-'));
  whole = new Builds(folder).bundle(entry, folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Several starts of several processes each: on a busy machine they take their time. */
const patience = { timeout: 240_000 };

interface Sent {
  phase: string;
  sent: number;
  size: number;
}

/** An upgrade under way: what it says of its progress, and how it ends. */
class Watched {
  readonly progress: Sent[] = [];
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
  readonly #child: ChildProcess;

  constructor(machine: TestMachine, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const child = machine.spawn(['--json', 'remote', 'upgrade', ...args], { env });
    this.#child = child;
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (part: Buffer) => {
      stdout += part.toString();
    });
    if (!child.stderr) throw new Error('it has no standard error');
    createInterface({ input: child.stderr }).on('line', (line) => {
      stderr += `${line}\n`;
      if (line.startsWith('{"progress"')) this.progress.push((JSON.parse(line) as { progress: Sent }).progress);
    });
    this.ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
  }

  async stopped(received: () => number): Promise<void> {
    await stoppedHalfway(this.#child, received);
  }

  goOn(): void {
    this.#child.kill('SIGCONT');
  }
}

/** A bundle for another kind of machine; whole in itself. */
async function foreignBundle(): Promise<string> {
  const { bytes } = await smallBundle('linux-riscv64-glibc', Buffer.from('run'));
  const path = join(folder, 'foreign');
  writeFileSync(path, bytes);
  return path;
}

/** How much of a bundle has come to a machine so far. */
function received(machine: TestMachine): number {
  const incoming = join(machine.home, 'versions', 'incoming');
  const [part] = existsSync(incoming) ? readdirSync(incoming) : [];
  return part === undefined ? 0 : statSync(join(incoming, part)).size;
}

/** Where each transfer of a bundle to a machine began, and how much was to come in all. */
function transfers(machine: TestMachine): { from: number; size: number }[] {
  const log = readFileSync(join(machine.home, 'daemon.log'), 'utf8');
  return [...log.matchAll(/upgrades: a bundle comes (.*)/g)].map(([, fields = '']) => JSON.parse(fields));
}

const versionsOf = (machine: TestMachine) => {
  const versions = join(machine.home, 'versions');
  return readdirSync(versions).filter((name) => existsSync(join(versions, name, 'dist')));
};

describe('a bundle on its way', patience, () => {
  test('that does not fit, or may not come, is refused before it is sent [UPG-4]', { tags: 'full' }, async () => {
    await withTeam(
      ['asker', 'target', 'worker'],
      async (asker, _target, worker) => {
        const refused = await worker.run(['--json', 'remote', 'upgrade', 'target', '--bundle', whole]);
        expect([refused.code, refused.stderr]).toEqual([10, expect.stringContaining('"code":"denied"')]);
        const foreign = new Watched(asker, ['target', '--bundle', await foreignBundle()]);
        expect(await foreign.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('linux-riscv64-glibc') });
        expect(foreign.progress.filter(({ phase }) => phase === 'sending')).toEqual([]);

        // What ends with a daemon that somebody else runs is not known: in a container, all sessions.
        await worker.ok('down');
        const daemon = worker.spawn(['daemon']);
        await once(daemon.stderr as Readable, 'data');
        await expect.poll(async () => (await worker.run(['status'])).code).toBe(0);
        const elsewhere = await worker.run(['--json', 'upgrade', '--bundle', whole]);
        expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining('by a container')]);
        expect([worker.daemonPid, versionsOf(worker)]).toEqual([daemon.pid, []]);
      },
      { roles: { target: 'operator', worker: 'operator' } },
    );
  });

  test('is taken up where it broke off, and of two at once one wins [UPG-4]', async () => {
    await withTeam(
      ['asker', 'target'],
      async (asker, target) => {
        const { size } = statSync(whole);
        const first = new Watched(asker, ['target', '--bundle', whole], halfSent);
        await first.stopped(() => received(target));
        const second = new Watched(asker, ['target', '--bundle', whole]);
        expect(await second.ended).toMatchObject({ code: 9, stderr: expect.stringContaining('another upgrade') });

        // The asker's daemon dies under it, and comes back.
        await asker.killDaemon();
        const there = received(target);
        await asker.ok('up');
        first.goOn();
        const { code, stdout, stderr } = await first.ended;
        expect([code, stderr]).toEqual([0, expect.stringContaining('progress')]);
        expect(JSON.parse(stdout)).toMatchObject({ machine: 'target', rolledBack: false });
        // What had come is not sent again.
        const [from, again, ...more] = transfers(target);
        expect([from, more]).toEqual([{ from: 0, size }, []]);
        expect(again?.from).toBeGreaterThanOrEqual(there);
        expect(again?.from).toBeLessThan(size);
        expect(versionsOf(target)).toHaveLength(1);
        expect(readdirSync(join(target.home, 'versions', 'incoming'))).toEqual([]);
      },
      { roles: { target: 'operator' } },
    );
  });
});
