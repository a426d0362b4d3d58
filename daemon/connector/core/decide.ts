import type { MachineChoice } from '../../../shared/connector/definition.ts';
import { hasFailed, isDone, isOver, lostAfterMs, nextAttempt } from './next-attempt.ts';
import type { MachineRef, Undated } from './records.ts';
import { nothingKept } from './records.ts';
import type { Abandoned, RunState, WorkerState } from './state.ts';

/** One attempt of the run that is decided about. */
export interface Attempt {
  worker: string;
  epoch: number;
}

/** How far a call to an attempt's machine has come. Times on the boot clock, milliseconds. */
export interface CallState {
  /** It has not been answered yet. */
  running: boolean;
  triedAt: number;
  /** When it was last answered well. */
  doneAt: number | null;
  /** The machine will not do it, and says why. */
  refused: string | null;
}

export type Placed = { machine: MachineRef } | { none: string };

/** All that a coordinator knows beside the journal. Times on the boot clock, which counts sleep, in milliseconds. */
export interface View {
  now: number;
  /** When this coordinator took the run over, or began it. */
  started: number;
  /** When this coordinator saw that the record counts; `started` for those before. */
  appliedAt(index: number): number;
  /** When the last renewal of this attempt came to this coordinator. */
  heard(attempt: Attempt): number | undefined;
  /** The last call of `attempt.begin`, or of `attempt.end`, for it by this coordinator. */
  begin(attempt: Attempt): CallState | undefined;
  end(attempt: Attempt): CallState | undefined;
  /** What presence says; it may be late, and wrong. */
  online(machine: string): boolean;
  /** Chooses a machine that is there. `load`: workers of this run that each machine has, by its id. */
  place(choice: MachineChoice, load: ReadonlyMap<string, number>): Placed;
}

export type Intention =
  | { do: 'append'; record: Undated }
  | { do: 'begin'; attempt: Attempt; machine: MachineRef }
  | { do: 'end'; attempt: Attempt; machine: MachineRef; why: 'cancelled' | 'fenced' }
  /** It could start now, and no machine takes it: why. */
  | { do: 'lack'; worker: string; why: string }
  /** Nothing more before then, unless something happens. */
  | { do: 'wait'; until: number };

/** A machine that refuses to go on with what it was told before is told again after this long: a full disk may have room. */
const refusedAgainMs = 30_000;
/** A call that failed is tried again after this long. */
const callAgainMs = 1_000;
/** How long a worker waits for a machine of its placement before it goes on to the next: presence may be late. */
const placementGraceMs = 5_000;

/**
 * What a coordinator has to do now. `state` holds only records that count, and there are none that do not count yet:
 * what is appended is decided about once it counts.
 */
export function decide(state: RunState, view: View): Intention[] {
  return new Decision(state, view).made();
}

class Decision {
  readonly #state: RunState;
  readonly #view: View;
  readonly #workers: WorkerState[];
  readonly #intentions: Intention[] = [];
  #until = Number.POSITIVE_INFINITY;
  /** Workers of this run that each machine has. */
  readonly #load = new Map<string, number>();

  constructor(state: RunState, view: View) {
    this.#state = state;
    this.#view = view;
    this.#workers = [...state.workers.values()];
    for (const { active, machine } of this.#workers) if (active && machine) this.#count(machine);
  }

  made(): Intention[] {
    const { ended, cancelled } = this.#state;
    if (cancelled && !ended) this.#append({ kind: 'ended', state: 'cancelled', why: null });
    if (!isOver(this.#state) && !cancelled) this.#goOn();
    for (const worker of this.#workers) for (const one of worker.abandoned) this.#end(worker, one);
    if (this.#until < Number.POSITIVE_INFINITY) this.#intentions.push({ do: 'wait', until: this.#until });
    return this.#intentions;
  }

  #goOn(): void {
    const failed = this.#workers.filter(hasFailed);
    for (const worker of this.#workers) this.#attend(worker, failed.length > 0);
    // What came of that decides what may be started.
    if (this.#intentions.some((one) => one.do === 'append')) return;
    const [first] = failed;
    if (first) {
      if (!this.#workers.some(({ active }) => active)) {
        const why = `${first.definition.name}: ${first.failure?.why ?? (first.verdict?.is === 'failed' ? first.verdict.why : '')}`;
        this.#append({ kind: 'ended', state: 'failed', why });
      }
      return;
    }
    if (this.#workers.every(isDone)) this.#append({ kind: 'ended', state: 'succeeded', why: null });
    else if (this.#state.paused === null && !this.#workers.some(({ paused }) => paused !== null)) this.#start();
  }

  /** Looks after a worker whose grant holds, or whose last attempt failed. */
  #attend(worker: WorkerState, failing: boolean): void {
    if (worker.verdict || this.#isOverTime(worker)) return;
    if (worker.active) this.#watch(worker, failing);
    else if (worker.paused === null) {
      const next = nextAttempt(worker);
      if (next.is === 'pause') this.#append({ kind: 'paused', worker: worker.definition.name, why: next.why });
    }
  }

  /** Ends it where all its attempts together took too long. */
  #isOverTime(worker: WorkerState): boolean {
    const { definition, firstGrant, paused, epoch, submitted, failure } = worker;
    const limit = definition.limits.totalMs;
    if (limit === 0 || !firstGrant || paused !== null || hasFailed(worker)) return false;
    const due = this.#view.now + limit - this.#elapsed(firstGrant);
    if (due > this.#view.now) {
      this.#wait(due);
      return false;
    }
    this.#append({
      ...{ kind: 'failed', worker: definition.name, epoch, reason: 'timeout' },
      why: `it was not done in ${limit} ms${failure ? `; before: ${failure.why}` : ''}`,
      ...{ submitted, kept: nothingKept, machine: null, durationMs: 0, final: true },
    });
    return true;
  }

  /** Since a record: by this coordinator's clock, and before it by what the records say. */
  #elapsed({ index, at }: { index: number; at: string }): number {
    const { term } = this.#state;
    const { now, started } = this.#view;
    if (index > term.index) return now - this.#view.appliedAt(index);
    return Math.max(0, Date.parse(term.at) - Date.parse(at)) + now - started;
  }

  #watch(worker: WorkerState, failing: boolean): void {
    const { definition, epoch, machine, paused } = worker;
    if (!machine) return;
    const { now, started } = this.#view;
    const attempt = { worker: definition.name, epoch };
    const heard = this.#view.heard(attempt);
    const call = this.#view.begin(attempt);
    const refused = call?.refused ?? null;
    if (refused !== null && heard === undefined && worker.grantIndex > this.#state.term.index) {
      // Nothing is done before a first renewal was answered, and only this coordinator could have.
      this.#append({
        ...{ kind: 'failed', ...attempt, reason: 'start_failed', why: refused, submitted: false },
        ...{ kept: nothingKept, machine: null, durationMs: 0, final: false },
      });
      return;
    }
    const lostAt =
      Math.max(started, this.#view.appliedAt(worker.grantIndex), heard ?? started) + lostAfterMs(definition.lease);
    const again = call && refused !== null ? call.triedAt + refusedAgainMs : now;
    if (refused !== null) this.#intentions.push({ do: 'lack', worker: definition.name, why: refused });
    if (this.#view.online(machine.id) && now >= again) {
      if (paused !== null && heard !== undefined && now < heard + definition.lease.ttlMs) {
        this.#append({ kind: 'resumed', worker: definition.name, decision: 'continue' });
      }
      this.#begin(worker, machine, call, heard);
    } else {
      if (again > now) this.#wait(again);
      if (now < lostAt) this.#wait(lostAt);
      else this.#giveUp(worker, failing);
    }
  }

  #begin(worker: WorkerState, machine: MachineRef, call: CallState | undefined, heard: number | undefined): void {
    const { definition, epoch } = worker;
    if (call?.running) return;
    const { now } = this.#view;
    // Once it was answered: again only when renewals do not come.
    const quietAt =
      call && call.doneAt !== null ? Math.max(call.doneAt, heard ?? 0) + 2 * definition.lease.renewMs : now;
    const due = call ? Math.max(call.triedAt + callAgainMs, quietAt) : now;
    if (due > now) this.#wait(due);
    else this.#intentions.push({ do: 'begin', attempt: { worker: definition.name, epoch }, machine });
  }

  /** Its machine is away and its lease is over. Work that may yet come back is given up only for something better. */
  #giveUp(worker: WorkerState, failing: boolean): void {
    const { definition, epoch, submitted, rerun } = worker;
    const name = definition.name;
    const lost: Undated = { kind: 'lost', worker: name, epoch };
    if (failing || rerun) this.#append(lost);
    else if (worker.paused === null && this.#hasBetter(worker)) {
      if (definition.sideEffects !== 'external' || !submitted) this.#append(lost);
      else {
        const why = `${worker.machine?.name} is away, and it may have done its work, or part of it`;
        this.#append({ kind: 'paused', worker: name, why });
      }
    }
  }

  /** Whether another machine would take its next attempt now. */
  #hasBetter(worker: WorkerState): boolean {
    const failure = { reason: 'offline', why: '', submitted: false, index: 0, at: '' } as const;
    const next = nextAttempt({ ...worker, failure });
    if (next.is !== 'attempt') return false;
    const found = this.#place(worker, next);
    return 'machine' in found && found.machine.id !== worker.machine?.id;
  }

  /** Grants what may be started: in the first phase that is not done, as many as it has room for. */
  #start(): void {
    const phase = this.#workers.find((worker) => !isDone(worker))?.phase ?? 0;
    const members = this.#workers.filter((worker) => worker.phase === phase);
    const readyIndex = Math.max(0, ...this.#workers.map((one) => (one.phase < phase ? (one.verdict?.index ?? 0) : 0)));
    let room = (this.#state.definition.phases[phase]?.parallel ?? 1) - members.filter(({ active }) => active).length;
    for (const worker of members) {
      if (room <= 0) return;
      const { definition, active, failure } = worker;
      if (active || isDone(worker)) continue;
      const needed = definition.needs.map((name) => this.#state.workers.get(name));
      if (!needed.every((one) => one && isDone(one))) continue;
      const indexes = needed.map((one) => one?.verdict?.index ?? 0);
      if (this.#grant(worker, Math.max(readyIndex, failure?.index ?? 0, ...indexes))) room--;
    }
  }

  /** `readyIndex`: the record with which it could start. */
  #grant(worker: WorkerState, readyIndex: number): boolean {
    const next = nextAttempt(worker);
    if (next.is !== 'attempt') return false;
    const { now, started } = this.#view;
    const ready = Math.max(started, this.#view.appliedAt(readyIndex)) + next.backoffMs;
    if (now < ready) {
      this.#wait(ready);
      return false;
    }
    const patient = now < ready + placementGraceMs;
    const found = this.#place(worker, next, patient);
    const { name } = worker.definition;
    if ('none' in found) {
      this.#intentions.push({ do: 'lack', worker: name, why: found.none });
      if (patient) this.#wait(ready + placementGraceMs);
      return false;
    }
    const { placement, attempt, machine } = found;
    this.#count(machine);
    this.#append({ kind: 'grant', worker: name, epoch: worker.epoch + 1, attempt, placement, machine });
    return true;
  }

  /** Where the attempt can be made: as it is due or, unless one is patient, on the first later placement that is there. */
  #place(
    { definition }: WorkerState,
    next: { placement: number; attempt: number },
    patient = false,
  ): { placement: number; attempt: number; machine: MachineRef } | { none: string } {
    const missing: string[] = [];
    const others = !patient && definition.failoverOn.includes('offline');
    const last = others ? definition.placements.length - 1 : next.placement;
    for (let placement = next.placement; placement <= last; placement++) {
      const choice = definition.placements[placement]?.machine ?? null;
      const placed = this.#view.place(choice, this.#load);
      const attempt = placement === next.placement ? next.attempt : 1;
      if ('machine' in placed) return { placement, attempt, machine: placed.machine };
      missing.push(placed.none);
    }
    return { none: missing.join('; ') };
  }

  #end({ definition }: WorkerState, { epoch, machine }: Abandoned): void {
    const attempt = { worker: definition.name, epoch };
    const call = this.#view.end(attempt);
    if (call?.running || !this.#view.online(machine.id)) return;
    const due = call ? call.triedAt + callAgainMs : this.#view.now;
    if (due > this.#view.now) this.#wait(due);
    else {
      const why = this.#state.cancelled ? 'cancelled' : 'fenced';
      this.#intentions.push({ do: 'end', attempt, machine, why });
    }
  }

  #count({ id }: MachineRef): void {
    this.#load.set(id, (this.#load.get(id) ?? 0) + 1);
  }

  #append(record: Undated): void {
    this.#intentions.push({ do: 'append', record });
  }

  #wait(until: number): void {
    this.#until = Math.min(this.#until, until);
  }
}
