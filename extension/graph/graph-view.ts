import * as v from 'valibot';
import type { WorkerStatus } from '../../shared/protocol/run-methods.ts';
import { phasesOf, type StepState } from '../runs/run-state.ts';
import { timeOf, workerFacts } from '../runs/run-text.ts';
import type { ShownRun } from '../runs/runs-model.ts';
import type { Layout } from './layout.ts';
import { layoutRun } from './layout.ts';

/** All that the page shows of a run; it draws what it is told, and knows nothing of its own. */
export interface GraphView {
  title: string;
  /** In one line: its state, time and coordinator, or why nothing is told. */
  summary: string;
  state: StepState;
  phases: Array<{ name: string; state: StepState }>;
  workers: GraphWorker[];
  layout: Layout;
}

export interface GraphWorker {
  name: string;
  phase: string;
  state: StepState;
  /** The lines of its box, short enough for it. */
  lines: string[];
  /** What a screen reader says of its box. */
  spoken: string;
  /** Its cells in the table, in the order of its head. */
  cells: string[];
  hasTerminal: boolean;
}

/** What the page says. */
export const pageMessageSchema = v.variant('type', [
  v.object({ type: v.literal('ready') }),
  v.object({ type: v.literal('open'), worker: v.string() }),
]);
export type PageMessage = v.InferOutput<typeof pageMessageSchema>;

export const tableHead = ['Worker', 'Phase', 'State', 'Machine', 'Model', 'Time', 'Attempt', 'Says'] as const;

/** Characters that fit into a line of a box: its name is larger, and has an icon before it. */
const nameLength = 25;
const factsLength = 33;
const saysLength = 200;

export function graphView(run: ShownRun, now: Date): GraphView {
  const phases = run.status === undefined ? [] : phasesOf(run.status);
  const { state, startedAt, endedAt, coordinator, why, untold } = run;
  const facts = [state, timeOf(startedAt, endedAt, now), `coordinated by ${coordinator}`, untold ?? why ?? undefined];
  return {
    title: run.name,
    summary: facts.filter((fact) => fact !== undefined).join(' · '),
    state,
    phases: phases.map(({ name, state }) => ({ name, state })),
    workers: phases.flatMap(({ workers }) => workers.map((worker) => graphWorker(worker, now))),
    layout: layoutRun(phases),
  };
}

function graphWorker(worker: WorkerStatus, now: Date): GraphWorker {
  const { name, phase, state, machine, model, startedAt, endedAt, attempt, session, error, lastLine, needs } = worker;
  const facts = workerFacts(worker, now);
  const hasTerminal = machine !== null && session !== null;
  const after = needs.length === 0 ? undefined : `after ${needs.join(', ')}`;
  const says = error ?? lastLine ?? '';
  return {
    ...{ name, phase, state, hasTerminal },
    lines: [clipped(name, nameLength), state, clipped(facts.join(' · '), factsLength)],
    spoken: [`${name}, phase ${phase}`, state, ...facts, after, error ?? undefined]
      .filter((fact) => fact !== undefined)
      .join(', '),
    cells: [
      name,
      phase,
      state,
      machine ?? '',
      model ?? '',
      startedAt === null ? '' : timeOf(startedAt, endedAt, now),
      attempt > 0 ? String(attempt) : '',
      clipped(says, saysLength),
    ],
  };
}

function clipped(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
}
