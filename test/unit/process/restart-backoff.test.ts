import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RestartBackoff, restartTiming } from '../../../daemon/process/restart-backoff.ts';

describe('a process that keeps ending', () => {
  test('is started again after 1 s, then twice as long each time, up to a minute', () => {
    const backoff = new RestartBackoff();
    const pauses = Array.from({ length: 9 }, () => backoff.ended(0));
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test('begins at 1 s again once it was up for a minute, and not before', () => {
    const backoff = new RestartBackoff();
    for (let i = 0; i < 5; i++) backoff.ended(0);
    backoff.up(1_000);
    expect(backoff.ended(60_999)).toBe(32_000);
    backoff.up(100_000);
    expect(backoff.ended(160_000)).toBe(1_000);
  });

  test('counts from its first sign of life, however often it gives one', () => {
    const backoff = new RestartBackoff();
    for (let i = 0; i < 3; i++) backoff.ended(0);
    for (const now of [0, 30_000, 59_000]) backoff.up(now);
    expect(backoff.ended(60_000)).toBe(1_000);
  });

  test('never waits less than a second nor more than a minute, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 100_000 }))), (events) => {
        const backoff = new RestartBackoff();
        let now = 0;
        for (const [up, after] of events) {
          now += after;
          if (up) backoff.up(now);
          else {
            const pause = backoff.ended(now);
            if (pause < restartTiming.firstMs || pause > restartTiming.longestMs) return false;
          }
        }
        return true;
      }),
    );
  });
});
