import type { ExtensionContext, LogOutputChannel, OutputChannel, TreeView } from 'vscode';
import { commands, ProgressLocation, TerminalProfile, window, workspace } from 'vscode';
import type { CommandHandlers } from './command-ids.ts';
import { commandIds, contextKeys } from './command-ids.ts';
import { newSession } from './commands/new-session.ts';
import { openTerminal, profileOptions } from './commands/open-terminal.ts';
import { remoteAsk } from './commands/remote-ask.ts';
import { remoteStart } from './commands/remote-start.ts';
import { runApprove, runCancel, runGraph, runOpenTerminal, runReport, runResume } from './commands/run-actions.ts';
import { check, runConnector } from './commands/run-connector.ts';
import { killSession, renameSession } from './commands/session-actions.ts';
import { invite, join } from './commands/team.ts';
import { DaemonConnection } from './connection.ts';
import { daemonAddress } from './daemon-connection.ts';
import type { Disposable } from './emitter.ts';
import { disposeAll } from './emitter.ts';
import { RunGraphs } from './graph/run-graphs.ts';
import { MachinesTree } from './machines-tree.ts';
import { Picker } from './pick.ts';
import { reportError } from './report-error.ts';
import { ConnectorProblems } from './runs/connector-problems.ts';
import { ReportDocuments } from './runs/report-documents.ts';
import { RunPicker } from './runs/run-picker.ts';
import { RunsModel } from './runs/runs-model.ts';
import { RunsTree } from './runs/runs-tree.ts';
import type { Services } from './services.ts';
import { startNiia } from './start-niia.ts';
import { showStatus } from './status-bar.ts';
import { TeamModel } from './team-model.ts';
import { Terminals } from './terminal/terminals.ts';

/** Builds the extension from its parts; what it returns ends all of them. */
export function compose(context: ExtensionContext): Disposable {
  const disposables: Disposable[] = [];
  const own = <T extends Disposable>(part: T): T => {
    disposables.push(part);
    return part;
  };
  const log = own(window.createOutputChannel('niia', { log: true }));
  const asked = own(window.createOutputChannel('niia: ask'));
  const connection = own(new DaemonConnection(daemonAddress(setting('home')), log));
  const model = own(new TeamModel(connection, log));
  const terminals = own(new Terminals(connection, model, context.workspaceState, log));
  const picker = new Picker(connection, model);
  const runs = own(new RunsModel(connection, model, log));
  const runsView = own(showRuns(runs, log));
  const failed = (doing: string) => (error: unknown) => reportError(error, doing, log);
  const services: Services = {
    ...{ context, connection, model, terminals, picker, log, runs, runPicker: new RunPicker(runs) },
    graphs: own(new RunGraphs(runs, context.extensionUri, failed('showing the graph of a run'))),
    reports: own(new ReportDocuments(connection, runs)),
    problems: own(new ConnectorProblems(check, failed('looking into a connector file'))),
    revealRun: runsView.reveal,
  };

  own(showMachines(model));
  own(showStatus(connection, model));
  own(showContext(connection, runs));
  own(registerCommands(handlersOf(services, asked), log));
  own(offerProfile(services));
  own(
    workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration('niia.home')) connection.moveTo(daemonAddress(setting('home')));
    }),
  );
  connection.start();
  const leaving = new AbortController();
  own({ dispose: () => leaving.abort() });
  terminals.restore(leaving.signal).catch((error: unknown) => {
    if (!leaving.signal.aborted) reportError(error, 'opening the terminals again', log);
  });
  return { dispose: () => disposeAll(disposables) };
}

function setting(name: 'home' | 'command'): string {
  return workspace.getConfiguration('niia').get(name, '');
}

function handlersOf(services: Services, asked: OutputChannel): CommandHandlers {
  const { connection, model, runs, log } = services;
  return {
    'niia.start': () => start(services),
    'niia.refresh': () => {
      connection.retryNow();
      model.refresh();
      runs.refresh();
    },
    'niia.showLog': () => log.show(),
    'niia.invite': () => invite(services),
    'niia.join': () => join(services),
    'niia.openTerminal': (target) => openTerminal(services, target),
    'niia.newSession': (target) => newSession(services, target),
    'niia.renameSession': (target) => renameSession(services, target),
    'niia.killSession': (target) => killSession(services, target),
    'niia.remoteAsk': (target) => remoteAsk(services, asked, target),
    'niia.remoteStart': (target) => remoteStart(services, target),
    'niia.runConnector': (target) => runConnector(services, target),
    'niia.runOpenTerminal': (target) => runOpenTerminal(services, target),
    'niia.runApprove': (target) => runApprove(services, target),
    'niia.runCancel': (target) => runCancel(services, target),
    'niia.runResume': (target) => runResume(services, target),
    'niia.runReport': (target) => runReport(services, target),
    'niia.runGraph': (target) => runGraph(services, target),
  };
}

async function start({ connection, context, log }: Services): Promise<void> {
  const bundled = context.asAbsolutePath('dist/niia.js');
  const { home } = connection.address;
  await window.withProgress({ location: ProgressLocation.Window, title: 'Starting niia' }, async () => {
    await startNiia({ home, command: setting('command'), bundled, log });
    connection.retryNow();
  });
}

/** Every command shows its own failure: nobody else would. */
function registerCommands(handlers: CommandHandlers, log: LogOutputChannel): Disposable {
  const disposables: Disposable[] = commandIds.map((id) =>
    commands.registerCommand(id, async (target: unknown) => {
      try {
        await handlers[id](target);
      } catch (error) {
        reportError(error, id, log);
      }
    }),
  );
  return { dispose: () => disposeAll(disposables) };
}

/** Sessions are watched for while the view can be seen. */
function showMachines(model: TeamModel): Disposable {
  const tree = new MachinesTree(model);
  const view = window.createTreeView('niia.machines', { treeDataProvider: tree, showCollapseAll: true });
  const disposables: Disposable[] = [tree, view, whileVisible(view, () => model.watchSessions())];
  return { dispose: () => disposeAll(disposables) };
}

interface RunsView extends Disposable {
  /** Shows a run in the view, without taking the focus; does nothing where it is not known. */
  reveal(run: string): Promise<void>;
}

/** Runs are watched while the view can be seen. */
function showRuns(runs: RunsModel, log: LogOutputChannel): RunsView {
  const tree = new RunsTree(runs, (error) => reportError(error, 'asking for the workers of a run', log));
  const view = window.createTreeView('niia.runs', { treeDataProvider: tree, showCollapseAll: true });
  const disposables: Disposable[] = [tree, view, whileVisible(view, () => runs.watch())];
  return {
    reveal: async (run) => {
      const node = tree.run(run);
      if (node) await view.reveal(node, { select: true, focus: false, expand: 2 });
    },
    dispose: () => disposeAll(disposables),
  };
}

/** Holds a lease while the view can be seen. */
function whileVisible(view: TreeView<unknown>, take: () => Disposable): Disposable {
  let lease: Disposable | undefined;
  const follow = (visible: boolean): void => {
    if (visible) lease ??= take();
    else {
      lease?.dispose();
      lease = undefined;
    }
  };
  follow(view.visible);
  const listening = view.onDidChangeVisibility(({ visible }) => follow(visible));
  return {
    dispose: () => {
      listening.dispose();
      follow(false);
    },
  };
}

/** Welcome texts and menus choose by them. */
function showContext(connection: DaemonConnection, runs: RunsModel): Disposable {
  const told = new Map<string, string>();
  const tell = (key: string, value: string): void => {
    if (told.get(key) === value) return;
    told.set(key, value);
    void commands.executeCommand('setContext', key, value);
  };
  const tellDaemon = (): void => tell(contextKeys.daemon, connection.state.phase);
  const tellRuns = (): void => tell(contextKeys.runs, !runs.runs ? 'unknown' : runs.runs.length > 0 ? 'some' : 'none');
  tellDaemon();
  tellRuns();
  const disposables = [connection.onDidChange(tellDaemon), runs.onDidChange(tellRuns)];
  return { dispose: () => disposeAll(disposables) };
}

function offerProfile(services: Services): Disposable {
  return window.registerTerminalProfileProvider('niia.remoteWorker', {
    provideTerminalProfile: async () => {
      try {
        const options = await profileOptions(services);
        return options && new TerminalProfile(options);
      } catch (error) {
        reportError(error, 'niia.remoteWorker', services.log);
        return undefined;
      }
    },
  });
}
