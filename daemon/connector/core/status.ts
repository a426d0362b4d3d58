import type { AttemptReport } from '../../../shared/protocol/attempt-methods.ts';
import type { RunInfo, RunStatus, WorkerStatus } from '../../../shared/protocol/run-methods.ts';
import type { Attempt } from './decide.ts';
import { hasFailed } from './next-attempt.ts';
import type { RunState, WorkerState } from './state.ts';

/** What attempts are doing now, as this machine knows it: only the coordinator hears of it. */
export interface Observed {
  /** What its last renewal told. */
  report(attempt: Attempt): AttemptReport | undefined;
  /** Its machine is away, or its renewals do not come. */
  silent(attempt: Attempt): boolean;
  /** Why no machine takes a worker that could start. */
  lack(worker: string): string | undefined;
}

export function runInfo(state: RunState): RunInfo {
  const { run, definition, startedAt, ended, term } = state;
  const coordinator = state.voters.find(({ id }) => id === term.coordinator)?.name ?? term.coordinator;
  return {
    ...{ run, name: definition.name, startedAt, coordinator },
    state: ended ? ended.state : state.cancelled ? 'cancelled' : whyPaused(state) === null ? 'running' : 'paused',
    endedAt: ended?.at ?? null,
    why: ended ? ended.why : whyPaused(state),
  };
}

export function runStatus(state: RunState, observed: Observed): RunStatus {
  return { ...runInfo(state), workers: [...state.workers.values()].map((worker) => status(state, worker, observed)) };
}

function whyPaused({ paused, workers }: RunState): string | null {
  if (paused !== null) return paused;
  const [first] = [...workers.values()].filter((worker) => worker.paused !== null);
  return first ? `${first.definition.name}: ${first.paused}` : null;
}

function status(state: RunState, worker: WorkerState, observed: Observed): WorkerStatus {
  const { definition, verdict, failure, machine, placement, attempt, epoch, since, firstGrant, kept } = worker;
  const key = { worker: definition.name, epoch };
  const report = epoch > 0 ? observed.report(key) : undefined;
  const over = verdict?.at ?? (hasFailed(worker) ? (failure?.at ?? null) : null);
  return {
    name: definition.name,
    phase: state.definition.phases[worker.phase]?.name ?? '',
    needs: [...definition.needs],
    machine: machine?.name ?? null,
    session: report?.session ?? null,
    model: definition.placements[placement]?.model.alias ?? null,
    state: stateOf(state, worker, report, worker.active && observed.silent(key)),
    sessionState: worker.active ? (report?.sessionState ?? null) : null,
    ...{ attempt, epoch, since },
    startedAt: firstGrant?.at ?? null,
    endedAt: over,
    lastLine: report?.lastLine ?? null,
    output: verdict?.is === 'succeeded' ? { ...verdict.output, json: verdict.output.json ?? null } : null,
    error: errorOf(worker, observed.lack(definition.name)),
    kept: [...kept],
  };
}

/** Why it failed, or what it waits for. */
function errorOf({ verdict, failure, paused, active }: WorkerState, lack: string | undefined): string | null {
  if (verdict) return verdict.is === 'failed' ? verdict.why : null;
  return paused ?? lack ?? (active ? null : (failure?.why ?? null));
}

function stateOf(
  { cancelled, ended }: RunState,
  worker: WorkerState,
  report: AttemptReport | undefined,
  silent: boolean,
): WorkerStatus['state'] {
  const { verdict, active, paused } = worker;
  if (verdict?.is === 'succeeded') return 'succeeded';
  if (verdict?.is === 'skipped') return 'cancelled';
  if (hasFailed(worker)) return 'failed';
  if (cancelled || ended) return 'cancelled';
  if (paused !== null) return 'paused';
  if (!active) return 'waiting';
  if (silent) return 'lost';
  if (report?.sessionState === 'blocked') return 'blocked';
  return report ? 'running' : 'granted';
}
