import { spawn } from 'node:child_process';
import { once as event } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { AttemptStore } from '../../../daemon/connector/attempts/store.ts';
import { inTier } from '../../support/tier.ts';
import { soon } from '../headless/support.ts';
import { Stage } from './stage.ts';

function lines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

afterEach(() => vi.restoreAllMocks());

/** Lets the daemon be stopped at a write of its attempts' files; counts them. */
function atWrite(stop: (count: number, write: () => void) => void): void {
  const original = AttemptStore.prototype.write;
  let count = 0;
  vi.spyOn(AttemptStore.prototype, 'write').mockImplementation(function (this: AttemptStore, file) {
    count += 1;
    stop(count, () => original.call(this, file));
  });
}

async function open(): Promise<{ stage: Stage; spec: ReturnType<Stage['spec']> }> {
  const stage = await Stage.open();
  const log = stage.path('log');
  const script = `echo "ran with $(cat)" >> ${log}; sleep 0.05; echo '{"n": 1}' > out.json; echo said`;
  const check = `echo checked >> ${log}; test -s out.json`;
  const output = { file: 'out.json', json: true as const, files: ['out.json'] };
  return { stage, spec: stage.spec(script, { check, output }) };
}

const expected = {
  outcome: { is: 'succeeded', json: { n: 1 }, files: ['out.json'], kept: { folder: null, branch: null } },
  text: '{"n": 1}\n',
};
const leastWrites = 10;
const once = ['ran with do it', 'checked'];

async function writesOfAWholeAttempt(): Promise<number> {
  let writes = 0;
  atWrite((count, write) => {
    writes = count;
    write();
  });
  const { stage, spec } = await open();
  expect(await stage.outcomeOf(spec)).toMatchObject(expected);
  await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
  expect(lines(stage.path('log'))).toEqual(once);
  vi.restoreAllMocks();
  return writes;
}

describe('an attempt whose daemon stops', () => {
  test.each(['before', 'after'] as const)(
    '%s anything is written of it comes to the same with the next one, and does nothing twice [ATT-2]',
    async (when) => {
      const writes = await writesOfAWholeAttempt();
      expect(writes).toBeGreaterThanOrEqual(leastWrites);
      for (let at = 1; at <= writes; at += inTier(3, 1)) {
        const { stage, spec } = await open();
        let stopped: Promise<void> | undefined;
        atWrite((count, write) => {
          if (count < at || (count === at && when === 'after')) write();
          if (count !== at) {
            if (stopped) throw new Error('its daemon is gone');
            return;
          }
          stopped = stage.stopDaemon();
          if (when === 'before') throw new Error('its daemon is gone');
        });
        await stage.begin(spec).catch((error: Error) => expect(error.message).toMatch(/gone|ending/));
        // Some writes are left out where two steps come together: then it is over before.
        await expect.poll(() => stopped !== undefined || stage.attempts.list().length === 0, soon).toBe(true);
        expect([at, stopped === undefined]).toEqual([at, at > leastWrites && stopped === undefined]);
        await (stopped ?? stage.stopDaemon());
        vi.restoreAllMocks();
        await stage.startDaemon();
        await stage.begin(spec, 'do it\n');
        await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
        expect([at, stage.coordinator.delivered.at(-1), lines(stage.path('log'))]).toMatchObject([at, expected, once]);
        await stage.stopDaemon();
      }
    },
    180_000,
  );

  test('and whose headless server dies meanwhile has failed, with nothing left of it', { tags: 'full' }, async () => {
    const { stage } = await open();
    const spec = stage.spec(`echo ran >> ${stage.path('log')}; sleep 60`);
    // What had left its terminal lives on when the headless server is killed.
    const env = { ...process.env, NIIA_SESSION: 'local-1', NIIA_HOME: stage.home.root };
    const left = spawn('/bin/sleep', ['60'], { env, detached: true, stdio: 'ignore' });
    const ended = event(left, 'exit');
    await stage.begin(spec);
    await expect.poll(() => lines(stage.path('log')), soon).toEqual(['ran']);
    await stage.stopDaemon();
    await stage.server?.stop();
    await stage.startHeadless();
    await stage.startDaemon();
    expect((await stage.delivered(spec)).outcome).toMatchObject({ is: 'failed', reason: 'crash', submitted: true });
    expect((await ended)[1]).toBe('SIGKILL');
  });
});
