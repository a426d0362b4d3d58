import type { Target } from '../command-ids.ts';
import type { RowView } from '../machine-text.ts';
import { phasesOf } from './run-state.ts';
import { phaseRow, runRow, workerRow } from './run-text.ts';
import type { ShownRun } from './runs-model.ts';

/** What stands in a row. The same run, phase or worker is the same object for as long as it is shown. */
export type RunNode = RunRow | PhaseRow | WorkerRow;

interface Row {
  row: RowView;
  /** What there is below it, in order. */
  children: RunNode[];
  readonly parent: RunNode | undefined;
}

export interface RunRow extends Row, Required<Pick<Target, 'run'>> {
  readonly kind: 'run';
}

export interface PhaseRow extends Row, Required<Pick<Target, 'run'>> {
  readonly kind: 'phase';
  readonly phase: string;
}

export interface WorkerRow extends Row, Required<Pick<Target, 'run' | 'worker'>> {
  readonly kind: 'worker';
}

/** The rows of the Runs view as a tree; says which of them look different. */
export class RunNodes {
  #roots: RunNode[] = [];

  get roots(): readonly RunNode[] {
    return this.#roots;
  }

  /** The row of a run. */
  run(id: string): RunNode | undefined {
    return this.#roots.find(({ run }) => run === id);
  }

  /** Takes in the runs as they are now; returns the rows that must be drawn again with all below them. */
  update(runs: readonly ShownRun[], now: Date): RunNode[] | 'all' {
    const changed: RunNode[] = [];
    const before = this.#roots;
    this.#roots = runs.map((run) => {
      const node = this.run(run.run) ?? rowOf({ kind: 'run', run: run.run, parent: undefined }, runRow(run, now));
      const below = run.status === undefined ? [] : phasesOf(run.status);
      const phases = below.map((phase): [RunNode, RunNode[], boolean] => {
        const own =
          node.children.find((child) => child.kind === 'phase' && child.phase === phase.name) ??
          rowOf({ kind: 'phase', run: run.run, phase: phase.name, parent: node }, phaseRow(phase));
        const redrawn: RunNode[] = [];
        const workers = phase.workers.map((worker) => {
          const known = own.children.find((child) => child.kind === 'worker' && child.worker === worker.name);
          const view = workerRow(worker, now);
          if (!known) return rowOf({ kind: 'worker', run: run.run, worker: worker.name, parent: own }, view);
          if (looksNew(known, view)) redrawn.push(known);
          return known;
        });
        return [own, redrawn, looksNew(own, phaseRow(phase)) || moved(own, workers)];
      });
      const itself =
        looksNew(node, runRow(run, now)) ||
        moved(
          node,
          phases.map(([phase]) => phase),
        );
      if (itself) changed.push(node);
      else for (const [phase, redrawn, isNew] of phases) changed.push(...(isNew ? [phase] : redrawn));
      return node;
    });
    return isSame(before, this.#roots) ? changed : 'all';
  }
}

type Bare<N extends RunNode> = Omit<N, 'row' | 'children'>;

function rowOf(node: Bare<RunRow> | Bare<PhaseRow> | Bare<WorkerRow>, row: RowView): RunNode {
  return { ...node, row, children: [] };
}

/** Gives the row its present looks; whether they are others than before. */
function looksNew(node: RunNode, row: RowView): boolean {
  const same = JSON.stringify(node.row) === JSON.stringify(row);
  node.row = row;
  return !same;
}

/** Gives the row its present children; whether they are others than before. */
function moved(node: RunNode, children: RunNode[]): boolean {
  const same = isSame(node.children, children);
  node.children = children;
  return !same;
}

function isSame(before: readonly RunNode[], after: readonly RunNode[]): boolean {
  return before.length === after.length && before.every((node, at) => node === after[at]);
}
