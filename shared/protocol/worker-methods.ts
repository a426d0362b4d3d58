import * as v from 'valibot';
import { method } from './method.ts';
import { offsetSchema, sessionStateSchema } from './shapes.ts';

const which = { session: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))) };
const found = { session: v.string(), machine: v.string() };
const time = v.nullable(v.string());

/**
 * What is known of a prompt. `accepted`: it is in the session's journal, nothing is typed. `typed`: its text is in the
 * input box. `submitted`: the worker was seen to take it up. `finished`: its turn is over. `unknown`: it may or may not
 * have been taken up, and is not typed again. `failed`: it was not taken up, or its turn broke off.
 */
export const promptStates = ['accepted', 'typed', 'submitted', 'finished', 'unknown', 'failed'] as const;
export const promptStateSchema = v.picklist(promptStates);
export type PromptState = v.InferOutput<typeof promptStateSchema>;

export const promptIdSchema = v.pipe(
  v.string(),
  v.regex(/^[\w.:-]{1,64}$/, 'a prompt id has 1 to 64 letters, digits, dots, colons, dashes or underscores'),
);

export const promptReceiptSchema = v.object({
  id: v.string(),
  ...found,
  state: promptStateSchema,
  /** Why it is `unknown` or `failed`; null otherwise. */
  why: v.nullable(v.string()),
  acceptedAt: v.string(),
  typedAt: time,
  submittedAt: time,
  finishedAt: time,
  /** Characters that steer terminals and were taken out of the text. */
  removed: v.number(),
  /** Offset in the output at which its text was typed; null before. */
  outputOffset: v.nullable(offsetSchema),
});
export type PromptReceipt = v.InferOutput<typeof promptReceiptSchema>;

export const questionOptionSchema = v.object({
  /** As it stands before it on the screen, or its place among them. */
  number: v.number(),
  label: v.string(),
  /** What choosing it means, where that is clear. */
  means: v.nullable(v.picklist(['allow', 'allow-always', 'deny'])),
});

export const questionSchema = v.object({
  /** Names this question, on this screen, at this time. */
  id: v.string(),
  ...found,
  sessionName: v.string(),
  worker: v.nullable(v.string()),
  /** What is asked, in the program's words. */
  question: v.string(),
  /** The command that it is about; null where there is none, or none that can be told for sure. */
  command: v.nullable(v.string()),
  options: v.array(questionOptionSchema),
  since: v.string(),
});
export type Question = v.InferOutput<typeof questionSchema>;

const promptParams = {
  ...which,
  /** Names the prompt: one with an id that was seen before is not typed again. */
  id: promptIdSchema,
  /**
   * Asked by a worker, not by a person: refused where the session is no AI worker's, and where the text is something that
   * the program carries out itself. Set by the daemon of whoever asks.
   */
  careful: v.optional(v.boolean()),
};

/** Prompts, answers and approvals of sessions that run a worker. The text of a prompt is the request's body, in UTF-8. */
export const workerMethods = {
  /**
   * Submits a prompt, once. `until`: when to answer. An empty body asks for the state of an earlier prompt, and waits
   * for it. Errors: `needs_approval`, `busy` (without `queue`), `outcome_unknown`.
   */
  'session.prompt': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object({
      ...promptParams,
      /** Whether it may wait behind others, and for a worker that is busy. */
      queue: v.optional(v.boolean()),
      until: v.picklist(['accepted', 'submitted', 'finished']),
    }),
    result: promptReceiptSchema,
    down: v.object({ type: v.literal('state'), receipt: promptReceiptSchema, waitsFor: v.nullable(v.string()) }),
    up: v.never(),
  }),
  /** As `session.prompt` until it is finished; the answer comes on stream `output`, in UTF-8. */
  'session.answer': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object({
      ...promptParams,
      queue: v.optional(v.boolean()),
      /** Whether the worker's own record of the conversation may be read for it. */
      transcript: v.optional(v.boolean()),
    }),
    result: v.object({
      ...promptReceiptSchema.entries,
      /** `transcript`, `output` (drawn again from the output log), `screen` (the visible rows only), `stdout`. */
      source: v.picklist(['transcript', 'output', 'screen', 'stdout']),
      /** Whether the text is the model's to the character: what was drawn may have lost markup and blank ends of lines. */
      exact: v.boolean(),
      durationMs: v.number(),
    }),
    down: v.object({ type: v.literal('state'), receipt: promptReceiptSchema, waitsFor: v.nullable(v.string()) }),
    up: v.never(),
  }),
  /** Questions that wait for a person, in sessions of this machine. */
  'session.approvals': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object(which),
    result: v.object({ questions: v.array(questionSchema) }),
    down: v.never(),
    up: v.never(),
  }),
  /** Answers exactly that question, once. Errors: `fenced` when it no longer stands on the screen. */
  'session.approve': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object({
      session: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
      id: v.pipe(v.string(), v.maxLength(64)),
      /** An option's number, the start of its label, or `allow` or `deny`. */
      option: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
    }),
    result: v.object({ ...found, id: v.string(), option: questionOptionSchema, state: sessionStateSchema }),
    down: v.never(),
    up: v.never(),
  }),
  /** Types the key that stops the worker's turn. */
  'session.interrupt': method({
    at: 'headless',
    access: 'operator',
    changes: true,
    params: v.object(which),
    result: v.object({ ...found, state: sessionStateSchema }),
    down: v.never(),
    up: v.never(),
  }),
} as const;
