import type { NiiaError } from '../shared/errors.ts';

/**
 * How this window stands with the daemon. `connecting` covers the first try and the moments after a loss; `absent`
 * means that nobody answers; `incompatible` that somebody does who speaks another protocol version.
 */
export type Phase = 'connecting' | 'connected' | 'absent' | 'incompatible';

export interface ConnectionState {
  readonly phase: Phase;
  /** Failed tries since it last stood. */
  readonly failures: number;
  /** A try is under way. */
  readonly trying: boolean;
  /** Something happened during the try that makes another worthwhile at once, should it fail. */
  readonly again: boolean;
  /** It stood before: a loss is first taken for a restart. */
  readonly stood: boolean;
  /** Why it does not stand. */
  readonly error: NiiaError | undefined;
}

export type ConnectionEvent =
  | { type: 'start' }
  | { type: 'opened' }
  /** A try failed, or the other side closed during its greeting. */
  | { type: 'failed'; error: NiiaError; random: number }
  /** The connection that stood is gone. `random`: 0 to 1, as in `failed`. */
  | { type: 'lost'; error: NiiaError; random: number }
  /** The socket's file changed, or a person asks for another try. */
  | { type: 'appeared' }
  | { type: 'retry-due' };

export type ConnectionEffect = { type: 'connect' } | { type: 'retry'; afterMs: number } | { type: 'cancel-retry' };

export interface Step {
  state: ConnectionState;
  effects: ConnectionEffect[];
}

export const initialState: ConnectionState = {
  phase: 'connecting',
  failures: 0,
  trying: false,
  again: false,
  stood: false,
  error: undefined,
};

/** A daemon that restarts is back within these tries (about 3 s); until they are spent it is not called absent. */
export const restartTries = 6;
const restartFirstMs = 50;
const absentFirstMs = 1_000;
/** The file watch tells sooner; this is for where it cannot. */
const absentLongestMs = 30_000;

export function reduceConnection(state: ConnectionState, event: ConnectionEvent): Step {
  switch (event.type) {
    case 'start':
    case 'retry-due':
      return state.trying || state.phase === 'connected' ? stay(state) : connect(state, []);
    case 'appeared':
      if (state.phase === 'connected') return stay(state);
      if (state.trying) return stay({ ...state, again: true });
      return connect(state, [{ type: 'cancel-retry' }]);
    case 'opened':
      return stay({ ...initialState, phase: 'connected', stood: true });
    case 'failed': {
      const failed = { ...state, trying: false, again: false, failures: state.failures + 1, error: event.error };
      const next = { ...failed, phase: phaseAfter(failed) };
      if (state.again) return connect(next, []);
      return { state: next, effects: [{ type: 'retry', afterMs: retryDelay(next, event.random) }] };
    }
    case 'lost': {
      if (event.error.code === 'version_mismatch') return reduceConnection(state, { ...event, type: 'failed' });
      const next: ConnectionState = { ...initialState, stood: true, error: event.error };
      return { state: next, effects: [{ type: 'retry', afterMs: event.random * restartFirstMs }] };
    }
  }
}

function stay(state: ConnectionState): Step {
  return { state, effects: [] };
}

function connect(state: ConnectionState, effects: ConnectionEffect[]): Step {
  return { state: { ...state, trying: true, again: false }, effects: [...effects, { type: 'connect' }] };
}

function phaseAfter({ error, stood, failures }: ConnectionState): Phase {
  if (error?.code === 'version_mismatch') return 'incompatible';
  return stood && failures < restartTries ? 'connecting' : 'absent';
}

/** Doubles from try to try; half of it is left to chance, so that windows do not come all at once. */
function retryDelay({ phase, failures }: ConnectionState, random: number): number {
  const ms =
    phase === 'connecting'
      ? restartFirstMs * 2 ** (failures - 1)
      : Math.min(absentLongestMs, absentFirstMs * 2 ** Math.min(failures - 1, 10));
  return ms * (0.5 + random / 2);
}
