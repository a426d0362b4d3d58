import type { Event, ProviderResult, TreeDataProvider } from 'vscode';
import { TreeItemCollapsibleState as Collapsible, EventEmitter, ThemeIcon, TreeItem } from 'vscode';
import type { Disposable } from './emitter.ts';
import type { TeamModel } from './team-model.ts';
import { fromRow } from './tree-item.ts';
import type { TreeNode } from './tree-nodes.ts';
import { TreeNodes } from './tree-nodes.ts';

/** The rows of the Machines view. Only what looks different is drawn again. */
export class MachinesTree implements TreeDataProvider<TreeNode>, Disposable {
  readonly #nodes: TreeNodes;
  readonly #changed = new EventEmitter<TreeNode | undefined>();
  readonly #listening: Disposable;

  readonly onDidChangeTreeData: Event<TreeNode | undefined> = this.#changed.event;

  constructor(model: TeamModel) {
    this.#nodes = new TreeNodes(model);
    this.#listening = model.onDidChange(() => {
      const changed = this.#nodes.update(new Date());
      if (changed === 'all') this.#changed.fire(undefined);
      else for (const node of changed) this.#changed.fire(node);
    });
  }

  getChildren(node?: TreeNode): TreeNode[] {
    return node ? this.#nodes.children(node) : this.#nodes.roots;
  }

  getParent(node: TreeNode): ProviderResult<TreeNode> {
    return this.#nodes.parent(node);
  }

  getTreeItem(node: TreeNode): TreeItem {
    switch (node.kind) {
      case 'machine': {
        // With children or without: a row that becomes expandable later would not open by itself.
        const item = fromRow(node.row, Collapsible.Expanded);
        return Object.assign(item, { id: `machine:${node.machine}` });
      }
      case 'session': {
        const item = fromRow(node.row, Collapsible.None);
        const command = { command: 'niia.openTerminal', title: 'Open Terminal', arguments: [node] };
        return Object.assign(item, { id: `session:${node.machine}:${node.session}`, command });
      }
      case 'action': {
        const item = new TreeItem(node.label, Collapsible.None);
        item.id = `action:${node.command}`;
        item.iconPath = new ThemeIcon(node.icon);
        item.contextValue = 'action';
        item.tooltip = node.tooltip;
        item.command = { command: node.command, title: node.label };
        return item;
      }
    }
  }

  dispose(): void {
    this.#listening.dispose();
    this.#changed.dispose();
  }
}
