import * as v from 'valibot';
import { attemptKeySchema, attemptReportSchema, keptSchema, outcomeSchema, runIdSchema } from './attempt-methods.ts';
import { method } from './method.ts';
import { sessionStateSchema } from './shapes.ts';

const none = { down: v.never(), up: v.never() };
const which = { run: runIdSchema };
const time = v.nullable(v.string());

export const runStateSchema = v.picklist(['running', 'paused', 'succeeded', 'failed', 'cancelled']);
export type RunState = v.InferOutput<typeof runStateSchema>;

/** `waiting`: for others, or for a machine; `granted`: its machine was told; `lost`: its machine is away, its lease may still hold. */
export const workerStates = [
  'waiting',
  'granted',
  'running',
  'blocked',
  'lost',
  'paused',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export const workerStatusSchema = v.object({
  name: v.string(),
  phase: v.string(),
  /** Workers of the same phase that come before it. */
  needs: v.array(v.string()),
  /** Of the present attempt, or the last. */
  machine: v.nullable(v.string()),
  session: v.nullable(v.string()),
  model: v.nullable(v.string()),
  state: v.picklist(workerStates),
  sessionState: v.nullable(sessionStateSchema),
  attempt: v.number(),
  epoch: v.number(),
  since: time,
  startedAt: time,
  endedAt: time,
  lastLine: v.nullable(v.string()),
  output: v.nullable(v.object({ text: v.string(), json: v.nullable(v.unknown()), files: v.array(v.string()) })),
  error: v.nullable(v.string()),
  /** Work of attempts that were fenced. */
  kept: v.array(v.object({ machine: v.string(), epoch: v.number(), ...keptSchema.entries })),
});
export type WorkerStatus = v.InferOutput<typeof workerStatusSchema>;

export const runInfoSchema = v.object({
  run: v.string(),
  name: v.string(),
  state: runStateSchema,
  coordinator: v.string(),
  startedAt: v.string(),
  endedAt: time,
  /** Why it is paused or failed; null otherwise. */
  why: v.nullable(v.string()),
});
export type RunInfo = v.InferOutput<typeof runInfoSchema>;
export const runStatusSchema = v.object({ ...runInfoSchema.entries, workers: v.array(workerStatusSchema) });
/** Part of a status, with the workers that changed; `more`: of the same change more parts follow. */
export const statusPartSchema = v.object({ status: runStatusSchema, more: v.boolean() });
export type StatusPart = v.InferOutput<typeof statusPartSchema>;
export const runReportSchema = v.object({ markdown: v.string(), report: v.unknown() });
export type RunStatus = v.InferOutput<typeof runStatusSchema>;

/** How an attempt ended, and its output's text. */
export const deliverySchema = v.object({ outcome: outcomeSchema, text: v.string() });

/** A file of a scratchpad: names joined by `/`, its bytes and their hash. */
export const scratchFileSchema = v.object({
  path: v.pipe(v.string(), v.minLength(1), v.maxLength(1024)),
  size: v.pipe(v.number(), v.integer(), v.minValue(0)),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});
export type ScratchFile = v.InferOutput<typeof scratchFileSchema>;

/** Runs of connector files. Those that a machine coordinates, or stands by for. */
export const runMethods = {
  /** Starts a run of the file, whose text is the request's body; the request's key names it for repeats. */
  'run.start': method({
    at: 'daemon',
    access: 'operator',
    changes: true,
    params: v.object({ file: v.string(), inputs: v.record(v.string(), v.string()) }),
    result: v.object(which),
    ...none,
  }),
  'run.list': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({ runs: v.array(runInfoSchema) }),
    ...none,
  }),
  /** Its `RunStatus`, outputs and all, as JSON on stream `output`. */
  'run.status': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object(which),
    result: v.object({}),
    ...none,
  }),
  /** Its status without outputs, now and after each change, until it is over or the caller cancels. */
  'run.watch': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object(which),
    result: v.object({}),
    down: statusPartSchema,
    up: v.never(),
  }),
  /** Its journal, a record an event, from record `since` on; with `follow` until it is over. Long texts are cut. */
  'run.logs': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({ ...which, since: v.optional(v.number()), follow: v.optional(v.boolean()) }),
    result: v.object({ next: v.number() }),
    down: v.object({ seq: v.number(), at: v.string(), record: v.unknown() }),
    up: v.never(),
  }),
  'run.cancel': method({
    at: 'daemon',
    access: 'operator',
    changes: true,
    params: v.object(which),
    result: runInfoSchema,
    ...none,
  }),
  /** Goes on with a paused run. `rerun`: the worker for which it paused is to be run once more, though its prompt went out. */
  'run.resume': method({
    at: 'daemon',
    access: 'operator',
    changes: true,
    params: v.object({
      ...which,
      worker: v.optional(v.string()),
      decision: v.optional(v.picklist(['rerun', 'skip', 'fail'])),
    }),
    result: runInfoSchema,
    ...none,
  }),
  /** `{markdown, report}` as JSON on stream `output`. */
  'run.report': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object(which),
    result: v.object({}),
    ...none,
  }),
  /** From the machine of an attempt. Errors: `fenced` where another epoch is the present one; `busy` with the coordinator's id as hint where this machine is not it. */
  'run.renew': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({ ...attemptKeySchema.entries, report: attemptReportSchema }),
    result: v.object({}),
    ...none,
  }),
  /** From the machine of an attempt: how it ended, as JSON of `deliverySchema` on stream `input`. Answered once it stands in the journal. Errors as of `run.renew`. */
  'run.deliver': method({
    at: 'daemon',
    access: 'viewer',
    changes: true,
    params: attemptKeySchema,
    result: v.object({}),
    ...none,
  }),
  /** Between the voters of a run: a message of the consensus, as JSON on stream `input`. */
  'run.replicate': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object(which),
    result: v.object({}),
    ...none,
  }),
  /** What the run's scratchpad holds at its coordinator. */
  'scratch.list': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object(attemptKeySchema.entries),
    result: v.object({ files: v.array(scratchFileSchema) }),
    ...none,
  }),
  /** A file of it on stream `output`. */
  'scratch.get': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({ ...attemptKeySchema.entries, path: v.string() }),
    result: v.object({}),
    ...none,
  }),
  /** Replaces a file of it with what comes on stream `input`. Errors as of `run.renew`. */
  'scratch.put': method({
    at: 'daemon',
    access: 'viewer',
    changes: true,
    params: v.object({ ...attemptKeySchema.entries, ...scratchFileSchema.entries }),
    result: v.object({}),
    ...none,
  }),
} as const;
