import * as v from 'valibot';
import { definitionSchema, failReasonSchema, outputValueSchema } from '../../../shared/connector/definition.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { keptSchema, runIdSchema } from '../../../shared/protocol/attempt-methods.ts';

/**
 * What a run's journal holds. The journal is the run: all that is known of it follows from its records in their order.
 * A record counts once a majority of the run's voters has it on disk.
 */

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const machineSchema = v.object({ id: text, name: text });
export type MachineRef = v.InferOutput<typeof machineSchema>;

export const voterSchema = v.object({
  id: text,
  name: text,
  /** It votes and remembers how far the journal goes, and holds none of it: it can never coordinate. */
  witness: v.boolean(),
});
export type VoterInfo = v.InferOutput<typeof voterSchema>;

/** What a person says to a worker that paused; `continue`: its machine is back, nobody had to say anything. */
export const decisionSchema = v.picklist(['rerun', 'skip', 'fail', 'continue']);
export type Decision = v.InferOutput<typeof decisionSchema>;

/** ISO 8601, by the clock of whoever coordinated: for people. Nothing that must be safe hangs on it. */
const at = { at: text };
const which = { worker: text, epoch: count };

/** The first record. The definition holds the inputs' values. */
const begun = v.object({
  kind: v.literal('begun'),
  ...at,
  run: runIdSchema,
  definition: definitionSchema,
  /** Fixed for the whole run; the one that began it comes first. */
  voters: v.pipe(v.array(voterSchema), v.minLength(1)),
  startedBy: text,
});
/** Another coordinator begins; what it finds in its journal counts with this record. */
const term = v.object({ kind: v.literal('term'), ...at, term: count, coordinator: text });
/** This machine, and no other, is to do this work from now on. */
const grant = v.object({
  kind: v.literal('grant'),
  ...at,
  ...which,
  attempt: count,
  /** Index in the worker's `placements`. */
  placement: v.pipe(v.number(), v.integer(), v.minValue(0)),
  machine: machineSchema,
});
/** Its prompt may have been taken up from now on. */
const submitted = v.object({ kind: v.literal('submitted'), ...at, ...which });
const commit = v.object({
  kind: v.literal('commit'),
  ...at,
  ...which,
  output: outputValueSchema,
  kept: keptSchema,
  machine: machineSchema,
  durationMs: v.number(),
});
const failed = v.object({
  kind: v.literal('failed'),
  ...at,
  ...which,
  reason: failReasonSchema,
  why: text,
  submitted: v.boolean(),
  kept: keptSchema,
  /** The machine that told it; null: the coordinator concluded it, and the machine may know nothing of it. */
  machine: v.nullable(machineSchema),
  durationMs: v.number(),
  /** There is no other attempt after this one, whatever `retry` and `fallback` say. */
  final: v.boolean(),
});
/** Given up: its machine is away, and its lease is over. */
const lost = v.object({ kind: v.literal('lost'), ...at, ...which });
/** The machine of an attempt that was given up, ended or cancelled has stopped, and this is what it kept. */
const fenced = v.object({ kind: v.literal('fenced'), ...at, ...which, machine: machineSchema, kept: keptSchema });
/** Nothing new is granted until it is resumed. */
const paused = v.object({ kind: v.literal('paused'), ...at, worker: v.nullable(text), why: text });
/** Without a worker: for all that paused. */
const resumed = v.object({ kind: v.literal('resumed'), ...at, worker: v.nullable(text), decision: decisionSchema });
const cancelled = v.object({ kind: v.literal('cancelled'), ...at });
const ended = v.object({
  kind: v.literal('ended'),
  ...at,
  state: v.picklist(['succeeded', 'failed', 'cancelled']),
  why: v.nullable(text),
});

export const recordSchema = v.variant('kind', [
  begun,
  term,
  grant,
  submitted,
  commit,
  failed,
  lost,
  fenced,
  paused,
  resumed,
  cancelled,
  ended,
]);
export type RunRecord = v.InferOutput<typeof recordSchema>;
export type RecordOf<K extends RunRecord['kind']> = Extract<RunRecord, { kind: K }>;
/** A record before it is dated. */
export type Undated = RunRecord extends infer R ? (R extends RunRecord ? Omit<R, 'at'> : never) : never;

/** A record as it was read: of a kind that a later version may have brought, with fields that only that one knows. */
export const storedRecordSchema = v.looseObject({ kind: text, at: text });
export type StoredRecord = v.InferOutput<typeof storedRecordSchema>;

const kinds: ReadonlySet<string> = new Set(recordSchema.options.map((option) => option.entries.kind.literal));

/** The record that this is; undefined for one of a kind that this version does not know, which it has to pass over. */
export function knownRecord(stored: StoredRecord): RunRecord | undefined {
  if (!kinds.has(stored.kind)) return undefined;
  const parsed = v.safeParse(recordSchema, stored);
  if (parsed.success) return parsed.output;
  throw new NiiaError(
    'version_mismatch',
    `a record "${stored.kind}" of the run's journal has another shape: ${parsed.issues[0].message}`,
    'The run was begun by another version of niia: upgrade this machine.',
  );
}

/** Nothing was kept. */
export const nothingKept: v.InferOutput<typeof keptSchema> = { folder: null, branch: null };
