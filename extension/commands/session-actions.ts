import { window } from 'vscode';
import { targetOf } from '../command-ids.ts';
import { nameProblem } from '../input-rules.ts';
import type { Services } from '../services.ts';

/** Ends a session's processes, once that was confirmed. */
export async function killSession({ picker, connection }: Services, argument: unknown): Promise<void> {
  const choice = await picker.session(targetOf(argument), 'niia: Kill Session');
  if (!choice) return;
  const { machine, session } = choice;
  const kill = 'Kill';
  const answer = await window.showWarningMessage(
    `Kill the session ${session.name} on ${machine.name}?`,
    {
      modal: true,
      detail: `Its processes end: ${session.command} (pid ${session.pid}). What it wrote can still be read.`,
    },
    kill,
  );
  if (answer === kill) await connection.change('session.kill', { session: session.id }, { to: machine.id });
}

export async function renameSession({ picker, connection }: Services, argument: unknown): Promise<void> {
  const choice = await picker.session(targetOf(argument), 'niia: Rename Session');
  if (!choice) return;
  const { machine, session } = choice;
  const name = await window.showInputBox({
    title: `niia: Rename ${session.name} on ${machine.name}`,
    prompt: 'Which name?',
    value: session.name,
    validateInput: nameProblem,
  });
  if (name === undefined || name === session.name) return;
  await connection.change('session.rename', { session: session.id, name }, { to: machine.id });
}
