import type { QuickPickItem } from 'vscode';
import { QuickPickItemKind, window } from 'vscode';
import { NiiaError } from '../shared/errors.ts';
import type { MachineInfo, SessionInfo } from '../shared/protocol/shapes.ts';
import type { Target } from './command-ids.ts';
import type { DaemonConnection } from './connection.ts';
import { machineRow, sessionRow } from './machine-text.ts';
import type { TeamModel } from './team-model.ts';

/** A machine, and one of its sessions or a new one. */
export interface Choice {
  machine: MachineInfo;
  session: SessionInfo | undefined;
}

const patienceMs = 5_000;

/** Finds what a command is about: from what came with it, else by asking. */
export class Picker {
  readonly #connection: DaemonConnection;
  readonly #model: TeamModel;

  constructor(connection: DaemonConnection, model: TeamModel) {
    this.#connection = connection;
    this.#model = model;
  }

  /** The machine named by the target; else the only one that is online, else the one chosen; undefined: none was. */
  async machine(target: Target, title: string): Promise<MachineInfo | undefined> {
    const machines = await this.#machines();
    if (target.machine !== undefined) return this.#named(machines, target.machine);
    const online = machines.filter((machine) => machine.online);
    if (online.length === 1) return online[0];
    const items = online.map((machine) => machineItem(machine));
    return (await window.showQuickPick(items, { title, placeHolder: 'On which machine?', matchOnDescription: true }))
      ?.machine;
  }

  /** The session named by the target; else one that is chosen among all that live, or a new one. */
  async sessionOrNew(title: string): Promise<Choice | undefined> {
    const machines = (await this.#machines()).filter(({ online }) => online);
    const lists = await Promise.all(machines.map((machine) => this.sessions(machine).catch(() => [])));
    const items = machines.flatMap((machine, at) => choices(machine, lists[at] ?? []));
    return (await window.showQuickPick(items, { title, placeHolder: 'Which session?', matchOnDescription: true }))
      ?.choice;
  }

  /** One live session of a machine or of all, by the target or by asking. */
  async session(target: Target, title: string): Promise<(Choice & { session: SessionInfo }) | undefined> {
    const all = await this.#machines();
    const machines =
      target.machine === undefined ? all.filter(({ online }) => online) : [this.#named(all, target.machine)];
    const lists = await Promise.all(machines.map((machine) => this.sessions(machine)));
    const { session: wanted } = target;
    const found = machines.flatMap((machine, at) =>
      (lists[at] ?? [])
        .filter(({ id, name, state }) => (wanted === undefined ? state !== 'exited' : id === wanted || name === wanted))
        .map((session) => ({ machine, session })),
    );
    if (found.length === 0) {
      throw new NiiaError('no_such_session', wanted ? `there is no session ${wanted}` : 'no session is running');
    }
    if (wanted !== undefined) return found.find(({ session }) => session.id === wanted) ?? found[0];
    const items = found.map((choice) => ({ ...sessionItem(choice.machine, choice.session), choice }));
    return (await window.showQuickPick(items, { title, placeHolder: 'Which session?', matchOnDescription: true }))
      ?.choice;
  }

  /** What the machine has now. */
  async sessions(machine: MachineInfo): Promise<readonly SessionInfo[]> {
    const { sessions } = await this.#connection.ask('session.list', {}, { to: machine.id, deadlineMs: patienceMs });
    return sessions;
  }

  async #machines(): Promise<readonly MachineInfo[]> {
    if (this.#connection.peer && this.#model.machines) return this.#model.machines;
    return (await this.#connection.ask('machine.list', {})).machines;
  }

  #named(machines: readonly MachineInfo[], wanted: string): MachineInfo {
    const found = machines.find(({ id, name }) => id === wanted || name === wanted);
    if (found) return found;
    const names = machines.map(({ name }) => name).join(', ');
    throw new NiiaError('no_such_machine', `the team has no machine "${wanted}"`, `Its machines: ${names}`);
  }
}

function machineItem(machine: MachineInfo): QuickPickItem & { machine: MachineInfo } {
  const { icon, description } = machineRow(machine, new Date());
  return { label: `$(${icon}) ${machine.name}`, description, machine };
}

function sessionItem(machine: MachineInfo, session: SessionInfo): QuickPickItem {
  const { icon, description } = sessionRow(session, machine.name, new Date());
  return { label: `$(${icon}) ${session.name}`, description: `${machine.name} · ${description}` };
}

function choices(machine: MachineInfo, sessions: readonly SessionInfo[]) {
  const none: Choice | undefined = undefined;
  return [
    { label: machine.name, kind: QuickPickItemKind.Separator, choice: none },
    ...sessions
      .filter(({ state }) => state !== 'exited')
      .map((session) => ({ ...sessionItem(machine, session), choice: { machine, session } })),
    { label: `$(add) New session on ${machine.name}`, choice: { machine, session: undefined } },
  ];
}
