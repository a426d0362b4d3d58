import { window, workspace } from 'vscode';
import { NiiaError } from '../../shared/errors.ts';
import type { ParamsOf } from '../../shared/protocol/methods.ts';
import type { MachineInfo } from '../../shared/protocol/shapes.ts';
import { targetOf } from '../command-ids.ts';
import { commandWords } from '../command-words.ts';
import { nameProblem } from '../input-rules.ts';
import type { Services } from '../services.ts';
import type { Showable } from '../terminal/terminals.ts';

export async function newSession(services: Services, argument: unknown): Promise<void> {
  const machine = await services.picker.machine(targetOf(argument), 'niia: New Session');
  if (!machine) return;
  const title = `niia: New Session on ${machine.name}`;
  const line = await window.showInputBox({
    title,
    prompt: "Which command? Empty: the user's shell.",
    placeHolder: 'bash',
    ignoreFocusOut: true,
    validateInput: wordsProblem,
  });
  if (line === undefined) return;
  const name = await window.showInputBox({
    title,
    prompt: 'Which name? Empty: one is given.',
    ignoreFocusOut: true,
    validateInput: (text) => (text === '' ? undefined : nameProblem(text)),
  });
  if (name === undefined) return;
  const argv = commandWords(line);
  services.terminals.show(await startSession(services, machine, { argv, ...(name === '' ? {} : { name }) }));
}

/** Starts a session: on this machine in the folder of the window, elsewhere in the user's home. */
export async function startSession(
  { connection }: Services,
  machine: MachineInfo,
  params: ParamsOf<'session.new'>,
): Promise<Showable> {
  const folder = machine.self ? workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file') : undefined;
  const made = await connection.change(
    'session.new',
    { ...params, ...(folder ? { cwd: folder.uri.fsPath } : {}) },
    { to: machine.id },
  );
  return { machine: machine.id, machineName: machine.name, session: made.session, sessionName: made.name };
}

function wordsProblem(line: string): string | undefined {
  try {
    commandWords(line);
    return undefined;
  } catch (error) {
    return NiiaError.from(error).message;
  }
}
