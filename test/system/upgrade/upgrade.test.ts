import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Breakage, Builds } from '../../support/builds.ts';
import { Counters } from '../../support/counter.ts';
import { entry, isAlive, type TestMachine, withTeam } from '../../support/machine.ts';
import { inTier } from '../../support/tier.ts';

let folder: string;
let builds: Builds;
let newer: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-builds-'));
  builds = new Builds(folder);
  newer = builds.make('9.0.0');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  machine: string;
  from: string;
  to: string;
  sessionsKept: number;
  daemonDownMs: number;
  rolledBack: boolean;
  reason?: string;
}

const pointer = (machine: TestMachine) =>
  JSON.parse(readFileSync(join(machine.home, 'versions', 'current.json'), 'utf8')) as {
    entry: string;
    pending: unknown;
  };
const version = async (machine: TestMachine) => (await machine.json<{ version: string }>('status'))['version'];

/** Several starts of several processes each: on a busy machine they take their time. */
const patience = { timeout: inTier(240_000, 600_000) };

/** What is wrong with a build, and what is said of it. */
interface Broken {
  name: string;
  command: Breakage['command'];
  code: string;
  reason: RegExp;
}

const throws: Broken = {
  name: 'throws',
  command: 'daemon',
  code: "throw new Error('broken on purpose');",
  reason: /broken on purpose/,
};
const hang = 'setInterval(() => undefined, 1000); await new Promise(() => undefined);';
const exit = "process.stderr.write('no terminals here\\n'); process.exit(3);";
/** Those that never answer take their half minute. */
const otherwiseBroken: Broken[] = [
  { name: 'no-terminals', command: 'headless', code: exit, reason: /no terminals here/ },
  { name: 'hangs', command: 'daemon', code: hang, reason: /not ready/ },
  { name: 'no-headless', command: 'headless', code: hang, reason: /headless server did not start|longer than/ },
];

describe('an upgrade over the link', patience, () => {
  test('brings the newer version and ends no session', async () => {
    await withTeam(
      ['newer', 'older'],
      async (asker, target) => {
        const counters = new Counters(target);
        await counters.start(2);
        const headless = target.headlessPid;
        const first = await asker.json<Outcome>('remote', 'upgrade', 'older');
        expect(first).toMatchObject({ machine: 'older', to: '9.0.0', sessionsKept: 2, rolledBack: false });
        await counters.check();
        expect(isAlive(headless)).toBe(true);
        expect(await version(target)).toBe('9.0.0');
        expect(pointer(target)).toMatchObject({
          entry: join(target.home, 'versions/9.0.0/dist/niia.js'),
          pending: null,
        });

        // A new session is in a headless server of the new version; the old one has those that were there.
        await target.ok('new', '--name', 'fresh', '--', 'sleep', '1000');
        const { headless: servers } = await target.json<{ headless: { version: string; sessions: number }[] }>(
          'status',
        );
        expect(servers.map(({ version, sessions }) => [version, sessions]).sort()).toEqual([
          [first.from, 2],
          ['9.0.0', 1],
        ]);

        // The command line that was installed before starts the upgraded version, also after a crash.
        await target.killDaemon();
        await target.ok('up');
        expect(await version(target)).toBe('9.0.0');
        await counters.check();

        // The old headless server leaves with its last session, and what ended there is still to be seen.
        for (const name of ['counter-0', 'counter-1']) await target.ok('kill', '--session', name);
        await expect.poll(() => isAlive(headless), { timeout: 20_000 }).toBe(false);
        const { sessions } = await target.json<{ sessions: { name: string; state: string }[] }>('list');
        expect(sessions.map(({ name, state }) => (state === 'exited' ? `${name} exited` : name)).sort()).toEqual([
          'counter-0 exited',
          'counter-1 exited',
          'fresh',
        ]);
        console.log('daemon away, ms:', first.daemonDownMs);
      },
      { roles: { older: 'admin' }, entries: { newer } },
    );
  });

  test('that installs the same version again ends no session either', { tags: 'full' }, async () => {
    await withTeam(
      ['newer', 'older'],
      async (asker, target) => {
        const counters = new Counters(target);
        await counters.start(2);
        await asker.ok('remote', 'upgrade', 'older');
        await target.ok('new', '--name', 'fresh', '--', 'sleep', '1000');
        const again = await asker.json<Outcome>('remote', 'upgrade', 'older');
        expect(again).toMatchObject({ from: '9.0.0', to: '9.0.0', sessionsKept: 3, rolledBack: false });
        await counters.check();
        expect(pointer(target).entry).toBe(join(target.home, 'versions/9.0.0.2/dist/niia.js'));
        // The headless server of the first 9.0.0 still runs from its folder.
        expect(existsSync(join(target.home, 'versions/9.0.0/dist/niia.js'))).toBe(true);
      },
      { roles: { older: 'admin' }, entries: { newer } },
    );
  });

  /** What is wrong with each new version; that they are put back one after the other is part of it. */
  const isPutBack = async (broken: readonly Broken[]): Promise<void> => {
    await withTeam(['asker', 'canary', 'second'], async (asker, target, second) => {
      const counters = new Counters(target);
      await counters.start(2);
      const { daemonPid } = target;
      const untouched = second.daemonPid;
      for (const { name, command, code, reason } of broken) {
        const bundle = builds.bundle(builds.breakIt(newer, name, { command, code }), folder, '--target', 'any');
        const ended = await asker.run(['--json', 'remote', 'upgrade', '--all', '--bundle', bundle], {
          timeoutMs: 200_000,
        });
        expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining('rolled back')]);
        const { machines } = JSON.parse(ended.stdout.toString()) as { machines: Outcome[] };
        expect(machines).toMatchObject([
          { machine: 'canary', state: 'rolled_back', to: '9.0.0', rolledBack: true, sessionsKept: 2 },
          { machine: 'second', state: 'not_tried' },
        ]);
        expect(machines[0]?.reason).toMatch(reason);
        expect(await version(target)).not.toBe('9.0.0');
        expect(pointer(target)).toMatchObject({ entry, pending: null });
        await counters.check();
        // What does not even start is found before the old daemon is stopped.
        if (command === 'daemon') expect([target.daemonPid, machines[0]?.daemonDownMs]).toEqual([daemonPid, 0]);
      }
      expect(second.daemonPid).toBe(untouched);
      // The versions that nobody needs go.
      const left = (): number => readdirSync(join(target.home, 'versions')).filter((one) => one.startsWith('9')).length;
      await expect.poll(left, { timeout: 10_000 }).toBeLessThanOrEqual(1);
    });
  };
  const title =
    'puts the old version back where the new one is broken, says why, and touches no machine after the canary';
  test(title, async () => await isPutBack([throws]));
  test(`${title}: in every way`, { tags: 'full' }, async () => await isPutBack([throws, ...otherwiseBroken]));
});
