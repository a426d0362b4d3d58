import { describe, expect, it } from 'vitest';
import { requestLimits as limits, RequestBudget } from '../../../daemon/core/request-budget.ts';

/** How many of `count` requests at `now` are let through. */
function passing(budget: RequestBudget, count: number, now: number): number {
  let passed = 0;
  for (let i = 0; i < count; i++) {
    try {
      budget.take(now);
      passed++;
    } catch (error) {
      expect(error).toMatchObject({ code: 'busy' });
    }
  }
  return passed;
}

describe('the requests of one machine', () => {
  it('pass at once up to a burst, and then at a rate', () => {
    const budget = new RequestBudget(0);
    expect(passing(budget, limits.burst + 100, 0)).toBe(limits.burst);
    expect(passing(budget, 10_000, 1_000)).toBe(limits.perSecond);
  });

  it('end the link when they go on after a thousand refusals, and not before', () => {
    const budget = new RequestBudget(0);
    passing(budget, limits.burst + limits.refusals - 1, 0);
    expect(budget.exhausted).toBe(false);
    passing(budget, 1, 0);
    expect(budget.exhausted).toBe(true);
  });

  it('are forgiven once it has been quiet', () => {
    const budget = new RequestBudget(0);
    passing(budget, limits.burst + limits.refusals - 1, 0);
    const later = (limits.burst / limits.perSecond) * 1_000 + 1;
    passing(budget, 1, later);
    passing(budget, limits.burst + 10, later);
    expect(budget.exhausted).toBe(false);
  });
});
