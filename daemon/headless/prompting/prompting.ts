import { NiiaError } from '../../../shared/errors.ts';
import type { PromptReceipt } from '../../../shared/protocol/worker-methods.ts';
import type { Principal } from '../../../shared/rpc/call.ts';
import type { ServedCall } from '../../../shared/rpc/server.ts';
import { promptText } from '../../workers/prompt/prompt-text.ts';
import type { Session } from '../session.ts';
import type { PromptDesk } from './prompt-desk.ts';
import { driverOf } from './prompt-desk.ts';
import { needsApproval, questionOf } from './questions.ts';
import type { SessionPrompts } from './session-prompts.ts';

/** A policy may answer a question by itself; a caller is told of one that stands for longer. */
const questionStandsMs = 1500;

type Wanted = 'accepted' | 'submitted' | 'finished';
type PromptCall = ServedCall<'session.prompt'> | ServedCall<'session.answer'>;

export interface Asker {
  desk: PromptDesk;
  machine: string;
  who: Principal;
}

/**
 * Submits the call's prompt, or finds the one with its id, and waits until it is as far as `until`. What nobody waits
 * for any more and was not typed is taken back. Rejects with `needs_approval`, `busy`, `outcome_unknown`, or what failed.
 */
export async function prompted(
  session: Session,
  call: PromptCall,
  until: Wanted,
  { desk, machine, who }: Asker,
): Promise<PromptReceipt> {
  const { id, queue = true } = call.params;
  const prompts = await desk.of(session);
  // From now on whoever gives it up leaves it to this asker.
  const release = prompts.claim(id);
  let waits = false;
  try {
    if (call.body.length > 0) {
      const text = promptText(call.body);
      if (who.session === session.id) {
        throw new NiiaError('usage', `${session.id} is the session that asks: it would wait for itself`);
      }
      if (call.params.careful) refuseForWorkers(session, text.text);
      if (!prompts.get(id)) await refuseIfNotReady(session, prompts, queue, machine);
      if (call.signal.aborted) throw NiiaError.from(call.signal.reason);
      await prompts.accept(id, text, who.id);
      waits = true;
    } else if (!(await prompts.find(id))) {
      throw new NiiaError('usage', `the session ${session.id} has no prompt ${id}`);
    }
    return settled(await reached(session, prompts, call, until, machine));
  } catch (cause) {
    release();
    const error = NiiaError.from(cause);
    // A connection that broke comes back with the same id; whoever gave up does not. Who only asks about it has no say.
    if (waits && error.code !== 'link_lost') prompts.withdraw(id);
    throw error;
  } finally {
    release();
  }
}

/** Commands of the program's own, and of the shell behind it. */
const ownCommand = /^\s*[/!#]/;

/** A worker prompts AI workers, with words: not a shell, which would do anything, and not the program's own commands. */
function refuseForWorkers(session: Session, text: string): void {
  const { name } = driverOf(session);
  const worker = session.meta.worker ?? null;
  const hint = "A person can do it, in a terminal that is no worker's session.";
  if (worker === null || name === 'shell' || name === 'generic') {
    throw new NiiaError('denied', `the session ${session.id} is not an AI worker's: a worker may not prompt it`, hint);
  }
  if (name !== 'exec' && ownCommand.test(text)) {
    throw new NiiaError('denied', 'a worker may not give another one commands of its program (/, !, #)', hint);
  }
}

async function refuseIfNotReady(
  session: Session,
  prompts: SessionPrompts,
  queue: boolean,
  machine: string,
): Promise<void> {
  if (!session.live) throw session.endedError();
  // One that may wait is refused only for a question that stands for a while.
  if (queue) return;
  const question = await questionOf(session, machine);
  if (question) throw needsApproval(question.shown, '; nothing was typed');
  const { state, evidence } = session.state();
  if (!prompts.busy && (state === 'idle' || state === 'starting')) return;
  const why = prompts.busy ? 'another prompt is before this one' : `it is ${state} (${evidence})`;
  throw new NiiaError(
    'busy',
    `${session.id} takes no prompt now: ${why}`,
    'Without --no-queue the prompt waits for its turn.',
  );
}

const order: Record<PromptReceipt['state'], number> = {
  accepted: 0,
  typed: 1,
  submitted: 2,
  finished: 3,
  unknown: 3,
  failed: 3,
};

/** Resolves when the prompt is as far as that. */
async function reached(
  session: Session,
  prompts: SessionPrompts,
  call: PromptCall,
  until: Wanted,
  machine: string,
): Promise<PromptReceipt> {
  const { signal } = call;
  const { id } = call.params;
  let unwatch: () => void = () => undefined;
  let unfollow: () => void = () => undefined;
  let aborted: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<PromptReceipt>((resolve, reject) => {
      aborted = () => reject(NiiaError.from(signal.reason));
      if (signal.aborted) return aborted();
      signal.addEventListener('abort', aborted, { once: true });
      const tellQuestion = () => {
        questionOf(session, machine).then((question) => {
          if (question) reject(needsApproval(question.shown, `, and the prompt ${id} with it`));
        }, reject);
      };
      // A question that stands is told to whoever waits, whether this prompt raised it or stands behind it.
      const lookForQuestion = () => {
        clearTimeout(timer);
        if (session.state().state === 'blocked') timer = setTimeout(tellQuestion, questionStandsMs);
      };
      unfollow = session.follow({ stateChanged: lookForQuestion });
      unwatch = prompts.watch(id, {
        told: (receipt, waitsFor) => {
          if (order[receipt.state] >= order[until]) {
            resolve(receipt);
            return;
          }
          call.emit({ type: 'state', receipt, waitsFor });
        },
      });
      lookForQuestion();
    });
  } finally {
    clearTimeout(timer);
    unwatch();
    unfollow();
    signal.removeEventListener('abort', aborted);
  }
}

/** A prompt that came to no good end is an error. */
function settled(receipt: PromptReceipt): PromptReceipt {
  const { state, why, id, session } = receipt;
  if (state === 'unknown') {
    throw new NiiaError(
      'outcome_unknown',
      `the prompt ${id} may or may not have been submitted: ${why}`,
      `Nothing is typed again. Look at it: niia read --session ${session}`,
    );
  }
  if (state === 'failed')
    throw new NiiaError('failed', `the prompt ${id} failed: ${why}`, `See: niia read --session ${session}`);
  return receipt;
}

/** Types the key that stops a turn. */
export function interrupt(session: Session): void {
  const driver = driverOf(session);
  const terminal = session.takeOver();
  terminal.type(Buffer.from(driver.interrupt));
  terminal.release();
}
