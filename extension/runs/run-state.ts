import type { RunInfo, RunStatus, WorkerStatus } from '../../shared/protocol/run-methods.ts';

/** Of a worker; those of a phase and of a run are among them. */
export type StepState = WorkerStatus['state'];

export interface Phase {
  name: string;
  state: StepState;
  workers: WorkerStatus[];
}

/** What is told of the whole where it is true of any of its workers, the most pressing first. */
const pressing: readonly StepState[] = ['failed', 'blocked', 'paused', 'lost', 'running', 'granted'];

/** A run's phases, in order, each with its workers. */
export function phasesOf({ workers }: Pick<RunStatus, 'workers'>): Phase[] {
  const phases = new Map<string, WorkerStatus[]>();
  for (const worker of workers) {
    const known = phases.get(worker.phase);
    if (known) known.push(worker);
    else phases.set(worker.phase, [worker]);
  }
  return [...phases].map(([name, own]) => ({ name, state: stateOf(own.map(({ state }) => state)), workers: own }));
}

function stateOf(states: readonly StepState[]): StepState {
  const most = pressing.find((state) => states.includes(state));
  if (most !== undefined) return most;
  const [first = 'waiting'] = states;
  if (states.every((state) => state === first)) return first;
  if (states.includes('cancelled')) return 'cancelled';
  // Some have succeeded, and the others have their turn yet.
  return 'running';
}

/** Whether nothing more happens to it. One that was cancelled goes on until its workers have ended. */
export function isOver({ endedAt }: Pick<RunInfo, 'endedAt'>): boolean {
  return endedAt !== null;
}

/** Whether the worker waits for a person: for an answer, or for a decision. */
export function waitsForPerson({ state }: Pick<WorkerStatus, 'state'>): boolean {
  return state === 'blocked' || state === 'paused';
}
