import { beforeAll, describe, expect, test } from 'vitest';
import { Counters } from '../../support/counter.ts';
import { entry, type TestMachine, withTeam } from '../../support/machine.ts';
import { olderBuild } from '../../support/older-build.ts';

let older: string;
beforeAll(() => {
  older = olderBuild();
});

/** Several starts of several processes each: on a busy machine they take their time. */
const patience = { timeout: 240_000 };
const olderVersion = '0.0.9';

async function versions(machine: TestMachine): Promise<Record<string, string>> {
  const list = await machine.json<{ machines: { name: string; version: string }[] }>('remote', 'status', 'list');
  return Object.fromEntries(list.machines.map(({ name, version }) => [name, version]));
}

let jobs = 0;

/** What a person does on another machine: a session that is written to, read, recorded and waited for; a command. */
async function works(from: TestMachine, to: TestMachine): Promise<void> {
  const name = `job-${++jobs}`;
  await from.ok('remote', 'new', to.name, '--name', name, '--', 'sh');
  await from.ok('remote', 'write', to.name, '--session', name, 'echo $((6*7)); exit 3\r');
  const ended = await from.json<{ exitCode: number }>('remote', 'wait', to.name, '--session', name, '--exit');
  expect(ended['exitCode']).toBe(3);
  const screen = await from.json<{ lines: string[] }>('remote', 'read', to.name, '--session', name);
  expect(screen['lines']).toContain('42');
  // A viewer of an ended session is shown its last screen: it is what `attach` does, into a file.
  await from.ok('remote', 'record', to.name, '--session', name, '--out', `${from.home}/${name}.cast`);
  const asked = await from.run(['remote', 'ask', to.name, 'echo asked; exit 5']);
  expect([asked.code, asked.stdout.toString()]).toEqual([5, 'asked\n']);
}

describe('versions that mix', patience, () => {
  const workTogether = async (a: TestMachine, b: TestMachine): Promise<void> => {
    expect(await versions(a)).toMatchObject({ older: olderVersion });
    expect((await versions(a))['newer']).not.toBe(olderVersion);
    expect(await versions(b)).toEqual(await versions(a));
    await works(a, b);
    await works(b, a);
  };

  test('an older machine works with the newer one that it joins, both ways, and is upgraded by it, while its sessions stay in the older headless server', async () => {
    await withTeam(
      ['newer', 'older'],
      async (newer, target) => {
        await workTogether(newer, target);
        const counters = new Counters(target);
        await counters.start(1);
        const outcome = await newer.json('remote', 'upgrade', 'older');
        expect(outcome).toMatchObject({ machine: 'older', from: olderVersion, sessionsKept: 1, rolledBack: false });
        expect((await versions(newer))['older']).toBe(outcome['to']);
        await counters.check();
        await works(newer, target);
      },
      { roles: { older: 'admin' }, entries: { older } },
    );
  });

  test(
    'a newer machine works with the older one that it joins, both ways',
    { tags: 'full' },
    async () => await withTeam(['older', 'newer'], workTogether, { roles: { newer: 'admin' }, entries: { older } }),
  );

  const understand = async (daemon: string, commands: string) => {
    await withTeam(
      ['mixed'],
      async (machine) => {
        const { version } = await machine.json<{ version: string }>('status');
        machine.entry = commands;
        expect((await machine.json<{ version: string }>('status'))['version']).toBe(version);
        await machine.ok('new', '--name', 'cross', '--', 'sh');
        await machine.ok('write', '--session', 'cross', 'echo $((6*7))\r');
        await machine.ok('wait', '--session', 'cross', '--match', '42');
        expect(await machine.ok('read', '--session', 'cross')).toContain('42');
        expect((await machine.json<{ sessions: unknown[] }>('list'))['sessions']).toHaveLength(1);
        await machine.ok('kill', '--session', 'cross');
      },
      { entries: { mixed: daemon } },
    );
  };
  test(
    'a newer command line and an older daemon understand each other',
    { tags: 'full' },
    async () => await understand(older, entry),
  );
  test(
    'an older command line and a newer daemon understand each other',
    { tags: 'full' },
    async () => await understand(entry, older),
  );

  test('a newer machine is brought back to an older version where that is allowed', { tags: 'full' }, async () => {
    await withTeam(
      ['newer', 'older'],
      async (newer, target) => {
        const counters = new Counters(target);
        await counters.start(1);
        await newer.ok('remote', 'upgrade', 'older');
        target.entry = entry;
        const bundle = `${target.home}/older.niiabundle`;
        newer.entry = older;
        await newer.ok('bundle', '--target', 'any', '--out', bundle);
        newer.entry = entry;
        const refused = await newer.run(['remote', 'upgrade', 'older', '--bundle', bundle]);
        expect([refused.code, refused.stderr]).toEqual([10, expect.stringContaining('--allow-downgrade')]);
        const back = await newer.json('remote', 'upgrade', 'older', '--bundle', bundle, '--allow-downgrade');
        expect(back).toMatchObject({ to: olderVersion, sessionsKept: 1, rolledBack: false });
        expect((await versions(newer))['older']).toBe(olderVersion);
        await counters.check();
      },
      { roles: { older: 'admin' }, entries: { older } },
    );
  });
});
