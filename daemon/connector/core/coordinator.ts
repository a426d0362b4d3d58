import type { MachineChoice } from '../../../shared/connector/definition.ts';
import type { AttemptReport, Kept, Outcome } from '../../../shared/protocol/attempt-methods.ts';
import type { Attempt, CallState, Intention, Placed } from './decide.ts';
import { decide } from './decide.ts';
import type { ReplicaMessage } from './messages.ts';
import type { Decision, MachineRef, StoredRecord, Undated } from './records.ts';
import type { ReplicaOptions, Save, SavedReplica } from './replica.ts';
import { Replica } from './replica.ts';
import { fold, type RunState, type WorkerState } from './state.ts';
import type { Observed } from './status.ts';

/** What machines and people ask of whoever coordinates the run. */
export type Ask =
  | { is: 'renew'; attempt: Attempt; report: AttemptReport }
  /** `text`: the output's, where it succeeded. */
  | { is: 'deliver'; attempt: Attempt; outcome: Outcome; text: string }
  | { is: 'cancel' }
  | { is: 'resume'; worker: string | null; decision: Decision | null };

export type Answer =
  /** What was asked for stands in the journal. */
  | { is: 'ok' }
  /** Another epoch is the present one, or none. */
  | { is: 'fenced' }
  /** This one does not coordinate the run, or not yet; it may or may not be done. `coordinator`: who may. */
  | { is: 'busy'; coordinator: string | null }
  | { is: 'refused'; why: string };

/** How a call to an attempt's machine came out. `failed`: it may or may not have been done, and is tried again. */
export type CallResult = { is: 'done'; kept?: Kept } | { is: 'failed' } | { is: 'refused'; why: string };

export interface CoordinatorOutput {
  /** Must be on disk before anything else of this leaves. */
  save: Save | undefined;
  messages: Array<{ to: string; message: ReplicaMessage }>;
  /** Calls to make; tell with `called` how each came out. */
  calls: Array<Extract<Intention, { do: 'begin' | 'end' }>>;
  answers: Array<{ id: number; answer: Answer }>;
  /** Records that count now. */
  committed: Array<{ index: number; record: StoredRecord }>;
  /** When `tick` is wanted at the latest. */
  wakeAt: number;
}

/** What it may look at around it. */
export interface Surroundings {
  self: string;
  random: () => number;
  /** ISO 8601, for people. */
  date: () => string;
  online: (machine: string) => boolean;
  place: (choice: MachineChoice, load: ReadonlyMap<string, number>) => Placed;
  timing?: ReplicaOptions['timing'];
}

interface Waiting {
  id: number;
  ask: Ask;
}

/** What a coordinator saw since it began to coordinate. None of it outlives that. */
interface Watch {
  term: number;
  started: number;
  readonly heard: Map<string, number>;
  readonly reports: Map<string, AttemptReport>;
  readonly calls: Map<string, CallState>;
  /** Indexes that it saw count, and when. */
  readonly applied: Map<number, number>;
}

/**
 * One run at one of its voters, where it coordinates or stands by. Times are on a clock that counts sleep, milliseconds.
 * It acts only on records that count, and only while it is certain that no other coordinates; what is asked of it while
 * records are on their way waits until they count. After a failed save it is to be made again from the disk.
 */
export class Coordinator {
  readonly #around: Surroundings;
  readonly #replica: Replica;
  #state: RunState | undefined;
  #watch: Watch;
  #waiting: Waiting[] = [];
  /** Asks whose record is on its way, by its index. */
  readonly #pending = new Map<number, number>();
  /** Machines that stopped, to be noted. */
  #stopped: Array<{ attempt: Attempt; kept: Kept }> = [];
  #lastId = 0;
  #out: Pick<CoordinatorOutput, 'calls' | 'answers' | 'committed'> = { calls: [], answers: [], committed: [] };
  #decideAt = Number.POSITIVE_INFINITY;
  /** Why no machine takes workers that could start. */
  readonly #lacks = new Map<string, string>();

  private constructor(around: Surroundings, replica: Replica, now: number) {
    this.#around = around;
    this.#replica = replica;
    this.#watch = newWatch(0, now);
  }

  /** Begins a run; `begun` is its first record, whose first voter is this machine. */
  static found(around: Surroundings, begun: StoredRecord, now: number): Coordinator {
    return new Coordinator(around, Replica.found(replicaOptions(around, now), begun), now);
  }

  /** Goes on with what is on disk; also with nothing, where a coordinator has just named this machine a voter. */
  static load(around: Surroundings, saved: SavedReplica, now: number): Coordinator {
    return new Coordinator(around, new Replica({ ...replicaOptions(around, now), saved }), now);
  }

  /** The run, by the records that this machine knows to count; undefined before the first does. */
  get state(): RunState | undefined {
    return this.#state;
  }

  get leader(): string | null {
    return this.#replica.leader;
  }

  mayAct(now: number): boolean {
    return this.#replica.mayAct(now);
  }

  /** What attempts were last heard to do; only a coordinator hears. */
  observed(now: number): Observed {
    const { heard, reports, started } = this.#watch;
    return {
      report: (attempt) => reports.get(keyOf(attempt)),
      lack: (worker) => this.#lacks.get(worker),
      silent: (attempt) => {
        const worker = this.#state?.workers.get(attempt.worker);
        if (!worker?.machine || !this.#replica.isLeader) return false;
        const since = Math.max(started, this.#appliedAt(worker.grantIndex), heard.get(keyOf(attempt)) ?? started);
        return !this.#around.online(worker.machine.id) || now >= since + worker.definition.lease.ttlMs;
      },
    };
  }

  /** Time has passed, or something changed around it. */
  tick(now: number): void {
    this.#replica.tick(now);
  }

  receive(from: string, message: ReplicaMessage, now: number): void {
    this.#replica.receive(from, message, now);
  }

  /** Takes up an ask; the answer comes under the number that this gives. */
  ask(ask: Ask, now: number): number {
    const id = ++this.#lastId;
    if (ask.is === 'renew' && this.#replica.isLeader) {
      // It was sent before now, so its lease is over that long after now, whenever it is answered.
      this.#watch.heard.set(keyOf(ask.attempt), now);
      this.#watch.reports.set(keyOf(ask.attempt), ask.report);
    }
    this.#waiting.push({ id, ask });
    return id;
  }

  /** How a call that this ordered came out. */
  called(call: { do: 'begin' | 'end'; attempt: Attempt }, result: CallResult, now: number): void {
    const state = this.#watch.calls.get(callKey(call));
    if (!state) return;
    state.running = false;
    if (result.is === 'done') state.doneAt = now;
    if (result.is === 'refused') state.refused = result.why;
    if (call.do !== 'end' || result.is === 'failed') return;
    // A machine that will not say what it kept has nothing to say.
    const kept = (result.is === 'done' ? result.kept : undefined) ?? { folder: null, branch: null };
    this.#stopped.push({ attempt: call.attempt, kept });
  }

  /** What came of all that went in since the last time. */
  take(now: number): CoordinatorOutput {
    const messages: CoordinatorOutput['messages'] = [];
    let save: Save | undefined;
    for (let more = true; more; ) {
      const output = this.#replica.take();
      save = merged(save, output.save);
      messages.push(...output.messages);
      for (const { index, record } of output.committed) this.#apply(index, record, now);
      more = this.#act(now);
    }
    const out = this.#out;
    this.#out = { calls: [], answers: [], committed: [] };
    return { ...out, save, messages, wakeAt: Math.min(this.#replica.wakeAt, this.#decideAt) };
  }

  #apply(index: number, record: StoredRecord, now: number): void {
    const before = this.#state;
    this.#state = fold(before, index, record);
    const isOwn = this.#watch.term === this.#replica.term && this.#replica.isLeader;
    if (isOwn && before && this.#state.ignored > before.ignored) {
      // It would be appended again, and again.
      throw new Error(`record ${index}, ${record.kind}, contradicts the run`);
    }
    this.#watch.applied.set(index, now);
    this.#out.committed.push({ index, record });
    const id = this.#pending.get(index);
    this.#pending.delete(index);
    if (id !== undefined) this.#answer(id, { is: 'ok' });
  }

  /** Does what is to be done now; says whether records were appended. */
  #act(now: number): boolean {
    this.#decideAt = Number.POSITIVE_INFINITY;
    if (!this.#replica.isLeader) {
      this.#standBy();
      return false;
    }
    if (!this.#state || !this.#replica.mayAct(now)) return false;
    if (this.#watch.term !== this.#replica.term) this.#watch = newWatch(this.#replica.term, now);
    this.#lacks.clear();
    const batch = new Batch(this.#state);
    for (const intention of decide(this.#state, this.#view(now))) this.#carryOut(intention, batch, now);
    for (const { attempt, kept } of this.#stopped) this.#note(attempt, kept, batch);
    this.#stopped = [];
    const waiting = this.#waiting;
    this.#waiting = [];
    // What people say comes first: a cancelled run renews nobody's lease.
    for (const one of waiting) if (isSteering(one.ask)) this.#serve(one, this.#state, batch);
    for (const one of waiting) if (!isSteering(one.ask)) this.#serve(one, this.#state, batch);
    if (batch.records.length === 0) return false;
    const at = this.#around.date();
    const records = batch.records.map(({ record }) => ({ ...record, at }));
    const first = this.#replica.propose(records, now);
    for (const [i, { id }] of batch.records.entries()) if (id !== undefined) this.#pending.set(first + i, id);
    return true;
  }

  #standBy(): void {
    const answer: Answer = { is: 'busy', coordinator: this.#replica.leader };
    for (const id of this.#pending.values()) this.#answer(id, answer);
    this.#pending.clear();
    for (const { id } of this.#waiting) this.#answer(id, answer);
    this.#waiting = [];
    this.#stopped = [];
  }

  #carryOut(intention: Intention, batch: Batch, now: number): void {
    switch (intention.do) {
      case 'append':
        batch.add(intention.record);
        return;
      case 'wait':
        this.#decideAt = intention.until;
        return;
      case 'lack':
        this.#lacks.set(intention.worker, intention.why);
        return;
      default: {
        const before = this.#watch.calls.get(callKey(intention));
        const doneAt = before?.doneAt ?? null;
        this.#watch.calls.set(callKey(intention), { running: true, triedAt: now, doneAt, refused: null });
        this.#out.calls.push(intention);
      }
    }
  }

  #note(attempt: Attempt, kept: Kept, batch: Batch): void {
    const worker = this.#state?.workers.get(attempt.worker);
    const machine = worker?.abandoned.find(({ epoch }) => epoch === attempt.epoch)?.machine;
    if (machine) batch.add({ kind: 'fenced', ...attempt, machine, kept });
  }

  /** Serves an ask, unless it has to wait for what this batch changes. */
  #serve(waiting: Waiting, state: RunState, batch: Batch): void {
    const { id, ask } = waiting;
    const answer = isSteering(ask) ? steer(ask, state, batch) : attempted(ask, batch);
    if (answer === 'wait') this.#waiting.push(waiting);
    else if ('record' in answer) batch.add(answer.record, id);
    else this.#answer(id, answer);
  }

  #answer(id: number, answer: Answer): void {
    this.#out.answers.push({ id, answer });
  }

  #appliedAt(index: number): number {
    return this.#watch.applied.get(index) ?? this.#watch.started;
  }

  #view(now: number): Parameters<typeof decide>[1] {
    const { started, heard, calls } = this.#watch;
    return {
      ...{ now, started },
      appliedAt: (index) => this.#appliedAt(index),
      heard: (attempt) => heard.get(keyOf(attempt)),
      begin: (attempt) => calls.get(callKey({ do: 'begin', attempt })),
      end: (attempt) => calls.get(callKey({ do: 'end', attempt })),
      online: this.#around.online,
      place: this.#around.place,
    };
  }
}

/** Records that are appended together. */
class Batch {
  readonly #state: RunState;
  readonly records: Array<{ record: Undated; id?: number }> = [];
  readonly #touched = new Set<string>();
  #all = false;

  constructor(state: RunState) {
    this.#state = state;
  }

  /** `id`: the ask that is answered once it counts. */
  add(record: Undated, id?: number): void {
    this.records.push(id === undefined ? { record } : { record, id });
    const worker = 'worker' in record ? record.worker : null;
    if (worker === null) this.#all = true;
    else this.#touched.add(worker);
  }

  /** Whether a record of it is about this worker; without a worker: whether there is any. */
  touches(worker: string | null): boolean {
    return this.#all || (worker === null ? this.#touched.size > 0 : this.#touched.has(worker));
  }

  worker(name: string): WorkerState | undefined {
    return this.#state.workers.get(name);
  }
}

type Steering = Extract<Ask, { is: 'cancel' | 'resume' }>;

function isSteering(ask: Ask): ask is Steering {
  return ask.is === 'cancel' || ask.is === 'resume';
}

type Served = Answer | { record: Undated } | 'wait';

function attempted(ask: Extract<Ask, { attempt: Attempt }>, batch: Batch): Served {
  const { attempt } = ask;
  if (batch.touches(attempt.worker)) return 'wait';
  const worker = batch.worker(attempt.worker);
  if (!worker?.machine) return { is: 'fenced' };
  // Its answer may have been lost on the way.
  if (worker.delivered.has(attempt.epoch)) return { is: 'ok' };
  if (!worker.active || worker.epoch !== attempt.epoch) return { is: 'fenced' };
  if (ask.is === 'deliver') return { record: delivered(ask, worker.machine) };
  if (!ask.report.submitted || worker.submitted) return { is: 'ok' };
  return { record: { kind: 'submitted', ...attempt } };
}

function delivered({ attempt, outcome, text }: Extract<Ask, { is: 'deliver' }>, machine: MachineRef): Undated {
  const { kept, durationMs } = outcome;
  const common = { ...attempt, kept, machine, durationMs };
  if (outcome.is === 'succeeded') {
    return { kind: 'commit', ...common, output: { text, json: outcome.json, files: outcome.files } };
  }
  const { reason, why, submitted } = outcome;
  return { kind: 'failed', ...common, reason, why, submitted, final: false };
}

function steer(ask: Steering, state: RunState, batch: Batch): Served {
  if (ask.is === 'cancel') {
    if (batch.touches(null)) return 'wait';
    if (state.cancelled || state.ended?.state === 'cancelled') return { is: 'ok' };
    return state.ended ? { is: 'refused', why: 'the run is over' } : { record: { kind: 'cancelled' } };
  }
  const { worker, decision } = ask;
  if (batch.touches(worker)) return 'wait';
  if (state.ended) return { is: 'refused', why: 'the run is over' };
  const paused = [...state.workers.values()].filter((one) => one.paused !== null).map((one) => one.definition.name);
  if (worker !== null && !paused.includes(worker)) return { is: 'refused', why: `${worker} is not paused` };
  if (worker === null && paused.length === 0 && state.paused === null) {
    return { is: 'refused', why: 'the run is not paused' };
  }
  if (decision === null && paused.length > 0) {
    const named = worker ?? paused.join(', ');
    return { is: 'refused', why: `say whether ${named} is to be run again, skipped or taken for failed` };
  }
  return { record: { kind: 'resumed', worker, decision: decision ?? 'continue' } };
}

function newWatch(term: number, started: number): Watch {
  return { term, started, heard: new Map(), reports: new Map(), calls: new Map(), applied: new Map() };
}

function replicaOptions(around: Surroundings, now: number): Omit<ReplicaOptions, 'saved'> {
  const { self, random, date, timing } = around;
  return {
    ...{ self, now, random },
    termRecord: (term) => ({ kind: 'term', at: date(), term, coordinator: self }),
    ...(timing ? { timing } : {}),
  };
}

function keyOf({ worker, epoch }: Attempt): string {
  return `${epoch} ${worker}`;
}

function callKey({ do: what, attempt }: { do: 'begin' | 'end'; attempt: Attempt }): string {
  return `${what} ${keyOf(attempt)}`;
}

/** One save that does what both do, one after the other. */
function merged(first: Save | undefined, then: Save | undefined): Save | undefined {
  if (!first || !then) return first ?? then;
  const ballot = then.ballot ?? first.ballot;
  const log = first.log && then.log ? joined(first.log, then.log) : (then.log ?? first.log);
  return { ...(ballot ? { ballot } : {}), ...(log ? { log } : {}) };
}

function joined(first: NonNullable<Save['log']>, then: NonNullable<Save['log']>): NonNullable<Save['log']> {
  const stays = first.entries.slice(0, Math.max(0, then.from - first.from));
  return then.from <= first.from ? then : { from: first.from, entries: [...stays, ...then.entries] };
}
