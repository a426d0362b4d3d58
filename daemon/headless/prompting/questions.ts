import { createHash } from 'node:crypto';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { Question } from '../../../shared/protocol/worker-methods.ts';
import { anyQuestion } from '../../workers/drivers/any-question.ts';
import { chosen } from '../../workers/drivers/choices.ts';
import type { AskedOption, AskedQuestion, Driver } from '../../workers/drivers/driver.ts';
import type { Session } from '../session.ts';
import { driverOf } from './prompt-desk.ts';

/** An answered question is gone from the screen within this time, or nobody knows what became of it. */
const goneWithinMs = 8000;
/** A question is drawn within this time of its program saying that it asks. */
const drawnWithinMs = 1500;
const betweenLooksMs = 40;
/** A key that chose nothing by now only moved the selection, if anything. */
const keyTakesMs = 700;
const down = '\x1b[B';
const keysKept = 1024;

interface Asked {
  shown: Question;
  asked: AskedQuestion | undefined;
}

type ApproveResult = ResultOf<'session.approve'>;

/** The question that a session waits with; undefined where it does not. */
export async function questionOf(session: Session, machine: string): Promise<Asked | undefined> {
  const before = session.state();
  if (before.state !== 'blocked') return undefined;
  const driver = driverOf(session);
  const asked = await settledQuestion(session, driver);
  const known = session.state();
  if (known.state !== 'blocked') return undefined;
  const { id: sessionId, name: sessionName } = session;
  const question = asked?.question || known.evidence;
  const options = (asked?.options ?? []).map(({ number, label, means }) => ({ number, label, means }));
  const identity = [machine, sessionId, session.meta.createdAt, known.stateSince, question, asked?.command, options];
  const id = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 12);
  const worker = session.meta.worker ?? (driver.name === 'generic' ? null : driver.name);
  const shown = { id, session: sessionId, machine, sessionName, worker, question, command: asked?.command ?? null };
  return { shown: { ...shown, options, since: known.stateSince }, asked };
}

/** What is asked, once two looks in a row show the same: programs say that they ask before they have drawn what. */
async function settledQuestion(session: Session, driver: Driver): Promise<AskedQuestion | undefined> {
  const until = performance.now() + drawnWithinMs;
  let last: string | undefined;
  for (;;) {
    const asked = ask(driver, await session.look());
    const text = JSON.stringify([asked?.question, asked?.command, asked?.options.map(({ label }) => label)]);
    if ((asked && text === last) || performance.now() >= until || session.state().state !== 'blocked') return asked;
    last = text;
    await changed(session, betweenLooksMs);
  }
}

function ask(driver: Driver, look: Parameters<Driver['question']>[0]): AskedQuestion | undefined {
  return driver.question(look) ?? anyQuestion(look);
}

/** One line for an error: what is asked and what may be answered. */
export function questionText({ question, command, options }: Question): string {
  const lines = question.split('\n');
  const asked = lines.findLast((line) => line.endsWith('?')) ?? lines.at(-1) ?? question;
  const about = command === null ? '' : ` (${command.split('\n')[0]})`;
  const choices = options.map(({ number, label }) => `${number}. ${label}`).join('; ');
  return `${asked}${about}${choices ? `: ${choices}` : ''}`;
}

export function needsApproval(question: Question, more: string): NiiaError {
  const { session, machine, id, options } = question;
  const how = options.length > 0 ? `niia approve ${id} OPTION` : `niia attach ${machine}/${session}`;
  return new NiiaError(
    'needs_approval',
    `${session} waits for a person${more}: ${questionText(question)}`,
    `Answer with: ${how}`,
  );
}

/** Answers questions of this server's sessions, each once. */
export class Approvals {
  /** Questions that are answered, or being so. */
  readonly #answered = new Set<string>();
  readonly #byKey = new Map<string, Promise<ApproveResult>>();

  /** A repeat with the same key gets the first one's outcome. */
  approve(
    session: Session,
    machine: string,
    id: string,
    option: string,
    key: string | undefined,
  ): Promise<ApproveResult> {
    const known = key === undefined ? undefined : this.#byKey.get(key);
    if (known) return known;
    const result = this.#approve(session, machine, id, option);
    if (key !== undefined) {
      result.catch(() => undefined);
      this.#byKey.set(key, result);
      const [oldest] = this.#byKey.keys();
      if (this.#byKey.size > keysKept && oldest !== undefined) this.#byKey.delete(oldest);
    }
    return result;
  }

  async #approve(session: Session, machine: string, id: string, option: string): Promise<ApproveResult> {
    if (this.#answered.has(id)) throw gone(id, 'has been answered');
    const found = await questionOf(session, machine);
    if (found?.shown.id !== id || !found.asked) throw gone(id, 'no longer stands on the screen as it did');
    if (this.#answered.has(id)) throw gone(id, 'has been answered');
    const choice = chosen(found.asked.options, option);
    if (!choice) {
      const choices = found.shown.options.map(({ number, label }) => `${number}. ${label}`).join('; ');
      throw new NiiaError('usage', `"${option}" is none, or more than one, of its options`, choices);
    }
    // From the check to the key nothing else happens in this process: nobody can answer in between.
    const terminal = session.takeOver();
    this.#remember(id);
    try {
      terminal.type(Buffer.from(choice.keys));
      await this.#untilGone(session, machine, id, choice, (keys) => terminal.type(Buffer.from(keys)));
    } finally {
      terminal.release();
    }
    const { number, label, means } = choice;
    return { session: session.id, machine, id, option: { number, label, means }, state: session.state().state };
  }

  /** Where the key only moved the selection, or did nothing, the option is gone to and chosen as a person would. */
  async #untilGone(
    session: Session,
    machine: string,
    id: string,
    choice: AskedOption,
    type: (keys: string) => void,
  ): Promise<void> {
    const until = performance.now() + goneWithinMs;
    let typedAt = performance.now();
    let entered = false;
    while (session.live) {
      const now = await questionOf(session, machine);
      if (now?.shown.id !== id) return;
      if (performance.now() >= until) break;
      const selected = now.asked?.options.find((one) => one.selected)?.number;
      if (performance.now() - typedAt >= keyTakesMs && selected !== undefined && !entered) {
        entered = selected === choice.number;
        type(entered ? '\r' : down);
        typedAt = performance.now();
      }
      await changed(session, Math.min(until, typedAt + keyTakesMs) - performance.now());
    }
    if (!session.live) return;
    throw new NiiaError(
      'outcome_unknown',
      `the answer to ${id} was typed, and the question still stands on the screen`,
      `Look at it: niia read --session ${session.id}`,
    );
  }

  #remember(id: string): void {
    this.#answered.add(id);
    const [oldest] = this.#answered;
    if (this.#answered.size > keysKept && oldest !== undefined) this.#answered.delete(oldest);
  }
}

function gone(id: string, what: string): NiiaError {
  return new NiiaError('fenced', `the question ${id} ${what}`, 'See what waits now: niia approvals');
}

/** Resolves when something was drawn or the state is another, at the latest after `ms`. */
export async function changed(session: Session, ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      unfollow();
      resolve();
    };
    const timer = setTimeout(done, Math.max(20, ms));
    const unfollow = session.follow({ output: done, stateChanged: done, ended: done });
  });
}
