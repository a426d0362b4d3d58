import type { Lease } from '../../../shared/connector/definition.ts';
import type { RunState, WorkerState } from './state.ts';

/** What comes after an attempt that failed, or at first. */
export type Next =
  | { is: 'attempt'; placement: number; attempt: number; backoffMs: number }
  /** It may have changed what lies outside, so a person must say whether it is run again. */
  | { is: 'pause'; why: string }
  /** All attempts are used up. */
  | { is: 'none' };

/** The backoff doubles with each attempt, up to this many times the first. */
const mostBackoff = 64;

/** What becomes of a worker without a grant that holds. */
export function nextAttempt({ definition, failure, placement, attempt, rerun }: WorkerState): Next {
  if (!failure) return { is: 'attempt', placement: 0, attempt: 1, backoffMs: 0 };
  if (definition.sideEffects === 'external' && failure.submitted && !rerun) {
    return { is: 'pause', why: `it may have done its work, or part of it: ${failure.why}` };
  }
  if (definition.failoverOn.includes(failure.reason) && placement + 1 < definition.placements.length) {
    return { is: 'attempt', placement: placement + 1, attempt: 1, backoffMs: 0 };
  }
  const { attempts, backoffMs } = definition.retry;
  if (attempt < attempts) {
    const times = Math.min(2 ** (attempt - 1), mostBackoff);
    return { is: 'attempt', placement, attempt: attempt + 1, backoffMs: backoffMs * times };
  }
  return rerun ? { is: 'attempt', placement, attempt: attempt + 1, backoffMs: 0 } : { is: 'none' };
}

/** Others may be started that need it. */
export function isDone({ verdict }: WorkerState): boolean {
  return verdict?.is === 'succeeded' || verdict?.is === 'skipped';
}

/** It will not succeed any more. */
export function hasFailed(worker: WorkerState): boolean {
  const { verdict, active, paused } = worker;
  if (verdict) return verdict.is === 'failed';
  return !active && paused === null && nextAttempt(worker).is === 'none';
}

export function isOver(state: RunState): boolean {
  return state.ended !== null;
}

/**
 * How long after the last renewal came a grant may be given up. Never before its machine, whose clock may run slower,
 * must have frozen the worker: clocks are taken to run apart by less than 2 %, and a freeze to come up to a second late.
 */
export function lostAfterMs({ ttlMs, lostAfterMs }: Lease): number {
  return Math.max(lostAfterMs, Math.ceil(ttlMs * 1.05) + 1_000);
}
