import { describe, expect, test } from 'vitest';
import { Stopwatch } from '../../../daemon/connector/attempts/stopwatch.ts';
import type { SessionInfo, SessionState } from '../../../shared/protocol/shapes.ts';

const session = (state: SessionState, outputBytes: number, frozen = false) =>
  ({ state, outputBytes, frozen }) as SessionInfo;

/** Feeds it a second at a time; what limit it is beyond, and after how many seconds. */
function fed(watch: Stopwatch, seconds: number, at: (second: number) => Parameters<Stopwatch['look']>[1], runs = true) {
  for (let second = 1; second <= seconds; second++) {
    const why = watch.look(second * 1000, at(second), runs);
    if (why !== undefined) return { second, why };
  }
  return undefined;
}

const limits = { limitMs: 10_000, spentMs: 0, stallMs: 0, bytes: 0 };

describe('the limits of an attempt', () => {
  test('are over when their time is, what was used up before included', () => {
    const busy = () => session('busy', 1);
    expect(fed(new Stopwatch(limits, 0), 20, busy)).toEqual({ second: 11, why: 'it took longer than 10000 ms' });
    expect(fed(new Stopwatch({ ...limits, spentMs: 7000 }, 0), 20, busy)?.second).toBe(4);
    const watch = new Stopwatch(limits, 0);
    fed(watch, 4, busy);
    expect(watch.spentMs).toBe(4000);
  });

  test('do not count while a person is asked, while it is frozen, nor while its lease does not hold', () => {
    const unmoved = [() => session('blocked', 1), () => session('busy', 1, true)];
    for (const at of unmoved) expect(fed(new Stopwatch({ ...limits, stallMs: 3000 }, 0), 100, at)).toBeUndefined();
    expect(fed(new Stopwatch(limits, 0), 100, () => session('busy', 1), false)).toBeUndefined();
  });

  test('do not count a pause of the machine', () => {
    const watch = new Stopwatch(limits, 0);
    expect(watch.look(3_600_000, session('busy', 1), true)).toBeUndefined();
    expect(watch.spentMs).toBe(2000);
  });

  test('of silence count while it is busy, from its last byte', () => {
    const quiet = { ...limits, limitMs: 1_000_000, stallMs: 3000 };
    expect(fed(new Stopwatch(quiet, 0), 100, (second) => session('busy', Math.min(second, 5)))).toEqual({
      second: 9,
      why: 'it wrote nothing for 3000 ms while it was busy',
    });
    expect(fed(new Stopwatch(quiet, 0), 100, () => session('idle', 1))).toBeUndefined();
    expect(fed(new Stopwatch(quiet, 0), 100, (second) => session('busy', second))).toBeUndefined();
  });

  test('of output count all of it', () => {
    const watch = new Stopwatch({ ...limits, bytes: 3 }, 0);
    expect(fed(watch, 9, (second) => session('busy', second))).toEqual({
      second: 4,
      why: 'it wrote more than 3 bytes',
    });
  });
});
