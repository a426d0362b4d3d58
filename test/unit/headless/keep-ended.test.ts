import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tooMuch } from '../../../daemon/headless/keep-ended.ts';
import { start } from './support.ts';

const limits = { sessions: 3, bytes: 100, ageMs: 1_000 };
const session = (endedAt: number, bytes: number) => ({ endedAt, bytes });

describe('of the sessions that ended', () => {
  test('the oldest go, beyond a number, a total of bytes and an age', () => {
    const ended = [session(900, 10), session(1_000, 10), session(800, 10), session(700, 10), session(-100, 10)];
    expect(tooMuch(ended, 1_000, limits)).toEqual([session(-100, 10), session(700, 10)]);
    const large = [session(1_000, 40), session(900, 50), session(800, 20), session(700, 1)];
    // What is older than one that goes, goes as well: the ones that are kept are the newest.
    expect(tooMuch(large, 1_000, { ...limits, sessions: 9 })).toEqual([session(700, 1), session(800, 20)]);
  });

  test('the newest stays, however large it is', () => {
    expect(tooMuch([session(1_000, 500), session(999, 1)], 1_000, limits)).toEqual([session(999, 1)]);
  });

  test('no more than the caps stays, and nothing goes while all fits', () => {
    const any = fc.array(fc.record({ endedAt: fc.integer({ min: 0, max: 2_000 }), bytes: fc.nat(60) }));
    fc.assert(
      fc.property(any, (ended) => {
        const gone = new Set(tooMuch(ended, 1_500, limits));
        const kept = ended.filter((one) => !gone.has(one));
        const sum = (some: typeof ended) => some.reduce((total, { bytes }) => total + bytes, 0);
        const fits = ended.length <= 3 && sum(ended) <= 100 && ended.every(({ endedAt }) => endedAt >= 500);
        return kept.length <= 3 && sum(kept) <= 100 && (!fits || gone.size === 0);
      }),
    );
  });

  test('those that are too much are cleared away when the next one ends, and never one that lives', async () => {
    const { ask, run } = await start({ keep: () => ({ sessions: 50, bytes: 300_000, ageMs: 1e9 }) });
    const live = await run('head -c 400000 /dev/zero | tr "\\0" x; read x');
    const ids: string[] = [];
    for (let i = 0; i < 4; i++) {
      const { session: id } = await run('head -c 90000 /dev/zero | tr "\\0" x');
      ids.push(id);
      await ask('session.wait', { session: id, until: { type: 'exit' } });
    }
    const listed = async () => (await ask('session.list', {})).sessions.map(({ id }) => id);
    await expect.poll(listed).not.toContain(ids[0]);
    expect(await listed()).toContain(ids[3]);
    expect(await listed()).toContain(live.session);
  });
});
