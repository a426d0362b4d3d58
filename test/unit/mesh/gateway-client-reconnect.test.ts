import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReconnectEvent, ReconnectState } from '../../../daemon/mesh/gateway-client-reconnect.ts';
import { pauseBefore, reduceReconnect } from '../../../daemon/mesh/gateway-client-reconnect.ts';

function run(events: ReconnectEvent[], random = 1) {
  let state: ReconnectState = { phase: 'stopped' };
  const actions = events.map((event) => {
    const next = reduceReconnect(state, event, () => random);
    state = next.state;
    return next.action;
  });
  return { state, actions };
}

describe('reconnecting', () => {
  it('dials at once at the start', () => {
    expect(run([{ type: 'start' }]).actions).toEqual([{ type: 'dial' }]);
  });

  it('tries within 50 ms after a connection was lost', () => {
    const { actions } = run([{ type: 'start' }, { type: 'connected', at: 0 }, { type: 'lost', at: 10_000 }]);
    expect(actions.at(-1)).toEqual({ type: 'wait', ms: 50 });
  });

  it('waits longer after each failure, up to 1 s, and never gives up', () => {
    const events: ReconnectEvent[] = [{ type: 'start' }];
    for (let i = 0; i < 1_000; i++) events.push({ type: 'lost', at: 0 }, { type: 'timer' });
    const { actions } = run(events);
    const pauses = actions.flatMap((action) => (action?.type === 'wait' ? [action.ms] : []));
    expect(pauses.slice(0, 8)).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
    expect(pauses.at(-1)).toBe(1_000);
    expect(actions.at(-1)).toEqual({ type: 'dial' });
  });

  it('spreads machines out: the pause is anything from its half to its whole', () => {
    fc.assert(
      fc.property(fc.nat(2_000), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const pause = pauseBefore(attempt, random);
        const longest = pauseBefore(attempt, 1);
        expect(longest).toBeLessThanOrEqual(1_000);
        expect(pause).toBeGreaterThanOrEqual(attempt === 0 ? 0 : longest / 2);
        expect(pause).toBeLessThanOrEqual(longest);
      }),
    );
  });

  it('does not hammer a gateway that lets in and throws out', () => {
    const events: ReconnectEvent[] = [{ type: 'start' }];
    for (let i = 0; i < 6; i++)
      events.push({ type: 'connected', at: i }, { type: 'lost', at: i + 1 }, { type: 'timer' });
    const pauses = run(events).actions.flatMap((action) => (action?.type === 'wait' ? [action.ms] : []));
    expect(pauses).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it('tries a gateway that refused it every 30 s, and at once when the roster changed or somebody asks', () => {
    const refused: ReconnectEvent[] = [{ type: 'start' }, { type: 'refused' }];
    expect(run(refused).actions.at(-1)).toEqual({ type: 'wait', ms: 30_000 });
    for (const type of ['timer', 'roster-changed', 'retry'] as const) {
      expect(run([...refused, { type }]).actions.at(-1)).toEqual({ type: 'dial' });
    }
  });

  it('does not jump the queue for a changed roster where the gateway cannot be reached', () => {
    expect(
      run([{ type: 'start' }, { type: 'lost', at: 0 }, { type: 'roster-changed' }]).actions.at(-1),
    ).toBeUndefined();
  });

  it('hangs up when stopped, from any state, and does nothing until it is started again', () => {
    const event: fc.Arbitrary<ReconnectEvent> = fc.oneof(
      fc.constantFrom<ReconnectEvent>(
        { type: 'start' },
        { type: 'refused' },
        { type: 'timer' },
        { type: 'retry' },
        { type: 'roster-changed' },
      ),
      fc.nat(10_000).map((at): ReconnectEvent => ({ type: 'connected', at })),
      fc.nat(10_000).map((at): ReconnectEvent => ({ type: 'lost', at })),
    );
    fc.assert(
      fc.property(fc.array(event), fc.array(event), (before, after) => {
        const quiet = after.filter(({ type }) => type !== 'start');
        const { actions, state } = run([...before, { type: 'stop' }, ...quiet]);
        expect(actions[before.length]).toEqual({ type: 'hang-up' });
        expect(actions.slice(before.length + 1).filter(Boolean)).toEqual([]);
        expect(state.phase).toBe('stopped');
      }),
    );
  });
});
