import { NiiaError } from '../../../shared/errors.ts';
import type { Driver } from '../../workers/drivers/driver.ts';
import { driverFor } from '../../workers/drivers/drivers.ts';
import type { Session } from '../session.ts';
import { dropAnswer, execTurn } from './exec-turn.ts';
import { SessionPrompts } from './session-prompts.ts';
import { TerminalTurn } from './terminal-turn.ts';

/** The prompts of all sessions of one server, each session's when first asked for. */
export class PromptDesk {
  readonly #machine: string;
  readonly #prompts = new Map<string, Promise<SessionPrompts>>();
  /** Each resolves when its session has ended and all of its prompts are written down. */
  readonly #open = new Set<Promise<void>>();

  constructor(machine: string) {
    this.#machine = machine;
  }

  /** Rejects where the session's journal cannot be read. */
  of(session: Session): Promise<SessionPrompts> {
    let prompts = this.#prompts.get(session.id);
    if (!prompts) {
      prompts = SessionPrompts.load(session, this.#machine, {
        run: async (record, events, signal) => {
          const { id, text } = record;
          if (text === undefined) throw new NiiaError('internal', 'a prompt that is not over without its text');
          const driver = driverOf(session);
          if (driver.name !== 'exec') return await new TerminalTurn(session, driver, text, events, signal).run();
          const command = session.command;
          if (!command) throw new NiiaError('internal', 'a live session without its command');
          return await execTurn(session, command, { id, text }, events, signal);
        },
        forget: (id) => dropAnswer(session, id),
      });
      this.#prompts.set(session.id, prompts);
      const open = this.#whileNeeded(session, prompts).finally(() => this.#open.delete(open));
      this.#open.add(open);
    }
    return prompts;
  }

  /** Resolves when what became of the prompts of ended sessions is written down; for when all have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** What is known of an ended session's prompts is read again when somebody asks. */
  async #whileNeeded(session: Session, prompts: Promise<SessionPrompts>): Promise<void> {
    try {
      const [loaded] = await Promise.all([prompts, session.exited]);
      await loaded.settled();
    } catch {
      // What could not be read may be readable when it is asked for again; whoever asked is told.
    }
    if (this.#prompts.get(session.id) === prompts) this.#prompts.delete(session.id);
  }
}

/** By what the session is, and by what its program turned out to be. */
export function driverOf(session: Session): Driver {
  const explained = session.tracking?.explain();
  const isShell = explained?.setting === 'shell' || explained?.setting === 'command';
  return driverFor(session.meta.worker ?? null, explained?.rulesOf ?? null, isShell);
}
