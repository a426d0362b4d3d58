import type { ExtensionContext, LogOutputChannel } from 'vscode';
import type { DaemonConnection } from './connection.ts';
import type { RunGraphs } from './graph/run-graphs.ts';
import type { Picker } from './pick.ts';
import type { ConnectorProblems } from './runs/connector-problems.ts';
import type { ReportDocuments } from './runs/report-documents.ts';
import type { RunPicker } from './runs/run-picker.ts';
import type { RunsModel } from './runs/runs-model.ts';
import type { TeamModel } from './team-model.ts';
import type { Terminals } from './terminal/terminals.ts';

/** What commands work with. */
export interface Services {
  context: ExtensionContext;
  connection: DaemonConnection;
  model: TeamModel;
  terminals: Terminals;
  picker: Picker;
  runs: RunsModel;
  runPicker: RunPicker;
  graphs: RunGraphs;
  reports: ReportDocuments;
  problems: ConnectorProblems;
  /** Shows a run in its view, without taking the focus. */
  revealRun: (run: string) => Promise<void>;
  log: LogOutputChannel;
}
