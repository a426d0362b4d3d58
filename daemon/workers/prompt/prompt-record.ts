import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { PromptReceipt } from '../../../shared/protocol/worker-methods.ts';

/** One line of a session's prompt journal. Times are ISO 8601. */
export const promptEntrySchema = v.variant('is', [
  v.object({
    is: v.literal('accepted'),
    id: v.string(),
    at: v.string(),
    /** Left out where it is long ago; then `digest` says which it was. */
    text: v.optional(v.string()),
    digest: v.optional(v.string()),
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
    /** Size of the file that keeps its answer, where there is one. */
    answerBytes: v.optional(v.number()),
  }),
  v.object({ is: v.picklist(['unknown', 'failed']), id: v.string(), at: v.string(), why: v.string() }),
  /** Nobody waits for it any more, and nothing of it was typed: as if it had never been. */
  v.object({ is: v.literal('withdrawn'), id: v.string(), at: v.string() }),
]);
export type PromptEntry = v.InferOutput<typeof promptEntrySchema>;

/** A prompt as its journal tells it. */
export interface PromptRecord {
  id: string;
  /** Undefined once it is long ago: then its answer is not kept either. */
  text: string | undefined;
  /** SHA-256 of the text, in hex. */
  digest: string;
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
  answerBytes: number;
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Finished prompts whose state is remembered. */
const mostRecords = 4096;
/** So much of their texts, in characters, and of their answers, in bytes, is kept; the last one's whatever their size. */
const mostText = 4 << 20;
const mostAnswers = 64 << 20;

export interface TooOld {
  /** Not to be remembered at all. */
  records: PromptRecord[];
  /** To be remembered without text and answer. */
  texts: PromptRecord[];
}

/** What of these prompts, the oldest first, need not be kept. Nothing of one that is not over is among it. */
export function tooOld(records: readonly PromptRecord[]): TooOld {
  const found: TooOld = { records: [], texts: [] };
  const over = records.filter(({ finishedAt }) => finishedAt !== null).reverse();
  let [text, answers] = [0, 0];
  for (const [index, record] of over.entries()) {
    text += record.text?.length ?? 0;
    answers += record.answerBytes;
    if (index >= mostRecords) found.records.push(record);
    else if (index > 0 && record.text !== undefined && (text > mostText || answers > mostAnswers)) {
      found.texts.push(record);
    }
  }
  return found;
}

/** The entries that tell of a prompt what is known of it. */
export function entriesOf(record: PromptRecord): PromptEntry[] {
  const { id, text, digest, removed, owner, state, why, acceptedAt, typedAt, submittedAt, finishedAt } = record;
  const { outputOffset: offset, endOffset, answerBytes } = record;
  const entries: PromptEntry[] = [{ is: 'accepted', id, at: acceptedAt, text, digest, removed, owner }];
  if (record.typing) entries.push({ is: 'typing', id, at: typedAt ?? acceptedAt, offset: offset ?? 0 });
  if (typedAt !== null) entries.push({ is: 'typed', id, at: typedAt });
  if (submittedAt !== null) entries.push({ is: 'submitted', id, at: submittedAt });
  if (finishedAt === null) return entries;
  if (state === 'finished') entries.push({ is: 'finished', id, at: finishedAt, offset: endOffset ?? 0, answerBytes });
  else if (state === 'unknown' || state === 'failed') {
    entries.push({ is: state, id, at: finishedAt, why: why ?? '' });
  }
  return entries;
}

/** Adds an entry to what is known; entries that fit to nothing are left out. */
export function applyEntry(records: Map<string, PromptRecord>, entry: PromptEntry): void {
  const { id, at } = entry;
  if (entry.is === 'accepted') {
    if (records.has(id)) return;
    const { text, removed, owner } = entry;
    const digest = entry.digest ?? digestOf(text ?? '');
    const times = { acceptedAt: at, typedAt: null, submittedAt: null, finishedAt: null };
    const nothing = { typing: false, why: null, outputOffset: null, endOffset: null, answerBytes: 0 };
    records.set(id, { id, text, digest, removed, owner, state: 'accepted', ...times, ...nothing });
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
      record.answerBytes = entry.answerBytes ?? 0;
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
