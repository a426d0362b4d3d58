import { NiiaError } from '../../../shared/errors.ts';
import type { Driver } from '../../workers/drivers/driver.ts';
import { driverFor } from '../../workers/drivers/drivers.ts';
import type { Session } from '../session.ts';
import { execTurn } from './exec-turn.ts';
import { SessionPrompts } from './session-prompts.ts';
import { TerminalTurn } from './terminal-turn.ts';

/** The prompts of all sessions of one server, each session's when first asked for. */
export class PromptDesk {
  readonly #machine: string;
  readonly #prompts = new Map<string, Promise<SessionPrompts>>();

  constructor(machine: string) {
    this.#machine = machine;
  }

  /** Rejects where the session's journal cannot be read. */
  of(session: Session): Promise<SessionPrompts> {
    let prompts = this.#prompts.get(session.id);
    if (!prompts) {
      prompts = SessionPrompts.load(session, this.#machine, (record, events, signal) => {
        const driver = driverOf(session);
        if (driver.name !== 'exec') return new TerminalTurn(session, driver, record.text, events, signal).run();
        const command = session.command;
        if (!command) throw new NiiaError('internal', 'a live session without its command');
        return execTurn(session, command, record, events, signal);
      });
      // What could not be read may be readable when it is asked for again.
      prompts.catch(() => this.#prompts.delete(session.id));
      this.#prompts.set(session.id, prompts);
    }
    return prompts;
  }
}

/** By what the session is, and by what its program turned out to be. */
export function driverOf(session: Session): Driver {
  const explained = session.tracking?.explain();
  const isShell = explained?.setting === 'shell' || explained?.setting === 'command';
  return driverFor(session.meta.worker ?? null, explained?.rulesOf ?? null, isShell);
}
