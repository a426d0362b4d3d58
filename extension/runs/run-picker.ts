import { window } from 'vscode';
import { NiiaError } from '../../shared/errors.ts';
import type { RunStatus, WorkerStatus } from '../../shared/protocol/run-methods.ts';
import type { Target } from '../command-ids.ts';
import { runRow, workerRow } from './run-text.ts';
import type { RunsModel, ShownRun } from './runs-model.ts';

/** Finds which run and which worker a command is about: from what came with it, else by asking. */
export class RunPicker {
  readonly #model: RunsModel;

  constructor(model: RunsModel) {
    this.#model = model;
  }

  /** The run named by the target; else the only one `such`, else the one chosen; undefined: none was. */
  async run(target: Target, title: string, such: RunsSuch): Promise<ShownRun | undefined> {
    if (target.run !== undefined) {
      const known = this.#model.run(target.run) ?? (await this.#model.look()).find(({ run }) => run === target.run);
      if (known) return known;
      throw new NiiaError('no_such_run', `there is no run ${target.run}`);
    }
    const runs = (await this.#model.look()).filter(such.is);
    if (runs.length === 0) throw new NiiaError('no_such_run', such.none);
    if (runs.length === 1) return runs[0];
    const now = new Date();
    const items = runs.map((run) => {
      const { icon, description } = runRow(run, now);
      return { label: `$(${icon}) ${run.name}`, description, detail: run.run, run };
    });
    return (await window.showQuickPick(items, { title, placeHolder: 'Which run?', matchOnDescription: true }))?.run;
  }

  /** The worker named by the target; else the only one `such` of the run, else the one chosen; undefined: none was. */
  async worker(
    run: ShownRun,
    target: Target,
    title: string,
    such: { is: (worker: WorkerStatus) => boolean; none: string },
  ): Promise<WorkerStatus | undefined> {
    const { workers } = await this.status(run);
    if (target.worker !== undefined) {
      const named = workers.find(({ name }) => name === target.worker);
      if (!named) throw new NiiaError('usage', `${run.name} has no worker ${target.worker}`);
      if (!such.is(named)) throw new NiiaError('fenced', such.none);
      return named;
    }
    const found = workers.filter(such.is);
    if (found.length === 0) throw new NiiaError('fenced', such.none);
    if (found.length === 1) return found[0];
    const now = new Date();
    const items = found.map((worker) => {
      const { icon, description } = workerRow(worker, now);
      return { label: `$(${icon}) ${worker.name}`, description, worker };
    });
    return (await window.showQuickPick(items, { title, placeHolder: 'Which worker?', matchOnDescription: true }))
      ?.worker;
  }

  /** As it was told last, where it is told; else as it is now. */
  async status(run: ShownRun): Promise<RunStatus> {
    return run.status ?? (await this.#model.load(run.run));
  }
}

interface RunsSuch {
  is: (run: ShownRun) => boolean;
  /** What is said where there is none. */
  none: string;
}
