import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { breaks, withGatewayTeam } from '../support/gateway.ts';
import { killAndWait, type TestMachine, withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';

// Each step is a process or more, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const soon = { timeout: 40_000, interval: 20 };
const numbers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `${from + i}\n`).join('');

/** A command that says a part, waits for a file, says the rest, and notes each time that it runs. */
function inTwoParts(b: TestMachine, name: string): { command: string; goOn: () => void; runs: () => string } {
  const gate = join(b.home, `${name}.gate`);
  const runs = join(b.home, `${name}.runs`);
  return {
    command: `echo run >> ${runs}; seq 1 200000; echo one >&2; until [ -e ${gate} ]; do sleep 0.05; done; seq 200001 300000; echo two >&2; exit 7`,
    goOn: () => writeFileSync(gate, ''),
    runs: () => (existsSync(runs) ? readFileSync(runs, 'utf8') : ''),
  };
}

describe('a command on another machine', () => {
  const team = forAllTests(withGatewayTeam);

  it.each(['gateway', 'daemon of the asker', 'daemon of the asked'] as const)(
    'ends with its code, each byte once, and runs once, when the %s is killed between the two',
    async (what) => {
      const { a, b } = team();
      const { command, goOn, runs } = inTwoParts(b, what.replaceAll(' ', '-'));
      const asked = a.run(['remote', 'ask', 'B', command], { timeoutMs: 80_000 });
      await expect.poll(runs, soon).toBe('run\n');
      await breaks[what](team());
      goOn();
      const { code, stdout, stderr } = await asked;
      expect([code, stderr]).toEqual([7, 'one\ntwo\n']);
      expect(stdout.toString() === numbers(1, 300_000)).toBe(true);
      expect(runs()).toBe('run\n');
    },
  );

  it('gets its input once over a break', async () => {
    const { a, b } = team();
    const taken = join(b.home, 'taken');
    const child = a.spawn(['remote', 'ask', 'B', '--stdin', `cat > ${taken}; md5sum < ${taken}`]);
    const closed = once(child, 'close');
    child.stdin?.on('error', () => undefined);
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      said += text.toString();
    });
    const sum: Buffer[] = [];
    child.stdout?.on('data', (bytes: Buffer) => sum.push(bytes));
    const input = Buffer.alloc(3 << 20, 'some numbered input 0123456789\n');
    child.stdin?.write(input.subarray(0, 1 << 20));
    await expect.poll(() => (existsSync(taken) ? statSync(taken).size : said), soon).toBeGreaterThan(1 << 19);
    await killAndWait(b.daemonPid);
    child.stdin?.end(input.subarray(1 << 20));
    await b.ok('up');
    const [code] = await closed;
    expect(code).toBe(0);
    expect(Buffer.concat(sum).toString()).toBe(`${createHash('md5').update(input).digest('hex')}  -\n`);
  });

  it("is known to be of an unknown outcome when its server is killed, and the next server finds what the user's terminals find", async () => {
    const { a, b } = team();
    const tool = join(b.home, 'tool-of-the-profile');
    writeFileSync(tool, '#!/bin/sh\necho found\n');
    chmodSync(tool, 0o755);
    // The server that is there has asked the login shell already; the next one has not.
    writeFileSync(join(b.home, '.profile'), `echo noise; echo noise >&2\nPATH=${b.home}:$PATH\n`);
    const runs = join(b.home, 'lost.runs');
    const pidFile = join(b.home, 'lost.pid');
    const command = `echo $$ > ${pidFile}; echo run >> ${runs}; exec sleep 1000`;
    const lost = a.run(['remote', 'ask', 'B', '--json', command]);
    await expect.poll(() => existsSync(runs), soon).toBe(true);
    await killAndWait(b.headlessPid);
    const outcome = await lost;
    expect([outcome.code, JSON.parse(outcome.stderr).error.code]).toEqual([255, 'outcome_unknown']);
    expect(readFileSync(runs, 'utf8')).toBe('run\n');
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');

    const found = await b.run(['ask', 'tool-of-the-profile']);
    expect([found.code, found.stdout.toString(), found.stderr]).toEqual([0, 'found\n', '']);
  });

  it('takes variables, and ends at its time limit', async () => {
    const { b } = team();
    const env = await b.run(['ask', '--env', 'X=a b=c', '--env', 'Y=', 'echo "$X|$Y|"']);
    expect(env.stdout.toString()).toBe('a b=c||\n');
    expect((await b.run(['ask', '--env', 'X', 'true'])).code).toBe(2);
    const late = await b.run(['ask', '--json', '--timeout', '1', 'echo $$ > pid; sleep 1000'], { cwd: b.home });
    expect([late.code, JSON.parse(late.stderr).error.code]).toEqual([255, 'timeout']);
    const pid = readFileSync(join(b.home, 'pid'), 'utf8').trim();
    await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
  });
});

describe('a command on all machines', () => {
  it('runs on every one that is online, and names those that are not', async () => {
    await withTeam(
      ['A', 'B', 'C'],
      async (a, b, c) => {
        for (const machine of [b, c]) await machine.ok('config', 'set', 'ask', 'operator');
        const command =
          'for i in 1 2 3; do printf "$NIIA_MACHINE_NAME "; sleep 0.1; echo $i; done; echo bad >&2; [ $NIIA_MACHINE_NAME != B ] || exit 3';
        const all = await a.run(['remote', 'ask', '--all', command]);
        expect(all.code).toBe(3);
        const lines = all.stdout.toString().trimEnd().split('\n');
        for (const name of ['A', 'B', 'C']) {
          expect(lines.filter((line) => line.startsWith(`${name}: `))).toEqual(
            [1, 2, 3].map((n) => `${name}: ${name} ${n}`),
          );
        }
        expect(lines).toHaveLength(9);
        expect(all.stderr.trimEnd().split('\n').sort()).toEqual(['A: bad', 'B: bad', 'C: bad']);
        await c.ok('down');
        await expect.poll(async () => (await a.ok('remote', 'status', 'list')).match(/offline/), soon).not.toBeNull();
        const json = await a.run(['remote', 'ask', '--all', '--json', 'echo $NIIA_MACHINE_NAME']);
        expect(json.code).toBe(0);
        const { machines } = JSON.parse(json.stdout.toString());
        expect(machines).toMatchObject([
          { machine: 'A', exitCode: 0, signal: null, stdout: 'A\n', stderr: '' },
          { machine: 'B', exitCode: 0, stdout: 'B\n' },
          { machine: 'C', error: { code: 'offline' } },
        ]);
        expect((await a.run(['remote', 'ask', '--all', 'true'])).stderr).toBe('niia: C is offline\n');
        expect((await a.run(['ask', '--all', '--machine', 'B', 'true'])).code).toBe(2);
      },
      { roles: { B: 'admin', C: 'admin' } },
    );
  });
});
