import type { ExtensionContext, LogOutputChannel, OutputChannel } from 'vscode';
import { commands, ProgressLocation, TerminalProfile, window, workspace } from 'vscode';
import type { CommandHandlers } from './command-ids.ts';
import { commandIds, contextKeys } from './command-ids.ts';
import { newSession } from './commands/new-session.ts';
import { openTerminal, profileOptions } from './commands/open-terminal.ts';
import { remoteAsk } from './commands/remote-ask.ts';
import { remoteStart } from './commands/remote-start.ts';
import { killSession, renameSession } from './commands/session-actions.ts';
import { invite, join } from './commands/team.ts';
import { DaemonConnection } from './connection.ts';
import { daemonAddress } from './daemon-connection.ts';
import type { Disposable } from './emitter.ts';
import { disposeAll } from './emitter.ts';
import { MachinesTree } from './machines-tree.ts';
import { Picker } from './pick.ts';
import { reportError } from './report-error.ts';
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
  const services: Services = { context, connection, model, terminals, picker, log };

  own(showMachines(model));
  own(showStatus(connection, model));
  own(showContext(connection));
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
  const { connection, model, log } = services;
  return {
    'niia.start': () => start(services),
    'niia.refresh': () => {
      connection.retryNow();
      model.refresh();
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
  let lease: Disposable | undefined;
  const follow = (visible: boolean): void => {
    if (visible) lease ??= model.watchSessions();
    else {
      lease?.dispose();
      lease = undefined;
    }
  };
  follow(view.visible);
  const disposables: Disposable[] = [tree, view, view.onDidChangeVisibility(({ visible }) => follow(visible))];
  disposables.push({ dispose: () => follow(false) });
  return { dispose: () => disposeAll(disposables) };
}

/** Welcome texts and menus choose by it. */
function showContext(connection: DaemonConnection): Disposable {
  const tell = (): void => void commands.executeCommand('setContext', contextKeys.daemon, connection.state.phase);
  tell();
  return connection.onDidChange(tell);
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
