import { StatusBarAlignment, window } from 'vscode';
import type { DaemonConnection } from './connection.ts';
import type { Disposable } from './emitter.ts';
import { disposeAll } from './emitter.ts';
import { statusText } from './status-text.ts';
import type { TeamModel } from './team-model.ts';

/** How many machines are online, at the window's lower edge. */
export function showStatus(connection: DaemonConnection, model: TeamModel): Disposable {
  const item = window.createStatusBarItem('machines', StatusBarAlignment.Left, 0);
  item.name = 'niia: Machines';
  item.command = 'niia.machines.focus';
  const update = (): void => {
    const { text, tooltip } = statusText(connection.state, model.machines);
    item.text = text;
    item.tooltip = tooltip;
    item.accessibilityInformation = { label: tooltip };
  };
  const disposables: Disposable[] = [
    item,
    model.watchMachines(),
    model.onDidChange(update),
    connection.onDidChange(update),
  ];
  update();
  item.show();
  return { dispose: () => disposeAll(disposables) };
}
