import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { breaks, withGatewayTeam } from '../support/gateway.ts';
import type { TestMachine } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';
import { EchoStream } from '../support/stream.ts';

// Each step is a process or more, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 400_000, hookTimeout: 180_000 });

const soon = { timeout: 40_000, interval: 20 };
const sha = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'niia-cp-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Bytes of a partial copy in a folder; -1 where there is none. */
function partial(folder: string): number {
  const name = readdirSync(folder).find((one) => one.endsWith('.part'));
  return name === undefined ? -1 : statSync(join(folder, name)).size;
}

/** A copy that is under way. */
function copying(from: TestMachine, ...words: string[]) {
  const child = from.spawn(['cp', '--json', ...words]);
  let said = '';
  child.stderr?.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const closed = once(child, 'close');
  return {
    child,
    /** Its exit code, how many bytes it took over all its connections, and what else it said on stderr. */
    ended: async (): Promise<{ code: number | null; bytes: number; said: string }> => {
      const [code] = await closed;
      const lines = said.trimEnd().split('\n');
      const progress = lines.filter((line) => line.startsWith('{"progress"'));
      return {
        code,
        bytes: JSON.parse(progress.at(-1) ?? '{}').progress?.bytes,
        said: lines.filter((line) => !progress.includes(line)).join('\n'),
      };
    },
  };
}

describe('a copy to and from another machine', () => {
  const team = forAllTests(withGatewayTeam);

  it('says what is wrong with what it is told, and audits what it did', async () => {
    const { a, b } = team();
    const there = scratch();
    writeFileSync(join(there, 'x'), 'old');
    const wrong: Array<[TestMachine, string[], number]> = [
      [a, ['a', 'b'], 2],
      [a, ['A:a', 'B:b'], 2],
      [a, ['none', `B:${there}`], 1],
      [a, [`B:${there}/none`, '.'], 1],
      [a, [a.home, `B:${there}/x`], 2],
      [a, [join(there, 'x'), 'B:/dev/null'], 2],
      [a, [join(there, 'x'), 'B:/no/such/folder/y'], 1],
      [a, [join(there, 'x'), 'NOBODY:y'], 3],
      // B is an operator, and A's owner has allowed nothing.
      [b, [join(there, 'x'), `A:${there}/y`], 10],
    ];
    const outcomes = await Promise.all(wrong.map(([machine, words]) => machine.run(['cp', ...words])));
    for (const [at, { code, stderr }] of outcomes.entries()) {
      expect([wrong[at]?.[1], code]).toEqual([wrong[at]?.[1], wrong[at]?.[2]]);
      expect(stderr).toMatch(/^niia: /);
    }
    expect(readdirSync(there)).toEqual(['x']);
    expect(readFileSync(join(there, 'x'), 'utf8')).toBe('old');
    const audit = readFileSync(join(b.home, 'audit.jsonl'), 'utf8');
    expect(audit).toContain('copy.put');
    expect(audit).toContain('/no/such/folder');
  });

  it('carries a tree as it is [COPY-1]', async () => {
    const { a } = team();
    const here = scratch();
    const tree = join(here, 'tree');
    mkdirSync(join(tree, 'sub', 'empty'), { recursive: true });
    for (let i = 0; i < 300; i++) writeFileSync(join(tree, 'sub', `f ${i}`), `${i}\n`, { mode: i % 2 ? 0o600 : 0o755 });
    symlinkSync('sub/f 1', join(tree, 'link'));
    symlinkSync('/etc/passwd', join(tree, 'out'));
    utimesSync(join(tree, 'sub'), 1e9, 1e9);
    const there = scratch();
    const forth = await a.run(['remote', 'cp', '--json', tree, `B:${there}`]);
    expect(forth.code).toBe(1);
    expect(JSON.parse(forth.stdout.toString())).toMatchObject({
      machine: 'B',
      files: 300,
      folders: 3,
      links: 1,
      failed: 1,
    });
    const back = await a.run(['cp', `B:${join(there, 'tree')}/.`, join(here, 'back')]);
    expect([back.code, back.stderr]).toEqual([0, '']);
    const shot = (folder: string): string[] =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name !== 'out' && name !== 'link')
        .sort()
        .map((name) => {
          const stats = statSync(join(folder, name));
          return `${name} ${stats.mode} ${Math.round(stats.mtimeMs)} ${stats.isFile() ? readFileSync(join(folder, name), 'utf8') : ''}`;
        });
    expect(shot(join(here, 'back'))).toEqual(shot(tree));
  });

  it('goes on after what was written when it is run again, and holds up no keystroke [COPY-4, COPY-5]', async () => {
    const { a, b } = team();
    const [here, there] = [scratch(), scratch()];
    const size = 64 << 20;
    writeFileSync(join(here, 'big'), randomBytes(size));
    const first = copying(a, join(here, 'big'), `B:${there}`);
    await expect.poll(() => partial(there), { ...soon, interval: 2 }).toBeGreaterThan(4 << 20);
    first.child.kill('SIGKILL');
    await first.ended();
    // B is done with it once it has given the file's lock back.
    await expect.poll(() => readdirSync(join(b.home, 'copies')), soon).toEqual([]);
    const kept = partial(there);
    expect(kept).toBeGreaterThan(4 << 20);
    const echo = new EchoStream(a, b);
    await echo.start();
    const second = copying(a, join(here, 'big'), `B:${there}`);
    await echo.received(100, 60_000);
    // A hundred lines were typed and came back, and the copy is not over yet.
    expect(second.child.exitCode).toBeNull();
    echo.stop();
    expect(await second.ended()).toEqual({ code: 0, bytes: size - kept, said: '' });
    expect(sha(join(there, 'big'))).toBe(sha(join(here, 'big')));
    expect(readdirSync(there)).toEqual(['big']);
  });

  type Cut = [keyof typeof breaks, 'to' | 'from'];
  const goesOn = async (...[what, way]: Cut): Promise<void> => {
    const { a } = team();
    const [here, into] = [scratch(), scratch()];
    const size = 24 << 20;
    writeFileSync(join(here, 'big'), randomBytes(size));
    // Files are here in either case, served by A's command or by B's daemon.
    const words = way === 'to' ? [join(here, 'big'), `B:${into}`] : [`B:${join(here, 'big')}`, into];
    const copy = copying(a, ...words);
    await expect.poll(() => partial(into), { ...soon, interval: 2 }).toBeGreaterThan(4 << 20);
    await breaks[what](team());
    const { code, bytes, said } = await copy.ended();
    // The link itself outlives a gateway, so that the copy need not notice.
    const noticed = what === 'gateway' ? '' : expect.stringContaining('goes on when it is back');
    expect([code, said]).toEqual([0, noticed]);
    // Nothing that was told to have arrived came again.
    expect(bytes).toBeLessThanOrEqual(size);
    expect(sha(join(into, 'big'))).toBe(sha(join(here, 'big')));
    expect(readdirSync(into)).toEqual(['big']);
  };
  const title = 'that is cut by the death of the %s, %s there, goes on, and is whole [COPY-2, COPY-4]';
  it.each<Cut>([
    ['daemon of the asker', 'from'],
    ['daemon of the asked', 'to'],
  ])(title, goesOn);
  it.each<Cut>([
    ['gateway', 'to'],
    ['daemon of the asker', 'to'],
  ])(title, { tags: 'full' }, goesOn);
});
