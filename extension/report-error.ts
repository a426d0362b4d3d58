import { commands, window } from 'vscode';
import { NiiaError } from '../shared/errors.ts';
import { presentError } from './error-messages.ts';
import type { Log } from './log.ts';

/** Shows what went wrong, with buttons for what can be done; logs it in any case. Does not wait for an answer. */
export function reportError(thrown: unknown, doing: string, log: Log): void {
  const { code, message, hint, stack } = NiiaError.from(thrown);
  log.error(
    `${doing}: ${code}: ${message}${hint ? ` (${hint})` : ''}${code === 'internal' && stack ? `\n${stack}` : ''}`,
  );
  const presented = presentError(thrown);
  if (!presented) return;
  const titles = presented.actions.map(({ title }) => title);
  void window.showErrorMessage(presented.message, ...titles).then(async (title) => {
    const action = presented.actions.find((one) => one.title === title);
    if (action) await commands.executeCommand(action.command);
  });
}
