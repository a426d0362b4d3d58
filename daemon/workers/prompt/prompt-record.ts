import * as v from 'valibot';
import type { PromptReceipt } from '../../../shared/protocol/worker-methods.ts';

/** One line of a session's prompt journal. Times are ISO 8601. */
export const promptEntrySchema = v.variant('is', [
  v.object({
    is: v.literal('accepted'),
    id: v.string(),
    at: v.string(),
    text: v.string(),
    removed: v.number(),
    owner: v.string(),
  }),
  /** On disk before the first byte is typed; `offset` is the output's end then. */
  v.object({ is: v.literal('typing'), id: v.string(), at: v.string(), offset: v.number() }),
  v.object({ is: v.literal('typed'), id: v.string(), at: v.string() }),
  v.object({ is: v.literal('submitted'), id: v.string(), at: v.string() }),
  v.object({
    is: v.literal('finished'),
    id: v.string(),
    at: v.string(),
    /** The output's end. */
    offset: v.number(),
  }),
  v.object({ is: v.picklist(['unknown', 'failed']), id: v.string(), at: v.string(), why: v.string() }),
  /** Nobody waits for it any more, and nothing of it was typed: as if it had never been. */
  v.object({ is: v.literal('withdrawn'), id: v.string(), at: v.string() }),
]);
export type PromptEntry = v.InferOutput<typeof promptEntrySchema>;

/** A prompt as its journal tells it. */
export interface PromptRecord {
  id: string;
  text: string;
  owner: string;
  removed: number;
  state: PromptReceipt['state'];
  why: string | null;
  acceptedAt: string;
  /** The first byte may have been typed. */
  typing: boolean;
  typedAt: string | null;
  submittedAt: string | null;
  finishedAt: string | null;
  outputOffset: number | null;
  endOffset: number | null;
}

/** Adds an entry to what is known; entries that fit to nothing are left out. */
export function applyEntry(records: Map<string, PromptRecord>, entry: PromptEntry): void {
  const { id, at } = entry;
  if (entry.is === 'accepted') {
    if (records.has(id)) return;
    const { text, removed, owner } = entry;
    const times = { acceptedAt: at, typedAt: null, submittedAt: null, finishedAt: null };
    const nothing = { typing: false, why: null, outputOffset: null, endOffset: null };
    records.set(id, { id, text, removed, owner, state: 'accepted', ...times, ...nothing });
    return;
  }
  if (entry.is === 'withdrawn') {
    records.delete(id);
    return;
  }
  const record = records.get(id);
  if (!record) return;
  switch (entry.is) {
    case 'typing':
      Object.assign(record, { typing: true, outputOffset: entry.offset });
      return;
    case 'typed':
      Object.assign(record, { state: 'typed', typedAt: at });
      return;
    case 'submitted':
      Object.assign(record, { state: 'submitted', submittedAt: at });
      return;
    case 'finished':
      Object.assign(record, { state: 'finished', finishedAt: at, endOffset: entry.offset });
      return;
    default:
      Object.assign(record, { state: entry.is, why: entry.why, finishedAt: at });
  }
}

/**
 * What is left of prompts whose server ended under them. What was being typed may have arrived; what only waited was
 * never typed.
 */
export function afterLoss(record: PromptRecord): Pick<PromptRecord, 'state' | 'why'> | undefined {
  if (record.state === 'finished' || record.state === 'unknown' || record.state === 'failed') return undefined;
  if (!record.typing) return { state: 'failed', why: 'the session ended before anything was typed' };
  const what = record.state === 'submitted' ? 'during the turn' : 'while it was being typed';
  return { state: 'unknown', why: `the headless server ended ${what}` };
}

export function receiptOf(record: PromptRecord, session: string, machine: string): PromptReceipt {
  const { id, state, why, acceptedAt, typedAt, submittedAt, finishedAt, removed, outputOffset } = record;
  return { id, session, machine, state, why, acceptedAt, typedAt, submittedAt, finishedAt, removed, outputOffset };
}
