import { ProgressLocation, window } from 'vscode';
import { targetOf } from '../command-ids.ts';
import type { Services } from '../services.ts';

/** Starts the headless server on a machine where it was stopped. */
export async function remoteStart({ picker, connection }: Services, argument: unknown): Promise<void> {
  const machine = await picker.machine(targetOf(argument), 'niia: Start the Headless Server');
  if (!machine) return;
  const progress = { location: ProgressLocation.Window, title: `Starting the headless server on ${machine.name}` };
  const { pid, started } = await window.withProgress(progress, () =>
    connection.change('machine.start', {}, { to: machine.id }),
  );
  const how = started ? 'was started' : 'was running already';
  void window.showInformationMessage(`niia: the headless server on ${machine.name} ${how} (pid ${pid}).`);
}
