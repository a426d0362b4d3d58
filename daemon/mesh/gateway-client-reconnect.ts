/**
 * When a machine dials its gateway again. A connection that was lost is dialled within 50 ms, then with growing, jittered
 * pauses of at most 1 s, for ever; one that was refused every 30 s, and at once when the roster changes.
 */
export type ReconnectState =
  | { phase: 'stopped' }
  | { phase: 'dialling'; attempt: number }
  | { phase: 'connected'; attempt: number; at: number }
  | { phase: 'waiting'; attempt: number; refused: boolean };

/** `at`: milliseconds of a clock that never goes back. */
export type ReconnectEvent =
  | { type: 'start' }
  | { type: 'connected'; at: number }
  /** The attempt failed, or the connection ended. */
  | { type: 'lost'; at: number }
  | { type: 'refused' }
  | { type: 'timer' }
  | { type: 'roster-changed' }
  | { type: 'retry' }
  | { type: 'stop' };

export type ReconnectAction =
  /** Dial now; a timer that runs is off. */
  | { type: 'dial' }
  /** Come back with `timer` after `ms`. */
  | { type: 'wait'; ms: number }
  /** End the dial, the connection and the timer. */
  | { type: 'hang-up' };

const firstPause = 50;
const secondPause = 100;
const longestPause = 1_000;
const refusedPause = 30_000;
/** A connection that ended sooner counts as a failed attempt: a gateway that lets in and throws out is not hammered. */
const stableAfter = 500;

/** Milliseconds before attempt number `attempt`; 0 is the first after a loss. `random`: 0 to 1. */
export function pauseBefore(attempt: number, random: number): number {
  if (attempt === 0) return random * firstPause;
  const longest = Math.min(longestPause, secondPause * 2 ** Math.min(attempt - 1, 16));
  return longest / 2 + (random * longest) / 2;
}

export function reduceReconnect(
  state: ReconnectState,
  event: ReconnectEvent,
  random: () => number,
): { state: ReconnectState; action?: ReconnectAction } {
  const dial = (attempt: number) => ({ state: { phase: 'dialling', attempt }, action: { type: 'dial' } }) as const;
  switch (event.type) {
    case 'start':
      return state.phase === 'stopped' ? dial(0) : { state };
    case 'stop':
      return { state: { phase: 'stopped' }, action: { type: 'hang-up' } };
    case 'connected':
      if (state.phase !== 'dialling') return { state };
      return { state: { phase: 'connected', attempt: state.attempt, at: event.at } };
    case 'lost': {
      if (state.phase !== 'dialling' && state.phase !== 'connected') return { state };
      const stable = state.phase === 'connected' && event.at - state.at >= stableAfter;
      const attempt = stable ? 0 : state.attempt + 1;
      return {
        state: { phase: 'waiting', attempt, refused: false },
        action: { type: 'wait', ms: pauseBefore(attempt, random()) },
      };
    }
    case 'refused':
      if (state.phase !== 'dialling' && state.phase !== 'connected') return { state };
      return { state: { phase: 'waiting', attempt: 0, refused: true }, action: { type: 'wait', ms: refusedPause } };
    case 'timer':
    case 'retry':
      return state.phase === 'waiting' ? dial(state.attempt) : { state };
    case 'roster-changed':
      return state.phase === 'waiting' && state.refused ? dial(0) : { state };
  }
}
