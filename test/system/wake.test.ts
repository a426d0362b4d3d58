import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TestMachine } from '../support/machine.ts';
import { entry, isAlive, killAndWait, node, withTeam } from '../support/machine.ts';
import { forAllTests } from '../support/shared.ts';

const soon = { timeout: 20_000, interval: 100 };

/** An `ssh` on the machine's PATH that notes its words and runs `script`. */
function fakeSsh(machine: TestMachine, script: string): { path: NodeJS.ProcessEnv; words: () => string[] } {
  const folder = join(machine.home, 'bin');
  mkdirSync(folder, { recursive: true });
  const words = join(folder, 'words');
  writeFileSync(join(folder, 'ssh'), `#!/bin/sh\nprintf '%s\\n' "$@" > ${words}\n${script}\n`);
  chmodSync(join(folder, 'ssh'), 0o755);
  return {
    path: { PATH: `${folder}:${process.env['PATH']}` },
    words: () => readFileSync(words, 'utf8').trimEnd().split('\n'),
  };
}

const offline = async (machine: TestMachine, other: string) => {
  const { machines } = await machine.json<{ machines: Array<{ name: string; online: boolean }> }>(
    'remote',
    'status',
    'list',
  );
  return machines.find(({ name }) => name === other)?.online === false;
};

describe('a machine that is down', () => {
  const team = forAllTests<TestMachine[]>((body) =>
    withTeam(['A', 'B', 'C'], (...machines) => body(machines), { roles: { B: 'operator', C: 'operator' } }),
  );
  const three = (): [TestMachine, TestMachine, TestMachine] => team() as [TestMachine, TestMachine, TestMachine];
  const mac = '02:1a:2b:3c:4d:5e';
  const packetFor = (hex: string): string => 'ff'.repeat(6) + hex.repeat(16);

  it('is told of with all that is known, and brought back by ssh once that is set up', async () => {
    const [a, b] = three();
    await b.ok('new', '--name', 'work', '--restore', '--', 'cat');
    await b.killDaemon();
    await killAndWait(b.headlessPid);
    await expect.poll(() => offline(a, 'B'), soon).toBe(true);
    const refused = await a.run(['remote', 'start', 'B', '--json']);
    const { error } = JSON.parse(refused.stderr) as { error: { code: string; message: string; hint: string } };
    expect([refused.code, error.code]).toEqual([4, 'offline']);
    expect(error.message).toMatch(/^B is offline: last seen 20\d\d-.* ago\) over gateway/);
    expect(error.hint).toContain('niia machine wake B --ssh HOST');
    for (const wrong of [
      ['--ssh', '-oProxyCommand=x'],
      ['--ssh-command', 'x'],
      ['--mac', 'zz'],
      ['--ssh', 'b', '--off'],
    ]) {
      expect([wrong, (await a.run(['machine', 'wake', 'B', ...wrong])).code]).toEqual([wrong, 2]);
    }

    // Words that a shell would take apart.
    await a.ok('machine', 'wake', 'B', '--ssh', 'me@b.example', '--ssh-command', 'niia up; "$(touch pwned)"');
    const failing = fakeSsh(a, 'echo no route >&2; exit 255');
    const failed = await a.run(['remote', 'start', 'B', '--json'], { env: failing.path });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('me@b.example ended with exit code 255: no route');
    expect(failing.words().slice(-3)).toEqual(['--', 'me@b.example', 'niia up; "$(touch pwned)"']);

    const working = fakeSsh(a, `NIIA_HOME=${b.home} NIIA_MACHINE_NAME=B ${node} ${entry} up`);
    const { code, stdout, stderr } = await a.run(['remote', 'start', 'B', '--json'], { env: working.path });
    expect([code, stderr]).toEqual([0, expect.stringContaining('B is back after')]);
    expect(JSON.parse(stdout.toString())).toMatchObject({ machine: 'B', headless: 'running' });
    // Its marked session came back with it.
    const { sessions } = await a.json<{ sessions: Array<Record<string, unknown>> }>('remote', 'list', 'B');
    expect(sessions).toMatchObject([
      { name: 'work', state: 'exited', restoredAs: 'local-2' },
      { name: 'work', restoredFrom: 'local-1', restore: true },
    ]);
    expect(isAlive(Number(sessions[1]?.['pid']))).toBe(true);
    expect(await a.json('machine', 'wake', 'B')).toEqual({ machine: 'B', online: true, woken: false });
    await a.ok('machine', 'wake', 'B', '--off');
  });

  const getsPacket = async (via: 'A' | 'B'): Promise<void> => {
    const [a, , c] = three();
    const listener = createSocket('udp4');
    let packets = 0;
    // The machine's network card: what wakes it starts it.
    listener.on('message', (bytes) => {
      if (bytes.toString('hex') === packetFor('021a2b3c4d5e')) packets++;
      if (packets === 1) void c.ok('up');
    });
    listener.bind(0, '127.0.0.1');
    await once(listener, 'listening');
    try {
      const to = `127.0.0.1:${listener.address().port}`;
      await c.ok('down', '--sessions');
      await expect.poll(() => offline(a, 'C'), soon).toBe(true);
      const words = via === 'A' ? [] : ['--via', via];
      await a.ok('machine', 'wake', 'C', '--mac', '02-1A-2B-3C-4D-5E', '--broadcast', to, ...words);
      const woken = await a.run(['machine', 'wake', 'C', '--json']);
      expect([woken.code, JSON.parse(woken.stdout.toString())]).toEqual([
        0,
        { machine: 'C', online: true, woken: true },
      ]);
      expect(woken.stderr).toContain(`${via} sent a packet for ${mac}`);
      await a.ok('machine', 'wake', 'C', '--off');
    } finally {
      listener.close();
    }
  };
  it('gets a magic packet from a neighbour', async () => await getsPacket('B'));
  it('gets a magic packet from this machine', { tags: 'full' }, async () => await getsPacket('A'));

  it('gets none from a neighbour that is told so by an operator', { tags: 'full' }, async () => {
    const [, b, c] = three();
    await c.ok('machine', 'wake', 'B', '--mac', mac, '--via', 'A');
    await b.ok('down', '--sessions');
    await expect.poll(() => offline(c, 'B'), soon).toBe(true);
    expect((await c.run(['machine', 'wake', 'B', '--json'])).code).toBe(10);
    await b.ok('up');
  });

  it('that does not come is given up after --timeout', { tags: 'full' }, async () => {
    const [a, b] = three();
    await b.ok('down', '--sessions');
    await expect.poll(() => offline(a, 'B'), soon).toBe(true);
    await a.ok('machine', 'wake', 'B', '--mac', mac, '--broadcast', '127.0.0.1:9');
    const given = await a.run(['machine', 'wake', 'B', '--timeout', '1', '--json']);
    expect([given.code, given.stderr]).toEqual([4, expect.stringContaining('did not come within')]);
  });
});
