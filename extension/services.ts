import type { ExtensionContext, LogOutputChannel } from 'vscode';
import type { DaemonConnection } from './connection.ts';
import type { Picker } from './pick.ts';
import type { TeamModel } from './team-model.ts';
import type { Terminals } from './terminal/terminals.ts';

/** What commands work with. */
export interface Services {
  context: ExtensionContext;
  connection: DaemonConnection;
  model: TeamModel;
  terminals: Terminals;
  picker: Picker;
  log: LogOutputChannel;
}
