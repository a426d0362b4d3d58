import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { answersWithinMs } from '../../../shared/ask-machines.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { promptIdSchema } from '../../../shared/protocol/worker-methods.ts';
import { noSuchQuestion, type WaitingQuestions, waitingQuestions } from '../../../shared/workers/waiting-questions.ts';
import { inSession, onMachine, timeout } from '../inputs.ts';
import { notOwnSession } from '../own-session.ts';
import { type Caller, tool } from '../tool.ts';

const promptInput = {
  ...onMachine,
  ...inSession,
  text: v.optional(v.pipe(v.string(), v.minLength(1), v.description('What the worker is to do'))),
  promptId: v.optional(
    v.pipe(
      promptIdSchema,
      v.description('Names the prompt: one that was used before is not typed again. Without text: what became of it'),
    ),
  ),
};

export const prompt = tool({
  name: 'prompt',
  title: 'Prompt an AI worker',
  description:
    'Submits a prompt to the AI worker in a session, once, and answers when the worker has taken it up, or with untilFinished when its turn is over. Waits for a worker that is busy. An error needs_approval carries a question that waits for a person.',
  right: 'write',
  waiting: 'waiting for the worker',
  input: { ...promptInput, untilFinished: v.optional(v.boolean(), false), ...timeout(600) },
  run: async ({ untilFinished, ...given }, caller) =>
    await submitted(given, untilFinished ? 'finished' : 'submitted', caller),
});

export const getAnswer = tool({
  name: 'get_answer',
  title: "Get a worker's answer",
  description:
    "Submits a prompt to the AI worker in a session, once, waits until its turn is over, and returns the worker's answer alone. With the promptId of an earlier prompt and no text: the answer to that one.",
  right: 'write',
  waiting: 'waiting for the answer',
  input: { ...promptInput, ...timeout(1_800) },
  run: async (given, caller) => {
    const { id } = await submitted(given, 'finished', caller);
    const { machine, session } = given;
    const call = await caller.machines.call('session.answer', { session, id }, { machine, signal: caller.signal });
    const parts: Uint8Array[] = [];
    const output = call.source(streams.output);
    output.onData((bytes) => void parts.push(Uint8Array.from(bytes)));
    const { source, exact, durationMs } = await call.result;
    await output.done;
    return { promptId: id, answer: Buffer.concat(parts).toString('utf8'), source, exact, durationMs };
  },
});

interface Given {
  machine?: string | undefined;
  session: string;
  text?: string | undefined;
  promptId?: string | undefined;
  timeoutSeconds: number;
}

/** Asked again where the connection breaks meanwhile: the prompt's id keeps it from being typed twice. */
async function submitted(given: Given, until: 'submitted' | 'finished', caller: Caller) {
  const { machine, session, text, promptId, timeoutSeconds } = given;
  if (text === undefined && promptId === undefined) {
    throw new NiiaError('usage', 'neither text nor promptId is given');
  }
  await notOwnSession(session, machine, caller);
  const id = promptId ?? randomUUID();
  const asked = { machine, signal: caller.signal, body: Buffer.from(text ?? ''), deadlineMs: timeoutSeconds * 1_000 };
  try {
    return await caller.machines.query('session.prompt', { session, id, until, queue: true }, asked);
  } catch (error) {
    const { code, message, hint } = NiiaError.from(error);
    const goOn = `With promptId ${id} and no text you go on with it.`;
    throw new NiiaError(code, message, hint === undefined ? goOn : `${hint} ${goOn}`, { cause: error });
  }
}

export const listApprovals = tool({
  name: 'list_approvals',
  title: 'List questions of workers',
  description:
    'Questions of AI workers that wait for a yes or no: on one machine, or on all of the team, with their options.',
  right: 'read',
  input: { ...onMachine },
  run: ({ machine }, caller) => questions(machine, caller),
});

export const answerApproval = tool({
  name: 'answer_approval',
  title: "Answer a worker's question",
  description:
    'Chooses an option of exactly that question, once. Refused (fenced) where the screen has changed since it was listed.',
  right: 'approve',
  input: {
    id: v.pipe(v.string(), v.minLength(1), v.maxLength(64), v.description('As in list_approvals')),
    option: v.pipe(
      v.string(),
      v.minLength(1),
      v.maxLength(200),
      v.description("An option's number, the start of its label, or allow or deny"),
    ),
  },
  run: async ({ id, option }, caller) => {
    const found = await questions(undefined, caller);
    const question = found.questions.find((one) => one.id === id);
    if (!question) throw noSuchQuestion(id, found.missing, 'See what waits now: list_approvals');
    const { machine, session } = question;
    await notOwnSession(session, machine, caller);
    return await caller.machines.change('session.approve', { session, id, option }, { machine, signal: caller.signal });
  },
});

async function questions(machine: string | undefined, { machines, signal }: Caller): Promise<WaitingQuestions> {
  if (machine !== undefined) {
    return { ...(await machines.query('session.approvals', {}, { machine, signal })), missing: [] };
  }
  const team = await machines.query('machine.list', {}, { machine: undefined, signal });
  return await waitingQuestions(team.machines, (one) =>
    machines.query('session.approvals', {}, { machine: one, signal, deadlineMs: answersWithinMs }),
  );
}
