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
import { TestGateway } from '../support/gateway.ts';
import { type TestMachine, withTeam } from '../support/machine.ts';
import { EchoStream } from '../support/stream.ts';

// Each step is a process or more, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 400_000 });

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

async function withGatewayTeam(
  body: (a: TestMachine, b: TestMachine, gateway: TestGateway) => Promise<void>,
): Promise<void> {
  await withTeam(
    ['A', 'B'],
    async (a, b) => {
      const gateway = new TestGateway(a);
      await gateway.start();
      try {
        for (const machine of [a, b]) await machine.ok('config', 'set', 'gateway', gateway.url);
        await expect.poll(async () => (await a.run(['remote', 'ask', 'B', 'true'])).code, soon).toBe(0);
        await body(a, b, gateway);
      } finally {
        await gateway.kill();
      }
    },
    { roles: { B: 'admin' } },
  );
}

describe('a copy to and from another machine', () => {
  it('that is cut by the death of the gateway and of either daemon goes on, and is whole [COPY-2, COPY-4]', async () => {
    await withGatewayTeam(async (a, b, gateway) => {
      const here = scratch();
      const bytes = 32 << 20;
      writeFileSync(join(here, 'big'), randomBytes(bytes));
      const breaks: Array<[string, () => Promise<unknown>]> = [
        ['gateway', () => gateway.kill().then(() => gateway.start())],
        ['daemon of the asker', () => a.killDaemon().then(() => a.ok('up'))],
        ['daemon of the asked', () => b.killDaemon().then(() => b.ok('up'))],
      ];
      for (const [at, [what, breakIt]] of breaks.entries()) {
        const into = scratch();
        // Both ways: files are here in either case, served by A's command or by B's daemon.
        const words = at === 1 ? [`B:${join(here, 'big')}`, into] : [join(here, 'big'), `B:${into}`];
        const child = a.spawn(['remote', 'cp', ...words]);
        const closed = once(child, 'close');
        let said = '';
        child.stderr?.on('data', (text: Buffer) => {
          said += text.toString();
        });
        await expect.poll(() => partial(into), { ...soon, interval: 2 }).toBeGreaterThan(1 << 20);
        await breakIt();
        const [code] = await closed;
        // The link itself outlives a gateway, so that the copy need not notice.
        const noticed = what === 'gateway' ? '' : expect.stringContaining('goes on when it is back');
        expect([what, code, said]).toEqual([what, 0, noticed]);
        expect(sha(join(into, 'big'))).toBe(sha(join(here, 'big')));
        expect(readdirSync(into)).toEqual(['big']);
      }
    });
  });

  it('carries a tree as it is, is taken up when it is run again, and holds up no keystroke [COPY-1, COPY-5]', async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      const here = scratch();
      const tree = join(here, 'tree');
      mkdirSync(join(tree, 'sub', 'empty'), { recursive: true });
      for (let i = 0; i < 300; i++)
        writeFileSync(join(tree, 'sub', `f ${i}`), `${i}\n`, { mode: i % 2 ? 0o600 : 0o755 });
      symlinkSync('sub/f 1', join(tree, 'link'));
      symlinkSync('/etc/passwd', join(tree, 'out'));
      utimesSync(join(tree, 'sub'), 1e9, 1e9);
      const there = scratch();
      // B is an operator, and A's owner has allowed nothing.
      expect((await b.run(['remote', 'cp', tree, `A:${there}`])).code).toBe(10);
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

      writeFileSync(join(here, 'big'), randomBytes(128 << 20));
      const first = a.spawn(['cp', join(here, 'big'), `B:${there}`]);
      const gone = once(first, 'close');
      await expect.poll(() => partial(there), { ...soon, interval: 2 }).toBeGreaterThan(1 << 20);
      first.kill('SIGKILL');
      await gone;
      const kept = partial(there);
      const echo = new EchoStream(a, b);
      await echo.start();
      const second = a.spawn(['cp', '--json', join(here, 'big'), `B:${there}`]);
      const closed = once(second, 'close');
      await echo.received(100, 60_000);
      // A hundred lines were typed and came back, and the copy is not over yet.
      expect(second.exitCode).toBeNull();
      echo.stop();
      expect((await closed)[0]).toBe(0);
      expect(sha(join(there, 'big'))).toBe(sha(join(here, 'big')));
      expect(readdirSync(there).sort()).toEqual(['big', 'tree']);
      expect(kept === -1 || kept > 0).toBe(true);
    });
  });

  it('says what is wrong with what it is told, and audits what it did', async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      const there = scratch();
      writeFileSync(join(there, 'x'), 'old');
      for (const [words, code] of [
        [['a', 'b'], 2],
        [['A:a', 'B:b'], 2],
        [['none', `B:${there}`], 1],
        [[`B:${there}/none`, '.'], 1],
        [[a.home, `B:${there}/x`], 2],
        [[join(there, 'x'), 'B:/dev/null'], 2],
        [[join(there, 'x'), 'B:/no/such/folder/y'], 1],
        [[join(there, 'x'), 'NOBODY:y'], 3],
      ] as const) {
        const outcome = await a.run(['cp', ...words]);
        expect([words, outcome.code]).toEqual([words, code]);
        expect(outcome.stderr).toMatch(/^niia: /);
      }
      expect(readFileSync(join(there, 'x'), 'utf8')).toBe('old');
      const audit = readFileSync(join(b.home, 'audit.jsonl'), 'utf8');
      expect(audit).toContain('copy.put');
      expect(audit).toContain('/no/such/folder');
    });
  });
});
