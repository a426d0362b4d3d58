import * as v from 'valibot';
import {
  environmentSchema,
  failReasonSchema,
  leaseSchema,
  limitsSchema,
  modelSchema,
  outputSchema,
} from '../connector/definition.ts';
import { method } from './method.ts';
import { sessionStateSchema } from './shapes.ts';

const epochSchema = v.pipe(v.number(), v.integer(), v.minValue(1));
export const runIdSchema = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9-]{0,63}$/));

/** Names one attempt for all time: an epoch is never granted twice. */
export const attemptKeySchema = v.object({
  run: runIdSchema,
  worker: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  epoch: epochSchema,
});
export type AttemptKey = v.InferOutput<typeof attemptKeySchema>;

/** All that a machine must know to carry out an attempt. Its prompt, in UTF-8, comes on stream `input`. */
export const attemptSpecSchema = v.object({
  ...attemptKeySchema.entries,
  /** The first attempt is 1; it counts grants as epochs do, but per run of `retry`. */
  attempt: v.pipe(v.number(), v.integer(), v.minValue(1)),
  runName: v.string(),
  /** Ids of machines that may coordinate the run, the one that grants first. */
  coordinators: v.array(v.string()),
  /** The run's folder on the coordinator; used as it is where this machine is the coordinator's, or has that folder. */
  folder: v.string(),
  model: modelSchema,
  environment: environmentSchema,
  output: outputSchema,
  check: v.nullable(v.string()),
  lease: leaseSchema,
  limits: limitsSchema,
});
export type AttemptSpec = v.InferOutput<typeof attemptSpecSchema>;

/** Where an attempt stands on its machine. `over`: its outcome was taken by the coordinator, or nobody wants it any more. */
export const attemptSteps = [
  'preparing',
  'starting',
  'prompting',
  'working',
  'checking',
  'delivering',
  'over',
] as const;
export const attemptStepSchema = v.picklist(attemptSteps);

/** What a machine tells with each renewal. */
export const attemptReportSchema = v.object({
  step: attemptStepSchema,
  session: v.nullable(v.string()),
  sessionState: v.nullable(sessionStateSchema),
  /** Its prompt may have been taken up by the worker: from before the first byte was typed. */
  submitted: v.boolean(),
  frozen: v.boolean(),
  lastLine: v.nullable(v.string()),
});
export type AttemptReport = v.InferOutput<typeof attemptReportSchema>;

/** Where work that was not taken is kept. */
export const keptSchema = v.object({ folder: v.nullable(v.string()), branch: v.nullable(v.string()) });
export type Kept = v.InferOutput<typeof keptSchema>;

/** How an attempt ended. The output's text is the request's body, in UTF-8. */
export const outcomeSchema = v.variant('is', [
  v.object({
    is: v.literal('succeeded'),
    json: v.nullable(v.unknown()),
    files: v.array(v.string()),
    kept: keptSchema,
    durationMs: v.number(),
  }),
  v.object({
    is: v.literal('failed'),
    reason: failReasonSchema,
    why: v.string(),
    /** Its prompt may have been taken up. */
    submitted: v.boolean(),
    kept: keptSchema,
    durationMs: v.number(),
  }),
]);
export type Outcome = v.InferOutput<typeof outcomeSchema>;

const none = { down: v.never(), up: v.never() };

/** What a run's coordinator asks of the machines that do its work. */
export const attemptMethods = {
  /**
   * Takes an attempt on, once: it is on disk when this answers, and goes on by itself, renewing its lease. A repeat answers
   * where it stands. Errors: `fenced` where this machine has seen a higher epoch of this worker.
   */
  'attempt.begin': method({
    at: 'daemon',
    access: 'operator',
    changes: true,
    params: attemptSpecSchema,
    result: attemptReportSchema,
    ...none,
  }),
  /** Ends it: nobody wants its outcome. Whatever it changed is kept on a side branch or in its folder, and named. Repeats do nothing more. */
  'attempt.end': method({
    at: 'daemon',
    access: 'operator',
    changes: true,
    params: v.object({ ...attemptKeySchema.entries, why: v.picklist(['cancelled', 'fenced']) }),
    result: v.object({ kept: keptSchema }),
    ...none,
  }),
  /** Which of these programs are not on the PATH that sessions of this machine get. */
  'attempt.lacks': method({
    at: 'daemon',
    access: 'operator',
    changes: false,
    params: v.object({ programs: v.array(v.string()) }),
    result: v.object({ lacks: v.array(v.string()) }),
    ...none,
  }),
  /** Binds a session to a lease, or puts the lease's end off. A session whose lease has run out is frozen until it is put off again. */
  'session.lease': method({
    at: 'headless',
    access: 'local',
    changes: false,
    params: v.object({
      session: v.string(),
      /** On the clock that counts sleep, milliseconds since boot. */
      until: v.number(),
      /** Held for no lease any more. */
      release: v.optional(v.boolean()),
    }),
    result: v.object({ frozen: v.boolean() }),
    ...none,
  }),
} as const;
