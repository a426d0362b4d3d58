import { NiiaError } from '../../shared/errors.ts';
import type { AttemptKey, AttemptReport, Kept, Outcome } from '../../shared/protocol/attempt-methods.ts';
import type { RunInfo, RunStatus } from '../../shared/protocol/run-methods.ts';
import type { Log } from '../home/log.ts';
import { AttemptCalls } from './attempt-calls.ts';
import type { Attempt, Intention, Placed, View } from './core/decide.ts';
import { decide } from './core/decide.ts';
import type { ReplicaMessage } from './core/messages.ts';
import { isOver } from './core/next-attempt.ts';
import type { MachineRef, StoredRecord, Undated } from './core/records.ts';
import type { Replica, ReplicaOutput, Save } from './core/replica.ts';
import type { RunState } from './core/state.ts';
import { fold } from './core/state.ts';
import { runInfo, runStatus } from './core/status.ts';

export interface HostedRunOptions {
  run: string;
  /** This machine's id. */
  self: string;
  /** A replica as it is on disk; made again after a save failed. */
  replica: () => Promise<Replica>;
  save: (save: Save) => Promise<void>;
  send: (to: string, message: ReplicaMessage) => void;
  team: TeamView;
  machines: AttemptMachines;
  /** It counts sleep, milliseconds. */
  now: () => number;
  /** Something that can be seen of the run changed. */
  changed: () => void;
  log: Log;
}

/** What is known of machines now. */
export interface TeamView {
  online(machine: string): boolean;
  place(choice: Parameters<View['place']>[0], load: ReadonlyMap<string, number>, state: RunState): Placed;
}

/** Asks machines to carry out attempts, or to end them. */
export interface AttemptMachines {
  begin(machine: MachineRef, state: RunState, attempt: Attempt): Promise<AttemptReport>;
  end(machine: MachineRef, key: AttemptKey, why: 'cancelled' | 'fenced'): Promise<{ kept: Kept }>;
}

/** A change of the run that somebody asked for, made once this machine may act and nothing else is under way. */
interface Wish {
  /** The record for it, or null where there is nothing to do; throws where it must not be. */
  record: (state: RunState) => Undated | null;
  resolve: () => void;
  reject: (error: unknown) => void;
}

interface Heard {
  at: number;
  report: AttemptReport;
}

/** How long the renewals of an attempt may be away before it counts as lost, in renewals. */
const missesShown = 3;
/** How long the coordinator of a run that is over goes on to tell its standbys. */
const lingerMs = 60_000;
/** After a save failed (a full disk), milliseconds. */
const againMs = 2_000;
/** The longest time between two looks. */
const longestWaitMs = 5_000;

/**
 * One run on one machine that has its journal: as its coordinator, or standing by. All that happens goes through one
 * loop: messages and wishes come in, what the replica wants saved is saved, records that count are folded in, and where
 * this machine coordinates, what there is to do is decided from them.
 */
export class HostedRun {
  readonly #o: HostedRunOptions;
  readonly #calls: AttemptCalls;
  readonly #heard = new Map<string, Heard>();
  readonly #appliedAt = new Map<number, number>();
  readonly #records: Array<{ index: number; record: StoredRecord }> = [];
  #replica: Replica | undefined;
  #state: RunState | undefined;
  #inbox: Array<{ from: string; message: ReplicaMessage }> = [];
  #wishes: Wish[] = [];
  /** Wishes whose records are on their way, by index. */
  readonly #proposed = new Map<number, Wish>();
  #started: number | undefined;
  #startedTerm = 0;
  #working = false;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #lingerUntil: number;

  constructor(options: HostedRunOptions) {
    this.#o = options;
    this.#calls = new AttemptCalls(options.now, () => this.wake());
    this.#lingerUntil = options.now() + lingerMs;
  }

  /** Begins with a replica that is new, or takes up what is on disk; records that count are known when it resolves. */
  async open(replica?: Replica): Promise<void> {
    this.#replica = replica ?? (await this.#o.replica());
    await this.#loop();
  }

  /** Of a run that is over, all of its records: it rests until another voter asks. */
  restore(records: readonly StoredRecord[]): void {
    for (const [at, record] of records.entries()) this.#apply({ index: at + 1, record });
    this.#lingerUntil = Number.NEGATIVE_INFINITY;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    const error = new NiiaError('busy', 'this daemon stops');
    for (const wish of [...this.#wishes.splice(0), ...this.#proposed.values()]) wish.reject(error);
    this.#proposed.clear();
  }

  /** Undefined before its first record counts here. */
  get state(): RunState | undefined {
    return this.#state;
  }

  get isOver(): boolean {
    return this.#state !== undefined && isOver(this.#state);
  }

  /** The records that count, in order, the first number 1. */
  get records(): ReadonlyArray<{ index: number; record: StoredRecord }> {
    return this.#records;
  }

  get isCoordinator(): boolean {
    return this.#replica?.mayAct(this.#o.now()) ?? false;
  }

  /** The machine that coordinates it as far as this one knows. */
  get leader(): string | null {
    return this.#replica?.leader ?? null;
  }

  info(): RunInfo | undefined {
    return this.#state && runInfo(this.#state);
  }

  status(): RunStatus | undefined {
    return (
      this.#state &&
      runStatus(this.#state, {
        report: (attempt) => this.#heard.get(keyOf(attempt))?.report,
        silent: (attempt) => this.#isSilent(attempt),
      })
    );
  }

  /** A message of another voter. */
  receive(from: string, message: ReplicaMessage): void {
    this.#inbox.push({ from, message });
    this.#lingerUntil = this.#o.now() + lingerMs;
    this.wake();
  }

  /** Something may be different: a machine came or went, a call came back. */
  wake(): void {
    if (this.#closed) return;
    this.#again = true;
    if (!this.#working) void this.#loop();
  }

  /** Makes a change; resolves once it counts. Rejects with `busy`, and the coordinator as hint, where another has to make it. */
  async change(record: Wish['record']): Promise<void> {
    if (this.#closed) throw this.#notHere();
    const made = new Promise<void>((resolve, reject) => {
      this.#wishes.push({ record, resolve, reject });
    });
    this.wake();
    await made;
  }

  /** From the machine `from`: its attempt is alive. Throws `fenced` where it is not the present one. */
  async renew(key: AttemptKey, report: AttemptReport, from: string): Promise<void> {
    this.checkHolds(key, from);
    const worker = this.#mine(this.#acting(), key, from);
    if (report.submitted && !worker.submitted) {
      // Counts before the machine hears that it may go on: whoever takes over must know that it may have been prompted.
      await this.change((now) => {
        const present = this.#mine(now, key, from);
        if (!present.active) throw fenced(key);
        return present.submitted ? null : { kind: 'submitted', worker: key.worker, epoch: key.epoch };
      });
    }
    this.#acting();
    this.#heard.set(keyOf(key), { at: this.#o.now(), report });
    this.#o.changed();
    this.wake();
  }

  /** From the machine `from`: how its attempt ended. Resolves once it stands in the journal; a repeat changes nothing. */
  async deliver(key: AttemptKey, outcome: Outcome, text: string, from: string): Promise<void> {
    // Of a run that is over nothing more is taken, whoever coordinated it.
    if (this.#state && isOver(this.#state) && this.#mine(this.#state, key, from).delivered.has(key.epoch)) return;
    this.checkHolds(key, from, 'or delivered');
    await this.change((state) => {
      const worker = this.#mine(state, key, from);
      if (worker.delivered.has(key.epoch)) return null;
      const { machine } = worker;
      if (!worker.active || !machine) throw fenced(key);
      const { kept, durationMs } = outcome;
      const which = { worker: key.worker, epoch: key.epoch, kept, machine, durationMs };
      if (outcome.is === 'succeeded') {
        return { kind: 'commit', ...which, output: { text, json: outcome.json, files: outcome.files } };
      }
      const { reason, why, submitted } = outcome;
      return { kind: 'failed', ...which, reason, why, submitted, final: false };
    });
  }

  /** Throws `fenced` unless the attempt is the present one of `from`, and goes on (or brought its outcome before). */
  checkHolds(key: AttemptKey, from: string, orDelivered?: 'or delivered'): void {
    if (this.#state && isOver(this.#state)) throw fenced(key);
    const { active, delivered } = this.#mine(this.#acting(), key, from);
    if (!active && !(orDelivered && delivered.has(key.epoch))) throw fenced(key);
  }

  #mine(state: RunState, key: AttemptKey, from: string) {
    const worker = state.workers.get(key.worker);
    if (!worker || worker.epoch !== key.epoch || worker.machine?.id !== from) throw fenced(key);
    return worker;
  }

  #acting(): RunState {
    if (!this.#state || !this.isCoordinator) throw this.#notHere();
    return this.#state;
  }

  #notHere(): NiiaError {
    const leader = this.leader;
    return new NiiaError(
      'busy',
      `the run ${this.#o.run} is not coordinated by this machine now`,
      leader === null || leader === this.#o.self ? undefined : leader,
    );
  }

  #isSilent({ worker, epoch }: Attempt): boolean {
    const state = this.#state?.workers.get(worker);
    if (!state?.machine) return false;
    if (!this.#o.team.online(state.machine.id)) return true;
    const heard = this.#heard.get(keyOf({ worker, epoch }));
    return heard !== undefined && this.#o.now() > heard.at + missesShown * state.definition.lease.renewMs;
  }

  async #loop(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    clearTimeout(this.#timer);
    let wakeAt = 0;
    try {
      do {
        this.#again = false;
        wakeAt = await this.#turn();
      } while (this.#again && !this.#closed);
    } catch (error) {
      this.#o.log.error('a run cannot go on for now', { run: this.#o.run, error });
      this.#failAll(NiiaError.from(error));
      this.#replica = undefined;
      wakeAt = this.#o.now() + againMs;
    } finally {
      this.#working = false;
    }
    if (this.#closed || wakeAt === Number.POSITIVE_INFINITY) return;
    const ms = Math.min(longestWaitMs, Math.max(0, wakeAt - this.#o.now()));
    this.#timer = setTimeout(() => this.wake(), ms);
    this.#timer.unref();
  }

  /** One look at everything; gives when the next is due. */
  async #turn(): Promise<number> {
    const replica = (this.#replica ??= await this.#o.replica());
    for (const { from, message } of this.#inbox.splice(0)) replica.receive(from, message, this.#o.now());
    if (!this.#rests()) replica.tick(this.#o.now());
    await this.#settle(replica);
    const until = this.#act(replica);
    await this.#settle(replica);
    if (!replica.isLeader) this.#failAll(this.#notHere());
    return this.#rests() ? Number.POSITIVE_INFINITY : Math.min(replica.wakeAt, until);
  }

  /** It is over, and whoever stands by has had time to hear of it. */
  #rests(): boolean {
    if (!this.#state || !isOver(this.#state)) return false;
    const toEnd = [...this.#state.workers.values()].some(({ abandoned }) => abandoned.length > 0);
    return !toEnd && this.#o.now() > this.#lingerUntil;
  }

  /** Saves and sends what the replica has to, and folds in what counts. */
  async #settle(replica: Replica): Promise<void> {
    const { save, messages, committed } = replica.take();
    if (save) await this.#o.save(save);
    for (const { to, message } of messages) this.#o.send(to, message);
    for (const one of committed) this.#apply(one);
    if (committed.length > 0) this.#o.changed();
  }

  #apply({ index, record }: ReplicaOutput['committed'][number]): void {
    // A replica made again tells everything again.
    if (index <= (this.#state?.index ?? 0)) return;
    this.#state = fold(this.#state, index, record);
    this.#records.push({ index, record });
    this.#appliedAt.set(index, this.#o.now());
    if (isOver(this.#state)) this.#lingerUntil = this.#o.now() + lingerMs;
    this.#proposed.get(index)?.resolve();
    this.#proposed.delete(index);
  }

  /** What a coordinator does; gives when it wants to look again. */
  #act(replica: Replica): number {
    const now = this.#o.now();
    const state = this.#state;
    if (!state || !replica.mayAct(now)) return Number.POSITIVE_INFINITY;
    if (this.#started === undefined || this.#startedTerm !== replica.term) {
      this.#started = now;
      this.#startedTerm = replica.term;
      this.#heard.clear();
      this.#calls.forget();
    }
    if (this.#wishes.length > 0) {
      this.#fulfil(replica, state, now);
      return now;
    }
    let until = Number.POSITIVE_INFINITY;
    const records: StoredRecord[] = [];
    for (const intention of decide(state, this.#view(now, this.#started))) {
      if (intention.do === 'append') records.push(dated(intention.record));
      else if (intention.do === 'wait') until = Math.min(until, intention.until);
      else this.#call(intention, state);
    }
    if (records.length > 0) {
      replica.propose(records, now);
      return now;
    }
    return until;
  }

  /** The first wish that leads to a record; the others come after it counts. */
  #fulfil(replica: Replica, state: RunState, now: number): void {
    for (let wish = this.#wishes.shift(); wish; wish = this.#wishes.shift()) {
      try {
        const record = wish.record(state);
        if (record === null) {
          wish.resolve();
          continue;
        }
        this.#proposed.set(replica.propose([dated(record)], now), wish);
        return;
      } catch (error) {
        wish.reject(error);
      }
    }
  }

  #view(now: number, started: number): View {
    return {
      ...{ now, started },
      appliedAt: (index) => Math.max(started, this.#appliedAt.get(index) ?? started),
      heard: (attempt) => this.#heard.get(keyOf(attempt))?.at,
      begin: (attempt) => this.#calls.state('begin', attempt),
      end: (attempt) => this.#calls.state('end', attempt),
      online: (machine) => this.#o.team.online(machine),
      place: (choice, load) =>
        this.#state ? this.#o.team.place(choice, load, this.#state) : { none: 'the run is not known' },
    };
  }

  #call(intention: Extract<Intention, { do: 'begin' | 'end' }>, state: RunState): void {
    const { attempt, machine } = intention;
    if (intention.do === 'begin') {
      this.#calls.begin(attempt, () => this.#o.machines.begin(machine, state, attempt));
      return;
    }
    const { why } = intention;
    const key = { run: this.#o.run, ...attempt };
    this.#calls.end(
      attempt,
      () => this.#o.machines.end(machine, key, why),
      (kept) =>
        this.change((now) => {
          const worker = now.workers.get(attempt.worker);
          const open = worker?.abandoned.some(({ epoch }) => epoch === attempt.epoch);
          return open ? { kind: 'fenced', ...attempt, machine, kept } : null;
        }),
    );
  }

  #failAll(error: NiiaError): void {
    for (const wish of [...this.#wishes.splice(0), ...this.#proposed.values()]) wish.reject(error);
    this.#proposed.clear();
  }
}

function dated(record: Undated): StoredRecord {
  return { ...record, at: new Date().toISOString() };
}

function keyOf({ worker, epoch }: Attempt): string {
  return `${epoch} ${worker}`;
}

function fenced({ worker, epoch }: AttemptKey): NiiaError {
  return new NiiaError('fenced', `epoch ${epoch} of ${worker} is not the present one any more`);
}
