import { span } from '../../../shared/duration.ts';
import type { RunInfo, RunStatus, WorkerStatus } from '../../../shared/protocol/run-methods.ts';
import type { Cell, Colour } from '../format.ts';
import { ago, paint, printable, table } from '../format.ts';

const runColours: Record<RunInfo['state'], Colour> = {
  running: 'bold',
  paused: 'yellow',
  succeeded: 'green',
  failed: 'red',
  cancelled: 'dim',
};

const workerColours: Record<WorkerStatus['state'], Colour> = {
  waiting: 'dim',
  granted: 'bold',
  running: 'bold',
  blocked: 'yellow',
  lost: 'yellow',
  paused: 'yellow',
  succeeded: 'green',
  failed: 'red',
  cancelled: 'dim',
};

/** How much of a worker's last line is shown. */
const lineShown = 60;

export function listTable(runs: readonly RunInfo[]): string {
  const rows = runs.map((run): Cell[] => [
    run.run,
    run.name,
    { text: run.state, colour: runColours[run.state] },
    run.coordinator,
    ago(run.startedAt),
    run.why ?? '',
  ]);
  return table(['RUN', 'NAME', 'STATE', 'COORDINATOR', 'STARTED', ''], rows);
}

/** A run and its workers, phase by phase. */
export function statusText(status: RunStatus, now = Date.now()): string {
  const { run, name, state, coordinator, startedAt, endedAt, why } = status;
  const took = span((endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt));
  const head = `${run}  ${printable(name)}  ${paint(state, runColours[state])}  ${took}  on ${coordinator}\n`;
  const reason = why === null ? '' : `${printable(why)}\n`;
  const rows = status.workers.map((worker) => row(worker, now));
  return `${head}${reason}${table(['PHASE', 'WORKER', 'MACHINE', 'MODEL', 'STATE', 'TIME', 'TRY', ''], rows)}`;
}

function row(worker: WorkerStatus, now: number): Cell[] {
  const { phase, name, machine, model, state, attempt, startedAt, endedAt } = worker;
  const time = startedAt === null ? '-' : span((endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt));
  return [
    phase,
    name,
    machine ?? '-',
    model ?? '-',
    { text: state, colour: workerColours[state] },
    time,
    attempt > 1 ? String(attempt) : '',
    (worker.error ?? worker.lastLine ?? '').slice(0, lineShown),
  ];
}
