import { describe, expect, it } from 'vitest';
import { Retry, retryTiming as timing } from '../../../daemon/paths/retry.ts';

const steady = () => 0.5;

describe('attempts that may fail for a long time', () => {
  it('begin at once and pause for longer each time, up to a bound', () => {
    const retry = new Retry(steady);
    expect(retry.dueAt).toBe(0);
    const pauses = Array.from({ length: 8 }, () => {
      retry.failed(1_000);
      return retry.dueAt - 1_000;
    });
    expect(pauses).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it('begin at once again when things have changed', () => {
    const retry = new Retry(steady);
    for (let i = 0; i < 5; i++) retry.failed(0);
    retry.reset(500);
    expect(retry.dueAt).toBe(500);
    retry.failed(500);
    expect(retry.dueAt).toBe(500 + timing.firstMs);
  });

  it('begin at once after something that lasted, and pause after something that never does', () => {
    const retry = new Retry(steady);
    retry.succeeded(0);
    retry.ended(timing.steadyMs);
    expect(retry.dueAt).toBe(timing.steadyMs);
    let now = 0;
    const flapping = new Retry(steady);
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      flapping.succeeded(now);
      flapping.ended(now + 100);
      pauses.push(flapping.dueAt - now - 100);
      now = flapping.dueAt;
    }
    expect(pauses).toEqual([2_000, 4_000, 8_000, 16_000]);
  });
});
