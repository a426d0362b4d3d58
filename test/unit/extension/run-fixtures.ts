import type { ShownRun } from '../../../extension/runs/runs-model.ts';
import type { RunStatus, WorkerStatus } from '../../../shared/protocol/run-methods.ts';

/** The time at which rows are drawn. */
export const now = new Date(2026, 10, 22, 14, 30);
const at = (hour: number, minute = 5): string => new Date(2026, 10, 22, hour, minute).toISOString();

export function worker(name: string, more: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    ...{ name, phase: 'find', needs: [], machine: 'box', session: 'local-3', model: 'opus' },
    ...{
      state: 'running',
      sessionState: 'busy',
      attempt: 1,
      epoch: 1,
      since: at(14),
      startedAt: at(14),
      endedAt: null,
    },
    ...{ lastLine: null, output: null, error: null, kept: [] },
    ...more,
  };
}

export function waiting(name: string, more: Partial<WorkerStatus> = {}): WorkerStatus {
  const none = { machine: null, session: null, sessionState: null, attempt: 0, epoch: 0, startedAt: null };
  return worker(name, { state: 'waiting', ...none, ...more });
}

export function done(name: string, more: Partial<WorkerStatus> = {}): WorkerStatus {
  return worker(name, { state: 'succeeded', sessionState: null, endedAt: at(14, 8), ...more });
}

export function shownRun(workers: WorkerStatus[] | undefined, more: Partial<ShownRun> = {}): ShownRun {
  const info = {
    ...{ run: 'review-3f2a9c', name: 'review', state: 'running' as const, coordinator: 'box' },
    ...{ startedAt: at(14), endedAt: null, why: null },
  };
  const status: RunStatus | undefined = workers && { ...info, workers };
  return { ...info, at: undefined, untold: undefined, status, ...more };
}

export const ended = { state: 'succeeded', endedAt: at(14, 17) } as const;
