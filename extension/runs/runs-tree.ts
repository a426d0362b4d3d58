import type { Event, ProviderResult, TreeDataProvider } from 'vscode';
import { TreeItemCollapsibleState as Collapsible, EventEmitter, type TreeItem } from 'vscode';
import type { Disposable } from '../emitter.ts';
import { fromRow } from '../tree-item.ts';
import type { RunNode } from './run-nodes.ts';
import { RunNodes } from './run-nodes.ts';
import { isOver } from './run-state.ts';
import type { RunsModel } from './runs-model.ts';

/** The rows of the Runs view. Only what looks different is drawn again. */
export class RunsTree implements TreeDataProvider<RunNode>, Disposable {
  readonly #model: RunsModel;
  /** Told of a run whose workers could not be had. */
  readonly #failed: (error: unknown) => void;
  readonly #nodes = new RunNodes();
  readonly #changed = new EventEmitter<RunNode | undefined>();
  readonly #listening: Disposable;

  readonly onDidChangeTreeData: Event<RunNode | undefined> = this.#changed.event;

  constructor(model: RunsModel, failed: (error: unknown) => void) {
    this.#model = model;
    this.#failed = failed;
    this.#listening = model.onDidChange(() => {
      const changed = this.#nodes.update(model.runs ?? [], new Date());
      if (changed === 'all') this.#changed.fire(undefined);
      else for (const node of changed) this.#changed.fire(node);
    });
  }

  /** The row of a run; undefined where it is not shown. */
  run(id: string): RunNode | undefined {
    return this.#nodes.run(id);
  }

  getChildren(node?: RunNode): RunNode[] {
    if (!node) return [...this.#nodes.roots];
    if (node.kind === 'run') this.#load(node.run);
    return node.children;
  }

  getParent(node: RunNode): ProviderResult<RunNode> {
    return node.parent;
  }

  getTreeItem(node: RunNode): TreeItem {
    switch (node.kind) {
      case 'run': {
        const run = this.#model.run(node.run);
        const item = fromRow(node.row, run && isOver(run) ? Collapsible.Collapsed : Collapsible.Expanded);
        return Object.assign(item, { id: `run:${node.run}` });
      }
      case 'phase':
        return Object.assign(fromRow(node.row, Collapsible.Expanded), { id: `phase:${node.run}:${node.phase}` });
      case 'worker': {
        const item = Object.assign(fromRow(node.row, Collapsible.None), { id: `worker:${node.run}:${node.worker}` });
        if (!node.row.contextValue.endsWith(';session')) return item;
        const command = { command: 'niia.runOpenTerminal', title: 'Open Terminal', arguments: [node] };
        return Object.assign(item, { command });
      }
    }
  }

  dispose(): void {
    this.#listening.dispose();
    this.#changed.dispose();
  }

  /** Of a run that is over, the workers are asked for once somebody looks below it. */
  #load(id: string): void {
    const run = this.#model.run(id);
    if (!run || run.status !== undefined || !isOver(run)) return;
    this.#model.load(id).catch(this.#failed);
  }
}
