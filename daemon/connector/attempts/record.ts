import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { AttemptKey, AttemptSpec } from '../../../shared/protocol/attempt-methods.ts';
import {
  attemptSpecSchema,
  attemptStepSchema,
  keptSchema,
  outcomeSchema,
} from '../../../shared/protocol/attempt-methods.ts';

const worktreeSchema = v.object({
  /** The repository's own folder (`.git`), which all of its worktrees share. */
  common: v.string(),
  /** The worktree's folder in it. */
  gitDir: v.string(),
  /** The folder that is checked out. */
  path: v.string(),
  branch: v.string(),
  /** The commit that it started from. */
  base: v.string(),
  /** Symbolic links in it to large folders of the main checkout. */
  links: v.array(v.string()),
  /** It is an earlier run's, gone on in. */
  resumed: v.boolean(),
});
export type Worktree = v.InferOutput<typeof worktreeSchema>;

/** Where an attempt works. */
const placeSchema = v.object({
  /** Its working folder. */
  cwd: v.string(),
  scratchpad: v.nullable(v.string()),
});
export type Place = v.InferOutput<typeof placeSchema>;

/** What is on disk of an attempt; its prompt and its output lie beside it. */
const attemptSchema = v.object({
  spec: attemptSpecSchema,
  step: attemptStepSchema,
  beganAt: v.string(),
  /** From before it is made. */
  worktree: v.nullable(worktreeSchema),
  place: v.nullable(placeSchema),
  session: v.nullable(v.string()),
  /** The session of its check. */
  check: v.nullable(v.string()),
  /** From before its prompt is handed over. */
  submitted: v.boolean(),
  /** Milliseconds of its limits that are used up. */
  spent: v.object({ start: v.number(), turn: v.number(), check: v.number() }),
  outcome: v.nullable(outcomeSchema),
  /** Why it is over; null while it is not. */
  over: v.nullable(v.picklist(['taken', 'cancelled', 'fenced'])),
  kept: keptSchema,
});
export type AttemptRecord = v.InferOutput<typeof attemptSchema>;

/** The file of one worker of a run. */
export const workerFileSchema = v.object({
  run: v.string(),
  worker: v.string(),
  /** The highest epoch that this machine was ever told of. */
  highest: v.number(),
  attempt: v.nullable(attemptSchema),
  /** What earlier attempts left. */
  former: v.array(v.object({ epoch: v.number(), kept: keptSchema })),
});
export type WorkerFile = v.InferOutput<typeof workerFileSchema>;

export const nothingKept = { folder: null, branch: null };

export function newAttempt(spec: AttemptSpec): AttemptRecord {
  return {
    ...{ spec, step: 'preparing', beganAt: new Date().toISOString(), worktree: null, place: null, session: null },
    ...{ check: null, submitted: false, spent: { start: 0, turn: 0, check: 0 }, outcome: null, over: null },
    kept: nothingKept,
  };
}

/** A worker's name as part of a file's: no two get the same, whatever the file system makes of case. */
export function fileNameOf(worker: string): string {
  const plain = /^[a-z0-9][a-z0-9._-]{0,63}$/;
  return plain.test(worker) ? worker : `${slugOf(worker, 40)}-${digest(worker)}`;
}

/** The name of an attempt's session: a person can tell whose it is, and no other session has it. */
export function sessionNameOf({ run, worker, epoch, runName }: AttemptKey & { runName: string }): string {
  const parts = [slugOf(runName, 18), slugOf(worker, 18), epoch, digest(`${run}\n${worker}\n${epoch}`)];
  return parts.filter((part) => part !== '').join('-');
}

/** Names its prompt: whoever asks for it again gets the same one, typed once. */
export function promptIdOf({ run, worker, epoch }: AttemptKey): string {
  return `run-${createHash('sha256').update(`${run}\n${worker}\n${epoch}`).digest('hex').slice(0, 32)}`;
}

/** What can be part of a file's, a branch's and a session's name. */
export function slugOf(text: string, longest: number): string {
  return text
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[-_]+|-+$/g, '')
    .slice(0, longest);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
