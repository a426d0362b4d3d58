import { randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { NiiaError } from '../../../shared/errors.ts';
import type { ParamsOf, ResultOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { PromptReceipt } from '../../../shared/protocol/worker-methods.ts';
import type { TypedCall } from '../../../shared/rpc/client.ts';
import type { Context, Run } from '../context.ts';
import { patienceMs } from '../daemon-client.ts';
import { retryBroken } from '../retry.ts';
import type { Specs } from '../specs/all.ts';
import { namedSession, whichSession } from '../which-session.ts';

/** A prompt that waits for longer than this says for what. */
const tellAfterMs = 1000;

interface Given {
  readonly stdin: boolean;
  readonly id: string | undefined;
  readonly session: string | undefined;
}

export const prompt: Run<Specs['prompt']> = async ({ args: [text], options }, context) => {
  const { params, body } = await request(text, options, context);
  const until = options.wait ? 'finished' : 'submitted';
  const queue = !options['no-queue'];
  const told = new Progress(context);
  const receipt = await persist(context, params.id, async (deadlineMs) => {
    const call = await context.daemon.call('session.prompt', { ...params, until, queue }, { body, deadlineMs });
    call.onEvent((event) => told.event(event));
    return await call.result;
  }).finally(() => told.close());
  await told.removed(receipt.removed);
  await context.out.result(receipt, () => `${receipt.state}\n`);
};

export const getAnswer: Run<Specs['get-answer']> = async ({ args: [text], options }, context) => {
  const { params, body } = await request(text, options, context);
  const transcript = !options['no-transcript'];
  const queue = !options['no-queue'];
  const told = new Progress(context);
  const { result, answer } = await persist(context, params.id, async (deadlineMs) => {
    const call = await context.daemon.call('session.answer', { ...params, queue, transcript }, { body, deadlineMs });
    call.onEvent((event) => told.event(event));
    const answer = collected(call);
    return { result: await call.result, answer: await answer };
  }).finally(() => told.close());
  await told.removed(result.removed);
  if (result.source === 'screen') {
    await context.out.advice('niia: taken from the visible rows only; what scrolled by is not among it');
  }
  await context.out.result(shape(result, answer), () =>
    answer.endsWith('\n') || answer === '' ? answer : `${answer}\n`,
  );
};

export const interrupt: Run<Specs['interrupt']> = async ({ args: [given], options }, { daemon, out }) => {
  const session = namedSession(daemon, options.session, given);
  const result = await daemon.change('session.interrupt', { session });
  await out.result(result, () => `${result.state}\n`);
};

function shape(result: ResultOf<'session.answer'>, answer: string): Record<string, unknown> {
  const { id, session, machine, source, exact, submittedAt, acceptedAt, finishedAt, durationMs } = result;
  const times = { startedAt: acceptedAt, submittedAt, finishedAt, durationMs };
  return { session, machine, answer, source, exact, promptId: id, ...times };
}

async function request(
  text: string | undefined,
  given: Given,
  { daemon }: Context,
): Promise<{ params: Pick<ParamsOf<'session.prompt'>, 'session' | 'id'>; body: Uint8Array }> {
  if (text !== undefined && given.stdin)
    throw new NiiaError('usage', 'the text is given twice: as an argument and by --stdin');
  if (text === undefined && !given.stdin && given.id === undefined) {
    throw new NiiaError(
      'usage',
      'there is no text',
      'As in: niia prompt --session S "What to do"; or --stdin for the input.',
    );
  }
  const session = whichSession(daemon, given.session);
  const body = given.stdin ? await buffer(process.stdin) : Buffer.from(text ?? '');
  if (body.length === 0 && (text !== undefined || given.stdin)) throw new NiiaError('usage', 'the text is empty');
  if (body.length > 500_000) {
    throw new NiiaError(
      'too_large',
      `the text has ${body.length} bytes`,
      'Put it into a file, and name the file in the prompt.',
    );
  }
  return { params: { session, id: given.id ?? randomUUID() }, body };
}

/** Goes on with the same prompt where the connection breaks: its id keeps it from being typed twice. */
async function persist<T>(
  { deadline }: Context,
  id: string,
  attempt: (deadlineMs: number | undefined) => Promise<T>,
): Promise<T> {
  const leftMs = deadline.leftMs;
  try {
    return await retryBroken({
      attempt,
      leftMs,
      patienceMs: leftMs ?? patienceMs,
      givenUp: (cause) =>
        new NiiaError(
          'outcome_unknown',
          `the connection broke and did not come back in time; the prompt ${id} may or may not have been submitted (${cause.message})`,
          `Ask again with the same --id ${id}: it is not typed twice.`,
          { cause },
        ),
    });
  } catch (error) {
    if (!(error instanceof NiiaError) || (error.code !== 'timeout' && error.code !== 'needs_approval')) throw error;
    const hint = `${error.hint ? `${error.hint}\n` : ''}If it was typed, go on with it by: --id ${id}`;
    throw new NiiaError(error.code, error.message, hint, { cause: error });
  }
}

async function collected(call: TypedCall<'session.answer'>): Promise<string> {
  const chunks: Uint8Array[] = [];
  const source = call.source(streams.output);
  source.onData((bytes) => {
    chunks.push(Uint8Array.from(bytes));
    return undefined;
  });
  // What broke is told by the result.
  await source.done.catch(() => undefined);
  return Buffer.concat(chunks).toString('utf8');
}

/** Tells on stderr what a prompt waits for, once it has waited for a while. */
class Progress {
  readonly #context: Context;
  #timer: NodeJS.Timeout | undefined;
  #waitsFor: string | null = null;
  #told: string | null = null;

  constructor(context: Context) {
    this.#context = context;
  }

  event({ waitsFor }: { receipt: PromptReceipt; waitsFor: string | null }): void {
    this.#waitsFor = waitsFor;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#waitsFor === null || this.#waitsFor === this.#told) return;
      this.#told = this.#waitsFor;
      void this.#context.out.advice(`niia: the prompt waits: ${this.#waitsFor}`).catch(() => undefined);
    }, tellAfterMs);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async removed(count: number): Promise<void> {
    if (count === 0) return;
    await this.#context.out.advice(
      `niia: ${count} control character${count === 1 ? ' was' : 's were'} taken out of the text`,
    );
  }
}
