import type { FailReason, OutputValue, RunDefinition, WorkerDefinition } from '../../../shared/connector/definition.ts';
import type { Kept } from '../../../shared/protocol/attempt-methods.ts';
import type { MachineRef, RecordOf, RunRecord, StoredRecord, VoterInfo } from './records.ts';
import { knownRecord } from './records.ts';

/** How an attempt came to nothing. */
export interface Failure {
  reason: FailReason;
  why: string;
  /** Its prompt may have been taken up. */
  submitted: boolean;
  /** Of the record that says so. */
  index: number;
  at: string;
}

/** How a worker ended for good, where it stands in the journal. That its attempts are used up follows from `failure`. */
export type Verdict = { index: number; at: string } & (
  | { is: 'succeeded'; output: OutputValue; durationMs: number; kept: Kept }
  | { is: 'skipped' }
  | { is: 'failed'; why: string }
);

/** An epoch that is over while its machine may not know it. */
export interface Abandoned {
  epoch: number;
  machine: MachineRef;
}

export interface WorkerState {
  readonly definition: WorkerDefinition;
  /** Index of its phase. */
  readonly phase: number;
  /** 0: never granted. */
  readonly epoch: number;
  /** Of the last grant: which attempt on this placement, which placement, whose machine. */
  readonly attempt: number;
  readonly placement: number;
  readonly machine: MachineRef | null;
  /** The last grant still holds. */
  readonly active: boolean;
  /** The prompt of the last grant may have been taken up. */
  readonly submitted: boolean;
  readonly grantIndex: number;
  readonly firstGrant: { index: number; at: string } | null;
  /** How the last attempt failed; null while there is none, or one goes on. */
  readonly failure: Failure | null;
  readonly verdict: Verdict | null;
  /** Why it waits for a person. */
  readonly paused: string | null;
  /** A person wants it to be run again, whatever its prompt may have done. */
  readonly rerun: boolean;
  /** Epochs whose machine told the outcome: it may tell it again. */
  readonly delivered: ReadonlySet<number>;
  readonly abandoned: readonly Abandoned[];
  readonly kept: ReadonlyArray<{ machine: string; epoch: number } & Kept>;
  /** When it came to stand as it does. */
  readonly since: string;
}

export interface RunState {
  readonly run: string;
  readonly definition: RunDefinition;
  readonly voters: readonly VoterInfo[];
  readonly startedBy: string;
  readonly startedAt: string;
  /** The last record. */
  readonly index: number;
  readonly term: { term: number; index: number; at: string; coordinator: string };
  readonly workers: ReadonlyMap<string, WorkerState>;
  /** Why the run as a whole is paused. */
  readonly paused: string | null;
  readonly cancelled: boolean;
  readonly ended: { state: 'succeeded' | 'failed' | 'cancelled'; why: string | null; at: string } | null;
  /** Records that contradict what stood before them. They change nothing; a coordinator never writes one. */
  readonly ignored: number;
}

/** The run after one more record. The first must be `begun`. */
export function fold(state: RunState | undefined, index: number, stored: StoredRecord): RunState {
  const record = knownRecord(stored);
  if (!state) {
    if (record?.kind !== 'begun') throw new Error(`a run's journal begins with "begun", not with "${stored.kind}"`);
    return begin(record, index);
  }
  const next = record === undefined ? state : (apply(state, index, record) ?? { ...state, ignored: state.ignored + 1 });
  return { ...next, index };
}

/** The run after all of its records, of which the first is number 1. */
export function foldAll(records: readonly StoredRecord[]): RunState | undefined {
  let state: RunState | undefined;
  for (const [i, record] of records.entries()) state = fold(state, i + 1, record);
  return state;
}

function begin(record: RecordOf<'begun'>, index: number): RunState {
  const { run, definition, voters, startedBy, at } = record;
  const workers = definition.phases.flatMap(({ workers }, phase) =>
    workers.map((definition): [string, WorkerState] => [definition.name, newWorker(definition, phase, at)]),
  );
  return {
    ...{ run, definition, voters, startedBy, startedAt: at, index },
    term: { term: 1, index, at, coordinator: voters[0]?.id ?? '' },
    workers: new Map(workers),
    ...{ paused: null, cancelled: false, ended: null, ignored: 0 },
  };
}

function newWorker(definition: WorkerDefinition, phase: number, since: string): WorkerState {
  return {
    ...{ definition, phase, since },
    ...{ epoch: 0, attempt: 0, placement: 0, machine: null, grantIndex: 0, firstGrant: null },
    ...{ active: false, submitted: false, failure: null, verdict: null, paused: null, rerun: false },
    ...{ delivered: new Set<number>(), abandoned: [], kept: [] },
  };
}

/** The run with this record; undefined where it contradicts the run. */
function apply(state: RunState, index: number, record: RunRecord): RunState | undefined {
  switch (record.kind) {
    case 'begun':
      return undefined;
    case 'term':
      return { ...state, term: { term: record.term, index, at: record.at, coordinator: record.coordinator } };
    case 'paused':
      return record.worker === null ? { ...state, paused: record.why } : pause(state, record.worker, record);
    case 'resumed':
      return resume(state, index, record);
    case 'cancelled':
      return state.ended || state.cancelled ? undefined : cancel(state, record.at);
    case 'ended':
      return state.ended ? undefined : { ...state, ended: { state: record.state, why: record.why, at: record.at } };
    default: {
      const worker = state.workers.get(record.worker);
      const changed = worker && changeWorker(state, worker, index, record);
      return changed && withWorker(state, changed);
    }
  }
}

type WorkerRecord = Extract<RunRecord, { epoch: number }>;

function changeWorker(
  state: RunState,
  worker: WorkerState,
  index: number,
  record: WorkerRecord,
): WorkerState | undefined {
  if (record.kind === 'fenced') return stopped(worker, record);
  if (state.ended || state.cancelled || worker.verdict) return undefined;
  if (record.kind === 'grant') return granted(worker, index, record);
  if (record.epoch !== worker.epoch) return undefined;
  if (record.kind === 'failed') return failed(worker, index, record);
  if (!worker.active) return undefined;
  const { at } = record;
  switch (record.kind) {
    case 'submitted':
      return { ...worker, submitted: true };
    case 'commit':
      return {
        ...worker,
        ...{ active: false, paused: null, since: at },
        delivered: new Set(worker.delivered).add(record.epoch),
        verdict: {
          is: 'succeeded',
          output: record.output,
          durationMs: record.durationMs,
          kept: record.kept,
          index,
          at,
        },
      };
    case 'lost': {
      const why = `${worker.machine?.name} is away`;
      const failure: Failure = { reason: 'offline', why, submitted: worker.submitted, index, at };
      return { ...abandon(worker), failure, paused: null, since: at };
    }
  }
}

function granted(worker: WorkerState, index: number, record: RecordOf<'grant'>): WorkerState | undefined {
  if (worker.active || record.epoch !== worker.epoch + 1) return undefined;
  const { epoch, attempt, placement, machine, at } = record;
  return {
    ...worker,
    ...{ epoch, attempt, placement, machine, active: true, submitted: false, grantIndex: index },
    ...{ failure: null, paused: null, rerun: false, since: at },
    firstGrant: worker.firstGrant ?? { index, at },
  };
}

function failed(worker: WorkerState, index: number, record: RecordOf<'failed'>): WorkerState | undefined {
  if (!worker.active && !record.final) return undefined;
  const { reason, why, at } = record;
  const submitted = record.submitted || (worker.failure?.submitted ?? worker.submitted);
  const told = record.machine !== null;
  return {
    ...(told ? keep(worker, record.machine?.name ?? '', record.epoch, record.kept) : abandon(worker)),
    ...{ active: false, paused: null, since: at },
    failure: { reason, why, submitted, index, at },
    delivered: told ? new Set(worker.delivered).add(record.epoch) : worker.delivered,
    verdict: record.final ? { is: 'failed', why, index, at } : null,
  };
}

/** The grant is over, and its machine may go on until it hears of it. */
function abandon(worker: WorkerState): WorkerState {
  const { epoch, machine, abandoned } = worker;
  if (!worker.active || !machine) return worker;
  return { ...worker, active: false, abandoned: [...abandoned, { epoch, machine }] };
}

function stopped(worker: WorkerState, { epoch, machine, kept }: RecordOf<'fenced'>): WorkerState {
  const abandoned = worker.abandoned.filter((one) => one.epoch !== epoch);
  return { ...keep(worker, machine.name, epoch, kept), abandoned };
}

function keep(worker: WorkerState, machine: string, epoch: number, kept: Kept): WorkerState {
  if (kept.folder === null && kept.branch === null) return worker;
  const others = worker.kept.filter((one) => one.epoch !== epoch);
  return { ...worker, kept: [...others, { machine, epoch, ...kept }] };
}

function pause(state: RunState, name: string, { why, at }: { why: string; at: string }): RunState | undefined {
  const worker = state.workers.get(name);
  if (!worker || worker.verdict || state.ended) return undefined;
  return withWorker(state, { ...worker, paused: why, since: at });
}

function resume(state: RunState, index: number, record: RecordOf<'resumed'>): RunState | undefined {
  if (state.ended) return undefined;
  const chosen = [...state.workers.values()].filter(
    ({ definition, paused }) => paused !== null && (record.worker === null || record.worker === definition.name),
  );
  const resumed = chosen.reduce((so, worker) => withWorker(so, decided(worker, index, record)), state);
  return record.worker === null ? { ...resumed, paused: null } : chosen.length > 0 ? resumed : undefined;
}

function decided(worker: WorkerState, index: number, { decision, at }: RecordOf<'resumed'>): WorkerState {
  const resumed = { ...worker, paused: null, since: at };
  switch (decision) {
    case 'rerun':
      return { ...resumed, rerun: true };
    case 'skip':
      return { ...abandon(resumed), verdict: { is: 'skipped', index, at } };
    case 'fail':
      return { ...abandon(resumed), verdict: { is: 'failed', why: worker.paused ?? '', index, at } };
    case 'continue':
      return resumed;
  }
}

function cancel(state: RunState, at: string): RunState {
  const workers = [...state.workers].map(([name, worker]): [string, WorkerState] => [
    name,
    worker.active ? { ...abandon(worker), paused: null, since: at } : worker,
  ]);
  return { ...state, cancelled: true, workers: new Map(workers) };
}

function withWorker(state: RunState, worker: WorkerState): RunState {
  return { ...state, workers: new Map(state.workers).set(worker.definition.name, worker) };
}
