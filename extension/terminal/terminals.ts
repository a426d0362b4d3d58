import type { ExtensionTerminalOptions, Memento, Terminal } from 'vscode';
import { TerminalExitReason, ThemeIcon, window } from 'vscode';
import type { SessionInfo, Size } from '../../shared/protocol/shapes.ts';
import type { DaemonConnection } from '../connection.ts';
import type { Disposable } from '../emitter.ts';
import { disposeAll } from '../emitter.ts';
import type { Log } from '../log.ts';
import type { TeamModel } from '../team-model.ts';
import type { OpenSession } from './open-sessions.ts';
import { OpenSessions } from './open-sessions.ts';
import { RemoteTerminal } from './remote-terminal.ts';

/** A session to show, as far as it is known. */
export interface Showable {
  /** Machine id and name. */
  machine: string;
  machineName: string;
  session: string;
  sessionName: string;
  size?: Size;
  ended?: boolean;
}

const defaultSize: Size = { cols: 80, rows: 24 };

/** The terminals of this window that show sessions; those that are open when the window reloads come back. */
export class Terminals implements Disposable {
  readonly #connection: DaemonConnection;
  readonly #model: TeamModel;
  readonly #log: Log;
  readonly #open: OpenSessions;
  readonly #terminals = new Map<
    RemoteTerminal,
    { lease: Disposable; terminal: Terminal | undefined; online: boolean }
  >();
  readonly #disposables: Disposable[] = [];

  constructor(connection: DaemonConnection, model: TeamModel, state: Memento, log: Log) {
    this.#connection = connection;
    this.#model = model;
    this.#log = log;
    this.#open = new OpenSessions(state);
    this.#disposables.push(
      model.onDidChange(() => this.#follow()),
      window.onDidOpenTerminal((terminal) => this.#opened(terminal)),
      window.onDidCloseTerminal((terminal) => this.#closed(terminal)),
    );
  }

  /** Shows the session: in the terminal that shows it already, else in a new one. */
  show(what: Showable): void {
    for (const [pty, { terminal }] of this.#terminals) {
      if (!terminal || pty.machine !== what.machine || pty.session !== what.session) continue;
      terminal.show();
      return;
    }
    window.createTerminal(this.options(what)).show();
  }

  /** What the editor makes a terminal of. */
  options(what: Showable, restored = false): ExtensionTerminalOptions {
    const { machine, machineName, session, sessionName, size = defaultSize, ended: hold = false } = what;
    const pty = new RemoteTerminal({
      connected: (signal) => this.#connection.whenConnected(signal),
      ...{ machine, machineName, session, sessionName, size, hold, restored, log: this.#log },
    });
    const online = this.#model.machine(machine)?.online ?? false;
    this.#terminals.set(pty, { lease: this.#model.watchSessions(machine), terminal: undefined, online });
    return { name: pty.name, pty, iconPath: new ThemeIcon('vm'), isTransient: true };
  }

  /** Opens again what was open when the window was left. Waits for the daemon, and for nothing else. */
  async restore(signal: AbortSignal): Promise<void> {
    const left = this.#open.all();
    if (left.length === 0) return;
    const lease = this.#model.watchMachines();
    try {
      await this.#model.known(signal);
      for (const one of left) this.#reopen(one);
    } finally {
      lease.dispose();
    }
  }

  dispose(): void {
    disposeAll(this.#disposables);
    for (const [pty, { lease }] of this.#terminals) {
      lease.dispose();
      pty.dispose();
    }
    this.#terminals.clear();
  }

  #reopen({ machine, machineName, session, sessionName }: OpenSession): void {
    const known = this.#model.machine(machine);
    if (!known) {
      this.#log.info(`${sessionName} is not opened again: ${machineName} is no longer in the team`);
      this.#open.remove(machine, session);
      return;
    }
    window.createTerminal(this.options({ machine, machineName: known.name, session, sessionName }, true));
  }

  #opened(terminal: Terminal): void {
    const pty = this.#ours(terminal);
    const entry = pty && this.#terminals.get(pty);
    if (!pty || !entry) return;
    entry.terminal = terminal;
    this.#remember(pty);
  }

  #closed(terminal: Terminal): void {
    const pty = this.#ours(terminal);
    const entry = pty && this.#terminals.get(pty);
    if (!pty || !entry) return;
    this.#terminals.delete(pty);
    entry.lease.dispose();
    pty.dispose();
    // A window that reloads closes its terminals as well; those are wanted again.
    if (terminal.exitStatus?.reason !== TerminalExitReason.Shutdown) this.#open.remove(pty.machine, pty.session);
  }

  #remember({ machine, machineName, session, sessionName }: RemoteTerminal): void {
    this.#open.add({ machine, machineName, session, sessionName });
  }

  #ours(terminal: Terminal): RemoteTerminal | undefined {
    const options = terminal.creationOptions;
    return 'pty' in options && options.pty instanceof RemoteTerminal ? options.pty : undefined;
  }

  #session({ machine, session }: RemoteTerminal): SessionInfo | undefined {
    return this.#model.sessions(machine)?.find(({ id }) => id === session);
  }

  /** Names follow what the machines tell, and a machine that came back is asked at once. */
  #follow(): void {
    for (const [pty, entry] of this.#terminals) {
      const name = this.#session(pty)?.name;
      if (name !== undefined && name !== pty.sessionName) {
        pty.renamed(name);
        if (entry.terminal) this.#remember(pty);
      }
      const online = this.#model.machine(pty.machine)?.online ?? false;
      if (online && !entry.online) pty.wake();
      entry.online = online;
    }
  }
}
