import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RunStatus } from '../../shared/protocol/run-methods.ts';
import type { TestMachine } from '../support/machine.ts';
import { killAndWait, withTeam } from '../support/machine.ts';

const soon = { timeout: 40_000, interval: 100 };
/** Quick to find a machine lost, so that the tests do not take minutes. */
const lease = { ttl: '2s', renew: '500ms', lostAfter: '4s' };

/** A shell script as an `exec` worker: the prompt on its input, the answer on its output. */
const script = (text: string) => ({ command: ['/bin/sh', '-c', text], driver: 'exec' });

function connector(machine: TestMachine, file: Record<string, unknown>): string {
  const path = join(machine.home, 'work.connector.json');
  writeFileSync(path, JSON.stringify({ connector: '2.0', name: 'work', ...file }));
  return path;
}

const onePhase = (...workers: Array<Record<string, unknown>>) => ({ phases: [{ name: 'work', workers }] });
const status = (machine: TestMachine, run: string) => machine.json<RunStatus>('run', 'status', run);
const textOf = ({ workers }: RunStatus, name: string) => workers.find((one) => one.name === name)?.output?.text;
const lines = (path: string): string[] => (existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []);

/** Until a run that goes on by itself is over. */
async function ended(machine: TestMachine, run: string): Promise<RunStatus> {
  await expect.poll(async () => (await status(machine, run)).state, soon).not.toBe('running');
  return await status(machine, run);
}

describe('a run', () => {
  test('goes through its phases on the machines that it names, and can be seen from any of them', async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      const file = connector(a, {
        inputs: { topic: 'bees' },
        models: {
          long: script('printf \'["%0400000d"]\' 7'),
          echo: script('echo "$NIIA_MACHINE_NAME:"; cat'),
          count: script('printf \'{"n":%d}\' "$(wc -c)"'),
        },
        pipeline: {
          phases: [
            {
              name: 'look',
              workers: [
                { name: 'one', model: 'echo', machine: 'A', prompt: 'about {{inputs.topic}}' },
                { name: 'two', model: 'count', machine: 'B', prompt: '12345', output: { json: true } },
                { name: 'long', model: 'long', machine: 'B', prompt: 'go', output: { json: true } },
              ],
            },
            {
              name: 'sum',
              workers: [
                {
                  ...{ name: 'three', model: 'echo', machine: 'B' },
                  prompt: 'n is {{workers.two.output.json.n}}, {{workers.one.output.text}}',
                },
              ],
            },
          ],
        },
      });
      const outcome = await a.run(['run', file, '--input', 'topic=wasps', '--json']);
      expect([outcome.code, outcome.stderr]).toEqual([0, expect.stringContaining('three: succeeded on B')]);
      const run = JSON.parse(outcome.stdout.toString()) as RunStatus;
      expect(run).toMatchObject({ name: 'work', state: 'succeeded', coordinator: 'A' });
      expect(textOf(run, 'one')).toBe('A:\nabout wasps');
      expect(run.workers.find(({ name }) => name === 'two')?.output?.json).toEqual({ n: 5 });
      expect(JSON.stringify(run.workers.find(({ name }) => name === 'long')?.output?.json).length).toBeGreaterThan(
        400_000,
      );
      expect(textOf(run, 'three')).toMatch(/^B:\nn is 5, (.|\n)*A:\nabout wasps/);
      // From the other machine, by the start of its name.
      expect(await status(b, 'work')).toEqual(run);
      expect((await b.json<{ runs: Array<{ run: string }> }>('run', 'list')).runs.map((one) => one.run)).toEqual([
        run.run,
      ]);
      const report = await b.ok('run', 'report', run.run);
      expect(report).toMatch(/\| sum \| three \| succeeded \| 1 \| B \|/);
      const records = (await b.ok('run', 'logs', '--json'))
        .split('\n')
        .map((line) => JSON.parse(line) as { record: { kind: string } });
      expect(records.filter(({ record }) => record.kind === 'commit')).toHaveLength(4);
    });
  });

  test('says what is wrong with its file, and starts nothing', async () => {
    await withTeam(['A'], async (a) => {
      const file = connector(a, { pipeline: onePhase({ name: 'x', model: 'exec', promt: 'hi' }) });
      const { code, stderr } = await a.run(['run', file]);
      expect([code, stderr]).toEqual([2, expect.stringMatching(/work\.connector\.json:1:\d+: .*"promt".*"prompt"/)]);
      expect(await a.ok('run', 'list')).toBe('no runs');
      expect((await a.run(['run', 'status', 'nothing'])).code).toBe(3);
      expect((await a.run(['run', join(a.home, 'nowhere.connector.json')])).code).toBe(2);
    });
  });

  test('fails with what its worker said, and ends the others on cancel', async () => {
    await withTeam(['A', 'B'], async (a) => {
      const bad = connector(a, {
        models: { bad: script('echo no room >&2; exit 3') },
        pipeline: onePhase({ name: 'x', model: 'bad', prompt: 'go' }),
      });
      const { code, stdout } = await a.run(['run', bad, '--json']);
      expect(code).toBe(1);
      expect(JSON.parse(stdout.toString())).toMatchObject({
        state: 'failed',
        workers: [{ state: 'failed', error: expect.stringContaining('no room') }],
      });

      const pid = join(a.home, 'pid');
      const slow = connector(a, {
        models: { slow: script(`echo $$ > '${pid}'; sleep 600`) },
        pipeline: onePhase({ name: 'x', model: 'slow', machine: 'B', prompt: 'go' }),
      });
      const { run } = await a.json<{ run: string }>('run', slow, '--detach');
      await expect.poll(() => lines(pid).length, soon).toBe(1);
      await a.ok('run', 'cancel', run);
      expect(await status(a, run)).toMatchObject({ state: 'cancelled' });
      await expect.poll(() => existsSync(`/proc/${lines(pid)[0]}`), soon).toBe(false);
    });
  });
});

describe('work whose machine goes away', () => {
  test('is done by the next one, once, and the first is fenced when it is back [RUN-1]', async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      const done = join(a.home, 'done');
      const ticks = join(a.home, 'ticks');
      // On B it never ends, and counts; on A it does the work.
      const work = script(
        `if [ "$NIIA_MACHINE_NAME" = B ]; then while :; do echo tick >> '${ticks}'; sleep 0.1; done; fi; echo "$NIIA_MACHINE_NAME" | tee -a '${done}'`,
      );
      const worker = { name: 'x', model: 'work', machine: 'B', fallback: [{ machine: 'A' }], lease, prompt: 'go' };
      const { run } = await a.json<{ run: string }>(
        'run',
        connector(a, { models: { work }, pipeline: onePhase(worker) }),
        '--detach',
      );
      await expect.poll(() => lines(ticks).length, soon).toBeGreaterThan(3);
      const daemon = b.daemonPid;
      process.kill(daemon, 'SIGSTOP');
      try {
        expect(await ended(a, run)).toMatchObject({ state: 'succeeded', workers: [{ machine: 'A', epoch: 2 }] });
        // B's headless server froze it, though nobody told it to.
        const frozenAt = lines(ticks).length;
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        expect(lines(ticks).length).toBe(frozenAt);
      } finally {
        process.kill(daemon, 'SIGCONT');
      }
      expect(lines(done)).toEqual(['A']);
      // Back again, B ends what nobody wants any more.
      const over = async () =>
        (await b.json<{ sessions: Array<{ state: string }> }>('list')).sessions.every(
          ({ state }) => state === 'exited',
        );
      await expect.poll(over, soon).toBe(true);
      const text = await a.ok('run', 'report', run);
      expect(text).toMatch(/epoch 1 on B .*: lost/);
      expect((await status(a, run)).workers[0]).toMatchObject({ state: 'succeeded', epoch: 2 });
    });
  });

  test('that is asked for outside of its folder is not done again before somebody says so', {
    tags: 'full',
  }, async () => {
    await withTeam(['A', 'B'], async (a, b) => {
      const calls = join(a.home, 'calls');
      const work = script(`echo "$NIIA_MACHINE_NAME" >> '${calls}'; [ "$NIIA_MACHINE_NAME" = A ] || sleep 600`);
      const worker = {
        ...{ name: 'deploy', model: 'work', machine: 'B', fallback: [{ machine: 'A' }], lease, prompt: 'go' },
        sideEffects: 'external',
      };
      const file = connector(a, { models: { work }, pipeline: onePhase(worker) });
      const { run } = await a.json<{ run: string }>('run', file, '--detach');
      await expect.poll(() => lines(calls), soon).toEqual(['B']);
      await b.ok('config', 'set', 'guard', 'off');
      const [daemon, headless] = [b.daemonPid, b.headlessPid];
      await killAndWait(daemon);
      await killAndWait(headless);
      const followed = await a.run(['run', 'status', run, '--follow'], { timeoutMs: 60_000 });
      expect([followed.code, followed.stderr]).toEqual([7, expect.stringContaining('waits for you')]);
      expect(lines(calls)).toEqual(['B']);
      await a.ok('run', 'resume', run, '--as', 'rerun');
      expect(await ended(a, run)).toMatchObject({ state: 'succeeded' });
      expect(lines(calls)).toEqual(['B', 'A']);
    });
  });
});

describe('a run whose coordinator is killed', () => {
  test('goes on where it was when that is started again, and does nothing twice [RUN-4]', async () => {
    await withTeam(['A', 'B'], async (a) => {
      const calls = join(a.home, 'calls');
      const work = script(`echo "$NIIA_MACHINE_NAME" >> '${calls}'; sleep 3; echo did it`);
      const workers = [
        { name: 'x', model: 'work', machine: 'A', prompt: 'go' },
        { name: 'y', model: 'work', machine: 'B', prompt: 'go' },
      ];
      const file = connector(a, { models: { work }, pipeline: onePhase(...workers) });
      const { run } = await a.json<{ run: string }>('run', file, '--detach');
      await expect.poll(() => lines(calls).length, soon).toBe(2);
      await a.killDaemon();
      await a.ok('up');
      const over = await ended(a, run);
      expect(over).toMatchObject({ state: 'succeeded', workers: [{ epoch: 1 }, { epoch: 1 }] });
      expect(textOf(over, 'y')).toBe('did it\n');
      expect(lines(calls).sort()).toEqual(['A', 'B']);
    });
  });

  test('is taken over by a machine that stands by', async () => {
    await withTeam(
      ['A', 'B', 'C'],
      async (a, b) => {
        const work = script('sleep 4; echo "$NIIA_MACHINE_NAME"');
        const file = connector(a, {
          models: { work },
          coordinator: { machines: ['A', 'B', 'C'] },
          pipeline: {
            phases: [1, 2].map((n) => ({
              name: `p${n}`,
              workers: [{ name: `w${n}`, model: 'work', machine: 'B', prompt: 'go', lease }],
            })),
          },
        });
        const { run } = await a.json<{ run: string }>('run', file, '--detach');
        await expect.poll(async () => (await status(a, run)).workers[0]?.state, soon).toBe('running');
        // The gateway is A's: the machines find each other without it.
        await a.killDaemon();
        const byStandby = () => b.json<RunStatus>('run', 'status', run, '--machine', 'B');
        await expect.poll(async () => (await byStandby()).coordinator, soon).not.toBe('A');
        const over = await ended(b, run);
        expect(over).toMatchObject({
          state: 'succeeded',
          workers: [{ epoch: 1, state: 'succeeded' }, { state: 'succeeded' }],
        });
        expect(textOf(over, 'w2')).toBe('B\n');
      },
      { paths: 'all' },
    );
  });
});
