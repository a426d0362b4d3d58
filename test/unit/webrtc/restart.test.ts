import { expect, test } from 'vitest';
import { RestartPause } from '../../../daemon/webrtc/restart.ts';

const atStart = { ready: false, lifeMs: 100 };
const inUse = { ready: true, lifeMs: 5_000 };

test('a helper that keeps dying at its start is started less and less often', () => {
  const pause = new RestartPause();
  const pauses = Array.from({ length: 9 }, () => pause.after(atStart));
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test('one crash in use is forgiven at once, a series of them is not', () => {
  const pause = new RestartPause();
  expect([pause.after(inUse), pause.after(inUse), pause.after(inUse)]).toEqual([0, 1_000, 2_000]);
});

test('a minute of good work makes up for what was before', () => {
  const pause = new RestartPause();
  for (let count = 0; count < 10; count++) pause.after(inUse);
  expect(pause.after({ ready: true, lifeMs: 60_000 })).toBe(0);
});
