import { NiiaError } from '../../../shared/errors.ts';
import type { Driver } from '../../workers/drivers/driver.ts';
import type { PromptView, Step } from '../../workers/prompt/prompt-steps.ts';
import { PromptSteps } from '../../workers/prompt/prompt-steps.ts';
import { typedBytes } from '../../workers/prompt/prompt-text.ts';
import type { Session } from '../session.ts';

/** However much is drawn, the screen is looked at this seldom. */
const betweenLooksMs = 25;

/** What a turn tells while it goes on; resolves before the turn goes on. */
export interface TurnEvents {
  /** Before the first byte. */
  typing(): Promise<void>;
  typed(): Promise<void>;
  submitted(): Promise<void>;
  waits(forWhat: string | null): void;
}

export type TurnEnd = { is: 'finished'; answerBytes?: number } | { is: 'unknown' | 'failed'; why: string };

/** One prompt typed into a session's terminal, from the wait for its turn to the end of the worker's. */
export class TerminalTurn {
  readonly #session: Session;
  readonly #driver: Driver;
  readonly #text: string;
  readonly #events: TurnEvents;
  readonly #steps: PromptSteps;
  readonly #signal: AbortSignal;
  #terminal: ReturnType<Session['takeOver']> | undefined;
  #enteredOffset: number | undefined;
  #newLine = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #state: { state: PromptView['state']; at: number };

  /** `signal` is obeyed while nothing is typed. */
  constructor(session: Session, driver: Driver, text: string, events: TurnEvents, signal: AbortSignal) {
    this.#session = session;
    this.#driver = driver;
    this.#text = text;
    this.#events = events;
    this.#signal = signal;
    this.#steps = new PromptSteps(driver.submit, text, driver.name === 'generic');
    this.#state = { state: session.state().state, at: session.now };
  }

  /** Rejects with the signal's reason where that came before the first byte. */
  async run(): Promise<TurnEnd> {
    const changes = new Changes(this.#session);
    try {
      for (;;) {
        await this.#active();
        const step = this.#steps.next(await this.#view());
        if (step.do === 'wait') {
          this.#events.waits(step.waitsFor);
          await changes.next(
            step.until === undefined ? undefined : step.until - this.#session.now,
            this.#enteredOffset === undefined && !this.#terminal ? this.#signal : undefined,
          );
          continue;
        }
        const end = await this.#carryOut(step);
        if (end) return end;
      }
    } finally {
      changes.close();
      this.#terminal?.release();
    }
  }

  async #carryOut(step: Exclude<Step, { do: 'wait' }>): Promise<TurnEnd | undefined> {
    switch (step.do) {
      case 'type':
        return await this.#type();
      case 'enter': {
        this.#enteredOffset ??= this.#session.log.end;
        const enter = Buffer.from(this.#driver.submit.enter);
        if (this.#terminal) this.#terminal.type(enter);
        else this.#once(enter);
        this.#terminal?.release();
        this.#terminal = undefined;
        return undefined;
      }
      case 'submitted':
        await this.#events.submitted();
        return undefined;
      case 'finish':
        return { is: 'finished' };
      case 'fail':
        return { is: step.outcome, why: step.why };
    }
  }

  /** While the session is frozen nothing goes on: what is typed into it would count once it is thawed. */
  async #active(): Promise<void> {
    const typed = this.#enteredOffset !== undefined || this.#terminal !== undefined;
    await this.#session.lease.active(typed ? undefined : this.#signal);
  }

  async #type(): Promise<TurnEnd | undefined> {
    let bytes: Uint8Array;
    try {
      const bracketed = this.#session.tracking?.bracketedPaste ?? false;
      bytes = typedBytes(this.#text, bracketed, this.#driver.submit.unbracketed);
      // From here on nobody else's typing comes between.
      this.#terminal = this.#session.takeOver();
    } catch (cause) {
      const error = NiiaError.from(cause);
      if (error.code !== 'busy') return { is: 'failed', why: error.message };
      // Another has the terminal, and not for long.
      this.#steps.notTyped();
      return undefined;
    }
    await this.#events.typing();
    // Its lease may have run out meanwhile.
    await this.#session.lease.active();
    if (this.#session.state().state === 'blocked') {
      return { is: 'failed', why: 'a question came up just before the text would have been typed' };
    }
    this.#terminal.type(bytes);
    await this.#events.typed();
    return undefined;
  }

  #once(bytes: Uint8Array): void {
    const terminal = this.#session.takeOver();
    terminal.type(bytes);
    terminal.release();
  }

  async #view(): Promise<PromptView> {
    const session = this.#session;
    const wait = this.#lookedAt + betweenLooksMs - this.#session.now;
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    let box: string | undefined;
    if (session.live && this.#driver.submit.hasBox) {
      try {
        box = this.#driver.inputBox(await session.look());
      } catch (error) {
        // It ended under the look, which the view says; anything else is somebody's defect.
        if (session.live) throw error;
      }
    }
    const { now } = session;
    this.#lookedAt = now;
    const { state } = session.state();
    if (state !== this.#state.state) this.#state = { state, at: now };
    const { tracking, people } = session;
    const left = [tracking?.seen('busy')?.at, tracking?.seen('blocked')?.at].filter((at) => at !== undefined);
    return {
      ...{ now, live: session.live, state, stateAt: this.#state.at, box, newLine: this.#sawNewLine() },
      leftReadyAt: left.length > 0 ? Math.max(...left) : undefined,
      outputAt: session.outputAt,
      personAt: people.at,
      personPending: people.pending,
      unread: session.unreadInput,
      pastes: tracking?.bracketedPaste ?? false,
    };
  }

  /** Whether the output since Enter has a line's end. */
  #sawNewLine(): boolean {
    const from = this.#enteredOffset;
    if (this.#newLine || from === undefined) return this.#newLine;
    const { log } = this.#session;
    const bytes = log.peek(from, log.end - from);
    // What is no longer in memory is more than a line.
    this.#newLine = log.end > from && (bytes === undefined || bytes.includes(0x0a));
    return this.#newLine;
  }
}

/** Wakes whoever waits when anything happens in a session. */
class Changes {
  #happened = false;
  #wake: (() => void) | undefined;
  readonly #unfollow: () => void;

  constructor(session: Session) {
    const happened = () => {
      this.#happened = true;
      this.#wake?.();
    };
    this.#unfollow = session.follow({ output: happened, stateChanged: happened, typed: happened, ended: happened });
  }

  /** Resolves at the next change, or after so many milliseconds. Rejects with the signal's reason. */
  async next(withinMs: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let aborted: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        if (signal?.aborted) return reject(NiiaError.from(signal.reason));
        if (this.#happened) return resolve();
        this.#wake = resolve;
        aborted = () => reject(NiiaError.from(signal?.reason));
        signal?.addEventListener('abort', aborted, { once: true });
        if (withinMs !== undefined) timer = setTimeout(resolve, Math.max(1, withinMs));
      });
    } finally {
      clearTimeout(timer);
      if (aborted) signal?.removeEventListener('abort', aborted);
      this.#happened = false;
      this.#wake = undefined;
    }
  }

  close(): void {
    this.#unfollow();
  }
}
