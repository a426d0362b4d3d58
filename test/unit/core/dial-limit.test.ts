import { describe, expect, it } from 'vitest';
import { DialLimit, dialLimits } from '../../../daemon/core/dial-limit.ts';

const passing = (limit: DialLimit, machine: string, count: number, now: number): number =>
  Array.from({ length: count }, () => limit.take(machine, now)).filter(Boolean).length;

describe('machines that dial this one', () => {
  it('may come a few times at once, and then slowly, each for itself', () => {
    const limit = new DialLimit();
    expect(passing(limit, 'a', 100, 0)).toBe(dialLimits.burst);
    expect(passing(limit, 'b', 100, 0)).toBe(dialLimits.burst);
    expect(passing(limit, 'a', 100, 10_000)).toBe(10 * dialLimits.perSecond);
  });

  it('are forgotten once they have nothing against them any more', () => {
    const limit = new DialLimit();
    for (let i = 0; i < 1_000; i++) limit.take(`machine ${i}`, 0);
    limit.take('another', 60_000);
    expect(limit.size).toBe(1);
  });
});
