import { createHash } from 'node:crypto';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { Question } from '../../../shared/protocol/worker-methods.ts';
import { anyQuestion } from '../../workers/drivers/any-question.ts';
import { chosen } from '../../workers/drivers/choices.ts';
import type { AskedQuestion, Driver } from '../../workers/drivers/driver.ts';
import type { Look } from '../screen-messages.ts';
import type { Session } from '../session.ts';
import { driverOf } from './prompt-desk.ts';

/** An answered question is gone from the screen within this time, or nobody knows what became of it. */
const goneWithinMs = 8000;
/** A question is drawn within this time of its program saying that it asks. */
const drawnWithinMs = 1500;
const betweenLooksMs = 40;
const keysKept = 1024;

interface Asked {
  shown: Question;
  asked: AskedQuestion | undefined;
  /** How the screen around it looked. */
  around: Around;
}

interface Around {
  size: string;
  words: string;
}

type ApproveResult = ResultOf<'session.approve'>;

/** The question that a session waits with; undefined where it does not. */
export async function questionOf(session: Session, machine: string): Promise<Asked | undefined> {
  const before = session.state();
  if (before.state !== 'blocked') return undefined;
  const driver = driverOf(session);
  const { asked, around } = await settledQuestion(session, driver);
  const known = session.state();
  if (known.state !== 'blocked') return undefined;
  const { id: sessionId, name: sessionName } = session;
  const question = asked?.question || known.evidence;
  const options = (asked?.options ?? []).map(({ number, label, means }) => ({ number, label, means }));
  const identity = [machine, sessionId, session.meta.createdAt, known.stateSince, question, asked?.command, options];
  const id = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 12);
  const worker = session.meta.worker ?? (driver.name === 'generic' ? null : driver.name);
  const shown = { id, session: sessionId, machine, sessionName, worker, question, command: asked?.command ?? null };
  return { shown: { ...shown, options, since: known.stateSince }, asked, around };
}

/** What is asked, once two looks in a row show the same: programs say that they ask before they have drawn what. */
async function settledQuestion(session: Session, driver: Driver): Promise<Pick<Asked, 'asked' | 'around'>> {
  const until = performance.now() + drawnWithinMs;
  let last: string | undefined;
  for (;;) {
    const look = await session.look();
    const asked = ask(driver, look);
    const text = JSON.stringify([asked?.question, asked?.command, asked?.options.map(({ label }) => label)]);
    if ((asked && text === last) || performance.now() >= until || session.state().state !== 'blocked') {
      return { asked, around: aroundOf(look, asked) };
    }
    last = text;
    await changed(session, betweenLooksMs);
  }
}

/** The words above a question: what counts its seconds or only moves is none. */
function aroundOf({ cols, rows }: Look, asked: AskedQuestion | undefined): Around {
  const above = rows.slice(0, asked?.top ?? rows.length).join('\n');
  return { size: `${cols} ${rows.length}`, words: (above.match(/\p{L}{2,}/gu) ?? []).join(' ') };
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
    terminal.type(Buffer.from(choice.keys));
    terminal.release();
    const over = untilOver(session, machine, found);
    if (!(await within(goneWithinMs, over))) {
      throw new NiiaError(
        'outcome_unknown',
        `the answer to ${id} was typed, and the question still stands on the screen`,
        `Look at it: niia read --session ${session.id}`,
      );
    }
    const { number, label, means } = choice;
    return { session: session.id, machine, id, option: { number, label, means }, state: session.state().state };
  }

  #remember(id: string): void {
    this.#answered.add(id);
    const [oldest] = this.#answered;
    if (this.#answered.size > keysKept && oldest !== undefined) this.#answered.delete(oldest);
  }
}

/**
 * Resolves when an answered question is over: its screen has changed. Nothing more is typed: a further key could answer
 * the next question. Where that is asked at once, and word for word the same, it is known as another one from then on.
 */
async function untilOver(session: Session, machine: string, { shown, around }: Asked): Promise<void> {
  let before = around;
  while (session.live) {
    const now = await questionOf(session, machine).catch((error: unknown) => {
      if (session.live) throw error;
      return undefined;
    });
    if (now?.shown.id !== shown.id) break;
    if (now.around.size !== before.size) before = now.around;
    else if (now.around.words !== before.words) break;
    await changed(session);
  }
  if (session.state().stateSince === shown.since) session.tracking?.askedAnew();
}

async function within(ms: number, over: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([over.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function gone(id: string, what: string): NiiaError {
  return new NiiaError('fenced', `the question ${id} ${what}`, 'See what waits now: niia approvals');
}

/** Resolves when something was drawn or the state is another, at the latest after `ms`, where that is given. */
async function changed(session: Session, ms?: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      unfollow();
      resolve();
    };
    const timer = ms === undefined ? undefined : setTimeout(done, ms);
    const unfollow = session.follow({ output: done, stateChanged: done, ended: done });
  });
}
