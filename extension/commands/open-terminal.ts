import type { ExtensionTerminalOptions } from 'vscode';
import type { MachineInfo, SessionInfo } from '../../shared/protocol/shapes.ts';
import { targetOf } from '../command-ids.ts';
import type { Choice } from '../pick.ts';
import type { Services } from '../services.ts';
import type { Showable } from '../terminal/terminals.ts';
import { startSession } from './new-session.ts';

const title = "niia: Open a Remote Worker's Terminal";
/** As everywhere: what is meant where a machine is named and no session is. */
const mainName = 'main';

/** Shows a session: the one that was pointed at; the obvious one of the machine that was; else one that is chosen. */
export async function openTerminal(services: Services, argument: unknown): Promise<void> {
  const target = targetOf(argument);
  const choice =
    target.session === undefined && target.machine === undefined
      ? await services.picker.sessionOrNew(title)
      : target.session === undefined
        ? await onMachine(services, target.machine ?? '')
        : await services.picker.session(target, title);
  if (choice) services.terminals.show(await toShow(services, choice));
}

/** For the terminal profile; undefined where none was chosen. */
export async function profileOptions(services: Services): Promise<ExtensionTerminalOptions | undefined> {
  const choice = await services.picker.sessionOrNew(title);
  return choice && services.terminals.options(await toShow(services, choice));
}

/** The session named `main`; else the only one; else a new one; where there are several, the one that is chosen. */
async function onMachine({ picker }: Services, name: string): Promise<Choice | undefined> {
  const machine = await picker.machine({ machine: name }, title);
  if (!machine) return undefined;
  const live = (await picker.sessions(machine)).filter(({ state }) => state !== 'exited');
  const obvious = live.find((session) => session.name === mainName) ?? (live.length === 1 ? live[0] : undefined);
  if (obvious || live.length === 0) return { machine, session: obvious };
  return await picker.session({ machine: machine.id }, title);
}

async function toShow(services: Services, { machine, session }: Choice): Promise<Showable> {
  if (session) return showable(machine, session);
  const live = await services.picker.sessions(machine);
  const name = live.some((one) => one.name === mainName && one.state !== 'exited') ? {} : { name: mainName };
  return await startSession(services, machine, name);
}

function showable(machine: MachineInfo, session: SessionInfo): Showable {
  const { id, name, cols, rows, state } = session;
  return {
    ...{ machine: machine.id, machineName: machine.name, session: id, sessionName: name },
    ...{ size: { cols, rows }, ended: state === 'exited' },
  };
}
