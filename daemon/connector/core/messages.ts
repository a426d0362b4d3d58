import * as v from 'valibot';
import { storedRecordSchema } from './records.ts';

/** What the voters of a run say to each other (Raft, with a trial vote before a real one). The run is named around it. */

const index = v.pipe(v.number(), v.integer(), v.minValue(0));
const term = index;

/** Where a journal ends: entries with the same index and term are the same, and so is all before them. */
export const positionSchema = v.object({ index, term });
export type Position = v.InferOutput<typeof positionSchema>;

export const entrySchema = v.object({ term, record: storedRecordSchema });
/** A record, and the term of the coordinator that appended it. */
export type Entry = v.InferOutput<typeof entrySchema>;

/** By the leader's own clock, and for it alone: it comes back with the answer. */
const sent = v.number();

export const replicaMessageSchema = v.variant('is', [
  /** From the leader, also without entries as its heartbeat. `commit`: how far the journal counts. */
  v.object({
    ...{ is: v.literal('append'), term, sent },
    prev: positionSchema,
    entries: v.array(entrySchema),
    commit: index,
  }),
  /** From the leader to a witness. `last`: how far the journal goes; null: only a heartbeat. Always of the leader's own term. */
  v.object({ is: v.literal('extend'), term, sent, last: v.nullable(positionSchema) }),
  /** `match`: how far the journal is the leader's; where it was not ok, how far it may be. */
  v.object({ is: v.literal('appended'), term, sent, ok: v.boolean(), match: index }),
  /** `trial`: whether it would be given, before the term is raised. */
  v.object({ is: v.literal('ask-vote'), term, trial: v.boolean(), last: positionSchema }),
  /** `term`: the voter's own. `asked`: the one that it was asked for. */
  v.object({ is: v.literal('vote'), term, asked: term, trial: v.boolean(), granted: v.boolean() }),
]);
export type ReplicaMessage = v.InferOutput<typeof replicaMessageSchema>;
export type MessageOf<I extends ReplicaMessage['is']> = Extract<ReplicaMessage, { is: I }>;

/** What a voter must not forget: a term is voted in once. */
export const ballotSchema = v.object({ term, vote: v.nullable(v.string()) });
export type SavedBallot = v.InferOutput<typeof ballotSchema>;

export function isBefore(a: Position, b: Position): boolean {
  return a.term < b.term || (a.term === b.term && a.index < b.index);
}
