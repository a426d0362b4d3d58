import type { TreeItemCollapsibleState } from 'vscode';
import { MarkdownString, ThemeColor, ThemeIcon, TreeItem } from 'vscode';
import type { RowView } from './machine-text.ts';

/** A row as the editor has it. */
export function fromRow(row: RowView, state: TreeItemCollapsibleState): TreeItem {
  const item = new TreeItem(row.label, state);
  item.description = row.description;
  item.iconPath = new ThemeIcon(row.icon, row.color === undefined ? undefined : new ThemeColor(row.color));
  item.tooltip = new MarkdownString(row.tooltip);
  item.contextValue = row.contextValue;
  item.accessibilityInformation = { label: row.spoken };
  return item;
}
