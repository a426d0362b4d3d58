import type { OutputRule } from '../../../shared/connector/definition.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey } from '../../../shared/protocol/attempt-methods.ts';
import type { Log } from '../../home/log.ts';
import { quotaLine } from '../../workers/quota.ts';
import { abortable, pause } from './abortable.ts';
import { AttemptFailure, told } from './failure.ts';
import { promptIdOf } from './record.ts';
import type { SessionWaits } from './session-waits.ts';
import { retryMs } from './session-waits.ts';
import type { WorkerSessions } from './worker-sessions.ts';

/** Lines of the screen in which a refusal of the model is looked for. */
const looked = 40;

export interface TurnOptions {
  sessions: WorkerSessions;
  waits: SessionWaits;
  key: AttemptKey;
  driver: string;
  output: OutputRule;
  log: Log;
}

/** The one turn of an attempt: its prompt is handed over, however often it is asked for, once. */
export class Turn {
  readonly #o: TurnOptions;

  constructor(options: TurnOptions) {
    this.#o = options;
  }

  /** The answer; empty where the output is a file. `seen` is told of each state of the prompt. Throws why it came to nothing. */
  async run(
    session: string,
    text: Uint8Array,
    seen: (state: string) => void,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { sessions, output, key } = this.#o;
    const prompt = { session, id: promptIdOf(key), text };
    for (;;) {
      try {
        if (output.file === null) return await abortable(sessions.answer(prompt, output.maxBytes, seen), signal);
        await abortable(sessions.prompt(prompt, seen), signal);
        return new Uint8Array();
      } catch (error) {
        signal.throwIfAborted();
        await this.#afterBreak(session, NiiaError.from(error), signal);
      }
    }
  }

  /** Returns where the same prompt is to be asked for again; else throws why the attempt has failed. */
  async #afterBreak(session: string, error: NiiaError, signal: AbortSignal): Promise<void> {
    const { waits, key, log } = this.#o;
    const info = await waits.find(session, signal);
    const ended = info.state === 'exited';
    if (error.code === 'needs_approval' || error.code === 'failed') await this.#refuseQuota(session, error);
    switch (error.code) {
      case 'needs_approval':
        // A person answers it; meanwhile it waits.
        await waits.until(session, signal, ({ state }) => state !== 'blocked');
        return;
      case 'outcome_unknown':
        throw new AttemptFailure(ended ? 'crash' : 'outcome_unknown', told(error));
      case 'too_large':
        throw new AttemptFailure('output_invalid', error.message);
      case 'failed': {
        if (ended) throw new AttemptFailure('crash', `its program ended in mid-work: ${info.evidence}`);
        const answered = await this.#finished(session);
        throw new AttemptFailure(answered ? 'output_invalid' : 'failed', told(error));
      }
      case 'usage':
      case 'bad_request':
      case 'denied':
      case 'unknown_method':
        throw new AttemptFailure('failed', told(error));
      default:
        if (ended) throw new AttemptFailure('crash', `its program ended in mid-work: ${info.evidence}`);
        log.debug('a prompt is asked for again', { ...key, error });
        await pause(retryMs, signal);
    }
  }

  /** Whether the turn itself came to its end. */
  async #finished(session: string): Promise<boolean> {
    return await this.#o.sessions.receipt(session, promptIdOf(this.#o.key)).then(
      (state) => state === 'finished',
      () => false,
    );
  }

  /** Throws where the worker says that its model refuses more work for now. */
  async #refuseQuota(session: string, error: NiiaError): Promise<void> {
    const lines = await this.#o.sessions.lines(session, looked).catch(() => []);
    const line = quotaLine(this.#o.driver, lines, error.message);
    if (line !== undefined) throw new AttemptFailure('quota', line);
  }
}
