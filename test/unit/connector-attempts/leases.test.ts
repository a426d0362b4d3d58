import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { AttemptLease } from '../../../daemon/connector/attempts/attempt-lease.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { cleanup, soon } from '../headless/support.ts';
import { Stage } from './stage.ts';

function lines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

async function grows(path: string): Promise<boolean> {
  const before = lines(path).length;
  await new Promise((resolve) => setTimeout(resolve, 150));
  return lines(path).length > before;
}

const short = { ttlMs: 600, renewMs: 100 };

/** Counts into `numbers` until there is a file `enough`. */
function counting(stage: Stage): string {
  return `i=0; while [ ! -e ${stage.path('enough')} ]; do i=$((i+1)); echo $i >> ${stage.path('numbers')}; sleep 0.01; done; echo done`;
}

describe('an attempt whose coordinator is not reached', () => {
  test('stands still when its lease runs out, and goes on where it is still its own', async () => {
    const stage = await Stage.open();
    const spec = stage.spec(counting(stage), { lease: short });
    const numbers = stage.path('numbers');
    await stage.begin(spec);
    await expect.poll(() => lines(numbers).length, soon).toBeGreaterThan(5);
    // Longer than the lease: it is renewed.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(await grows(numbers)).toBe(true);
    stage.coordinator.reached = false;
    await expect.poll(() => grows(numbers), soon).toBe(false);
    await expect.poll(() => stage.sessions.map(({ frozen }) => frozen), soon).toEqual([true]);
    expect(await grows(numbers)).toBe(false);
    stage.coordinator.reached = true;
    await expect.poll(() => grows(numbers), soon).toBe(true);
    writeFileSync(stage.path('enough'), '');
    expect(await stage.delivered(spec)).toMatchObject({ outcome: { is: 'succeeded' }, text: 'done\n' });
    expect(lines(numbers)).toEqual(lines(numbers).map((_, index) => `${index + 1}`));
  });

  test('stands still also while no daemon runs, which finds it again [ATT-4]', async () => {
    const stage = await Stage.open();
    const spec = stage.spec(counting(stage), { lease: short });
    const numbers = stage.path('numbers');
    await stage.begin(spec);
    await expect.poll(() => lines(numbers).length, soon).toBeGreaterThan(5);
    await stage.stopDaemon();
    await expect.poll(() => grows(numbers), soon).toBe(false);
    stage.coordinator.reached = false;
    await stage.startDaemon();
    expect(await grows(numbers)).toBe(false);
    stage.coordinator.reached = true;
    await expect.poll(() => grows(numbers), soon).toBe(true);
    writeFileSync(stage.path('enough'), '');
    expect(await stage.delivered(spec)).toMatchObject({ outcome: { is: 'succeeded' } });
  });

  test('and that lost its work meanwhile is ended without another step [ATT-5]', async () => {
    const stage = await Stage.open();
    const spec = stage.spec(counting(stage), { lease: short });
    const numbers = stage.path('numbers');
    await stage.begin(spec);
    await expect.poll(() => lines(numbers).length, soon).toBeGreaterThan(5);
    stage.coordinator.reached = false;
    await expect.poll(() => stage.sessions.map(({ frozen }) => frozen), soon).toEqual([true]);
    const stoodAt = lines(numbers).length;
    stage.coordinator.granted = 2;
    stage.coordinator.reached = true;
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    expect(lines(numbers)).toHaveLength(stoodAt);
    expect(await stage.begin(spec)).toMatchObject({ step: 'over', submitted: true });
    const key = { run: 'r1', worker: 'w', epoch: 1 };
    expect(await stage.attempts.end(key, 'fenced')).toEqual({ folder: stage.folder, branch: null });
    expect(stage.coordinator.delivered).toEqual([]);
  });

  test('takes no step that counts: neither its session, its prompt, its check nor its outcome [ATT-3]', async () => {
    const stage = await Stage.open();
    stage.coordinator.reached = false;
    const log = stage.path('log');
    const spec = stage.spec(`echo prompted >> ${log}`, {
      check: `echo checked >> ${log}`,
      lease: { ttlMs: 0, renewMs: 50 },
    });
    await stage.begin(spec);
    const still = async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return { log: lines(log), sessions: stage.sessions.length, outcomes: stage.coordinator.delivered.length };
    };
    expect(await still()).toEqual({ log: [], sessions: 0, outcomes: 0 });
    stage.coordinator.granted = 2;
    stage.coordinator.reached = true;
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    expect(await still()).toEqual({ log: [], sessions: 0, outcomes: 0 });
  });
});

test('a prompt is handed over once its coordinator knows that it may have been [RUN-3]', async () => {
  const stage = await Stage.open();
  const log = stage.path('log');
  stage.coordinator.hearsOfPrompts = false;
  const spec = stage.spec(`echo prompted >> ${log}`, { lease: { ttlMs: 60_000, renewMs: 50 } });
  await stage.begin(spec);
  await expect.poll(() => stage.sessions.length, soon).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(lines(log)).toEqual([]);
  stage.coordinator.hearsOfPrompts = true;
  await stage.delivered(spec);
  expect(lines(log)).toEqual(['prompted']);
  expect(stage.coordinator.reports.some(({ submitted }) => submitted)).toBe(true);
});

describe('the outcome of an attempt', () => {
  test('is delivered again until it is taken', async () => {
    const stage = await Stage.open();
    stage.coordinator.takes = false;
    const spec = stage.spec('echo once', { lease: short });
    await stage.begin(spec);
    await expect.poll(() => stage.coordinator.reports.at(-1)?.step, soon).toBe('delivering');
    stage.coordinator.takes = true;
    expect((await stage.delivered(spec)).text).toBe('once\n');
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    expect(stage.coordinator.delivered).toHaveLength(1);
  });

  test('that would never be taken is a failure, and is delivered as such', async () => {
    const stage = await Stage.open();
    stage.coordinator.refuses = true;
    const { outcome } = await stage.outcomeOf(stage.spec('echo once', { lease: short }));
    expect(outcome).toMatchObject({
      is: 'failed',
      reason: 'output_invalid',
      why: expect.stringContaining('more than'),
    });
  });

  test('of an old epoch is nobody’s', async () => {
    const stage = await Stage.open();
    stage.coordinator.takes = false;
    const spec = stage.spec('echo late');
    await stage.begin(spec);
    await expect.poll(() => stage.coordinator.reports.at(-1)?.step, soon).toBe('delivering');
    stage.coordinator.granted = 2;
    stage.coordinator.takes = true;
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    expect(stage.coordinator.delivered).toEqual([]);
    expect(await stage.begin(spec)).toMatchObject({ step: 'over' });
  });
});

describe('a lease', () => {
  /** One that is renewed as `answers` say, and what it then holds until. The clock is the test's. */
  function lease(renew: (sending: () => void) => Promise<void>, now: () => number) {
    const seen = { until: [] as number[], fenced: 0 };
    const made = new AttemptLease({
      lease: { ttlMs: 1000, renewMs: 20 },
      until: undefined,
      renew,
      extended: (until) => seen.until.push(until),
      fenced: () => {
        seen.fenced += 1;
      },
      now,
    });
    made.open();
    cleanup(() => made.close());
    return { made, seen };
  }

  test('counts from when its renewal was sent, not from its answer [ATT-3]', async () => {
    let now = 100;
    const { made, seen } = lease(
      async (sending) => {
        sending();
        now += 400;
      },
      () => now,
    );
    await expect.poll(() => seen.until.length, soon).toBeGreaterThan(0);
    expect(seen.until[0]).toBe(1100);
    await made.close();
    expect(made.holds).toBe(true);
    now = made.until;
    expect(made.holds).toBe(false);
  });

  test('is not brought forward by an answer that comes late, and is over with the first that says so', async () => {
    const answers = [
      async () => undefined,
      async () => undefined,
      async () => Promise.reject(new NiiaError('fenced', 'no')),
    ];
    const times = [500, 200, 300];
    let asked = 0;
    const { seen } = lease(
      async (sending) => {
        sending();
        const answer = answers[asked];
        asked += 1;
        await answer?.();
      },
      () => times[asked] ?? 300,
    );
    await expect.poll(() => seen.fenced, soon).toBe(1);
    expect(seen.until).toEqual([1500, 1500]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBe(3);
  });

  test('lets those who wait for it go on, or tells them why not', async () => {
    let reached = false;
    const { made } = lease(
      async (sending) => {
        sending();
        if (!reached) throw new NiiaError('offline', 'no path');
      },
      () => 0,
    );
    const given = new AbortController();
    const [waits, gives] = [made.active(new AbortController().signal), made.active(given.signal)];
    given.abort(new NiiaError('cancelled', 'not any more'));
    await expect(gives).rejects.toMatchObject({ code: 'cancelled' });
    reached = true;
    await waits;
  });
});
