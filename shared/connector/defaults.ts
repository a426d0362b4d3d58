import type { FailReason, Lease, Limits, OutputRule, WorkerDefinition } from './definition.ts';

/** What holds where a connector file says nothing. */
export const defaultLease: Lease = { ttlMs: 15_000, renewMs: 5_000, lostAfterMs: 30_000 };

export const failoverReasons = ['offline', 'start_failed', 'crash', 'quota'] as const satisfies FailReason[];

export const defaultLimits: Limits = {
  startMs: 2 * 60_000,
  turnMs: 12 * 3_600_000,
  stallMs: 0,
  totalMs: 48 * 3_600_000,
  bytes: 0,
};

export const defaultOutput: OutputRule = { file: null, json: null, files: [], maxBytes: 1 << 20 };

/** One attempt: what failed is run again only where the file says so. */
export const defaultRetry: WorkerDefinition['retry'] = { attempts: 1, backoffMs: 5_000 };

export const defaultRounds = 3;

export const defaultPick = 'idle';
