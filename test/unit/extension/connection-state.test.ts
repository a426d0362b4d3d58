import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConnectionEvent, ConnectionState } from '../../../extension/connection-state.ts';
import { initialState, reduceConnection, restartTries } from '../../../extension/connection-state.ts';
import { NiiaError } from '../../../shared/errors.ts';

const nobody = new NiiaError('daemon_not_running', 'nobody listens');
const older = new NiiaError('version_mismatch', 'another version');
const gone = new NiiaError('link_lost', 'the connection was closed');
const failed = (error = nobody): ConnectionEvent => ({ type: 'failed', error, random: 0.5 });
const lost: ConnectionEvent = { type: 'lost', error: gone, random: 0.5 };

function reached(...events: ConnectionEvent[]) {
  let step = { state: initialState, effects: [] } as ReturnType<typeof reduceConnection>;
  for (const event of events) step = reduceConnection(step.state, event);
  return step;
}

describe('the state of the connection', () => {
  it('calls a daemon absent at the first failure of a window that never had one', () => {
    const { state, effects } = reached({ type: 'start' }, failed());
    expect(state).toMatchObject({ phase: 'absent', trying: false, error: nobody });
    expect(effects).toEqual([{ type: 'retry', afterMs: 750 }]);
  });

  it('takes a loss for a restart at first: tries soon, and calls it absent only after all those tries', () => {
    let { state, effects } = reached({ type: 'start' }, { type: 'opened' }, lost);
    expect(state.phase).toBe('connecting');
    const delays: number[] = [];
    for (let tries = 1; tries <= restartTries; tries++) {
      const [retry] = effects;
      delays.push(retry?.type === 'retry' ? retry.afterMs : Number.NaN);
      ({ state } = reduceConnection(state, { type: 'retry-due' }));
      ({ state, effects } = reduceConnection(state, failed()));
      expect(state.phase).toBe(tries < restartTries ? 'connecting' : 'absent');
    }
    expect(delays[0]).toBeLessThanOrEqual(50);
    expect(delays.reduce((sum, ms) => sum + ms)).toBeLessThan(5_000);
  });

  it('tries at once when the socket appears, and again when it appeared during a try that fails', () => {
    expect(reached({ type: 'start' }, failed(), { type: 'appeared' }).effects).toEqual([
      { type: 'cancel-retry' },
      { type: 'connect' },
    ]);
    const again = reached({ type: 'start' }, { type: 'appeared' }, failed());
    expect(again.effects).toEqual([{ type: 'connect' }]);
    expect(again.state.trying).toBe(true);
  });

  it('says that another version answers, whenever it notices', () => {
    expect(reached({ type: 'start' }, failed(older)).state.phase).toBe('incompatible');
    const restarted = reached({ type: 'start' }, { type: 'opened' }, lost, { type: 'retry-due' }, failed(older));
    expect(restarted.state.phase).toBe('incompatible');
  });

  it('forgets all that failed once it stands', () => {
    const { state } = reached(
      { type: 'start' },
      failed(),
      { type: 'retry-due' },
      failed(),
      { type: 'retry-due' },
      { type: 'opened' },
    );
    expect(state).toEqual({ ...initialState, phase: 'connected', stood: true });
  });

  it('never has two tries under way, and never rests without a try, a retry or a connection', () => {
    const pick = fc.constantFrom<ConnectionEvent['type']>('opened', 'failed', 'lost', 'appeared', 'retry-due');
    fc.assert(
      fc.property(fc.array(pick, { maxLength: 60 }), (names) => {
        let state: ConnectionState = initialState;
        let tries = 0;
        let waiting = false;
        const apply = (event: ConnectionEvent) => {
          const step = reduceConnection(state, event);
          state = step.state;
          for (const effect of step.effects) {
            if (effect.type === 'connect') tries++;
            else waiting = effect.type === 'retry';
          }
        };
        apply({ type: 'start' });
        for (const name of names) {
          // Only what can happen: outcomes of tries, losses of connections, timers that run.
          if ((name === 'opened' || name === 'failed') && tries === 0) continue;
          if (name === 'lost' && state.phase !== 'connected') continue;
          if (name === 'retry-due' && !waiting) continue;
          if (name === 'opened' || name === 'failed') tries--;
          if (name === 'retry-due') waiting = false;
          if (name === 'failed') apply(failed());
          else if (name === 'lost') apply(lost);
          else apply({ type: name });
          expect(tries).toBeLessThanOrEqual(1);
          expect(state.phase === 'connected' || tries === 1 || waiting).toBe(true);
        }
      }),
    );
  });
});
