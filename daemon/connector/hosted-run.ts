import { NiiaError } from '../../shared/errors.ts';
import type { AttemptKey, AttemptReport, Kept, Outcome } from '../../shared/protocol/attempt-methods.ts';
import type { RunInfo, RunStatus } from '../../shared/protocol/run-methods.ts';
import type { Log } from '../home/log.ts';
import type { Answer, Ask, CallResult, Coordinator, CoordinatorOutput } from './core/coordinator.ts';
import type { Attempt } from './core/decide.ts';
import type { ReplicaMessage } from './core/messages.ts';
import { isOver } from './core/next-attempt.ts';
import type { MachineRef, StoredRecord } from './core/records.ts';
import type { Save } from './core/replica.ts';
import type { RunState } from './core/state.ts';
import { foldAll } from './core/state.ts';
import { runInfo, runStatus } from './core/status.ts';

/** Asks machines to carry out attempts, or to end them. */
export interface AttemptMachines {
  begin(machine: MachineRef, state: RunState, attempt: Attempt): Promise<AttemptReport>;
  end(machine: MachineRef, key: AttemptKey, why: 'cancelled' | 'fenced'): Promise<{ kept: Kept }>;
}

export interface HostedRunOptions {
  run: string;
  /** This machine's id. */
  self: string;
  /** The coordinator as it is on disk; made again after a save failed. */
  load: () => Promise<Coordinator>;
  save: (save: Save) => Promise<void>;
  send: (to: string, message: ReplicaMessage) => void;
  machines: AttemptMachines;
  /** It needs its journal no more, unless another voter asks: then it is loaded again. */
  rested: () => Promise<void>;
  /** It counts sleep, milliseconds. */
  now: () => number;
  /** How long a run that is over goes on to tell its standbys, milliseconds. */
  lingerMs?: number;
  /** Something that can be seen of the run changed. */
  changed: () => void;
  log: Log;
}

const usualLingerMs = 60_000;
/** After a save failed (a full disk), milliseconds. */
const againMs = 2_000;
/** The longest time between two looks. */
const longestWaitMs = 5_000;
/** Errors of a call after which it may or may not have been done, and is tried again. */
const uncertain = ['offline', 'link_lost', 'timeout', 'busy', 'cancelled', 'outcome_unknown', 'daemon_not_running'];
const nobody = { report: () => undefined, silent: () => false, lack: () => undefined };

/** What is said of a run while this machine does not know how far its journal counts. */
const unknownYet = 'it waits for most of the machines that coordinate it';

interface Input {
  put: (coordinator: Coordinator, now: number) => void;
  /** It was not put in, and will not be. */
  dropped?: (error: unknown) => void;
}
interface Asking {
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/**
 * One run on one machine that has its journal: drives its coordinator, which decides, and does what that says. All goes
 * through one loop: what came in goes in, what has to be on disk is put there, and then everything else leaves.
 */
export class HostedRun {
  readonly #o: HostedRunOptions;
  readonly #records: Array<{ index: number; record: StoredRecord }> = [];
  readonly #asking = new Map<number, Asking>();
  #coordinator: Coordinator | undefined;
  /** Of a run that is over and was taken from disk. */
  #restored: RunState | undefined;
  /** By this machine's journal alone, where nobody has said yet how far that counts. */
  #onDisk: RunState | undefined;
  #inputs: Input[] = [];
  #working = false;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #lingerMs: number;
  #lingerUntil: number;

  constructor(options: HostedRunOptions) {
    this.#o = options;
    this.#lingerMs = options.lingerMs ?? usualLingerMs;
    this.#lingerUntil = options.now() + this.#lingerMs;
  }

  /**
   * Begins with a coordinator: a new one, or one that was made from `onDisk`, this machine's journal. What counts by what
   * it knows alone is known when this resolves.
   */
  async open(coordinator: Coordinator, onDisk: readonly StoredRecord[] = []): Promise<void> {
    this.#coordinator = coordinator;
    this.#onDisk = foldAll(onDisk);
    await this.#loop();
  }

  /** Of a run that is over, all of its records: it rests until another voter asks. */
  restore(records: readonly StoredRecord[]): void {
    this.#restored = foldAll(records);
    this.#records.push(...records.map((record, at) => ({ index: at + 1, record })));
    this.#lingerUntil = Number.NEGATIVE_INFINITY;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#failAll(new NiiaError('busy', 'this daemon stops'));
  }

  /** Undefined before its first record counts here. */
  get state(): RunState | undefined {
    return this.#coordinator?.state ?? this.#restored;
  }

  get isOver(): boolean {
    return this.state !== undefined && isOver(this.state);
  }

  /** It is over, and no machine has to hear of it any more. */
  get isSettled(): boolean {
    const { state } = this;
    return (
      state !== undefined && isOver(state) && [...state.workers.values()].every((one) => one.abandoned.length === 0)
    );
  }

  /** The records that count, in order, the first number 1. */
  get records(): ReadonlyArray<{ index: number; record: StoredRecord }> {
    return this.#records;
  }

  get isCoordinator(): boolean {
    return this.#coordinator?.mayAct(this.#o.now()) ?? false;
  }

  info(): RunInfo | undefined {
    const { state } = this;
    if (state) return runInfo(state);
    return this.#onDisk && { ...runInfo(this.#onDisk), why: unknownYet };
  }

  status(): RunStatus | undefined {
    const { state } = this;
    if (state) return runStatus(state, this.#coordinator?.observed(this.#o.now()) ?? nobody);
    return this.#onDisk && { ...runStatus(this.#onDisk, nobody), why: unknownYet };
  }

  /** A message of another voter. */
  receive(from: string, message: ReplicaMessage): void {
    this.#lingerUntil = this.#o.now() + this.#lingerMs;
    this.#put({ put: (coordinator, now) => coordinator.receive(from, message, now) });
  }

  /** Something may be different: a machine came or went. */
  wake(): void {
    if (this.#closed) return;
    this.#again = true;
    if (!this.#working) void this.#loop();
  }

  /** From the machine `from`: its attempt is alive. Throws `fenced` where it is not the present one. */
  async renew({ worker, epoch }: AttemptKey, report: AttemptReport, from: string): Promise<void> {
    this.checkHolds({ worker, epoch }, from);
    await this.#ask({ is: 'renew', attempt: { worker, epoch }, report });
    this.#o.changed();
  }

  /** From the machine `from`: how its attempt ended. Resolves once it stands in the journal; a repeat changes nothing. */
  async deliver({ worker, epoch }: AttemptKey, outcome: Outcome, text: string, from: string): Promise<void> {
    const attempt = { worker, epoch };
    // Of a run that is over nothing more is taken, whoever coordinated it.
    if (this.isOver && this.state?.workers.get(worker)?.delivered.has(epoch)) return;
    this.checkHolds(attempt, from, 'or delivered');
    await this.#ask({ is: 'deliver', attempt, outcome, text });
  }

  async cancel(): Promise<void> {
    if (this.isOver) return;
    await this.#ask({ is: 'cancel' });
  }

  async resume(worker: string | null, decision: 'rerun' | 'skip' | 'fail' | null): Promise<void> {
    if (this.isOver) throw new NiiaError('failed', `the run ${this.#o.run} is over`);
    await this.#ask({ is: 'resume', worker, decision });
  }

  /** Throws `fenced` unless the attempt is the present one of `from`, and goes on (or brought its outcome before). */
  checkHolds({ worker: name, epoch }: Attempt, from: string, orDelivered?: 'or delivered'): void {
    if (this.isOver) throw fenced({ worker: name, epoch });
    if (!this.isCoordinator) throw this.#notHere(this.#coordinator?.leader ?? null);
    const worker = this.state?.workers.get(name);
    const delivered = orDelivered !== undefined && worker?.delivered.has(epoch);
    const present = worker?.active && worker.epoch === epoch && worker.machine?.id === from;
    if (!present && !delivered) throw fenced({ worker: name, epoch });
  }

  #put(input: Input): void {
    this.#inputs.push(input);
    this.wake();
  }

  async #ask(ask: Ask): Promise<void> {
    if (this.#closed) throw this.#notHere(null);
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#put({
        put: (coordinator, now) => this.#asking.set(coordinator.ask(ask, now), { resolve, reject }),
        dropped: reject,
      });
    });
    switch (answer.is) {
      case 'ok':
        return;
      case 'fenced':
        throw 'attempt' in ask ? fenced(ask.attempt) : new NiiaError('failed', 'the run is over');
      case 'busy':
        throw this.#notHere(answer.coordinator);
      case 'refused':
        throw new NiiaError('failed', answer.why, `See: niia run status ${this.#o.run}`);
    }
  }

  #notHere(coordinator: string | null): NiiaError {
    const hint = coordinator === null || coordinator === this.#o.self ? undefined : coordinator;
    return new NiiaError('busy', `the run ${this.#o.run} is not coordinated by this machine now`, hint);
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
      if (!this.#closed) this.#o.log.error('a run cannot go on for now', { run: this.#o.run, error });
      this.#failAll(NiiaError.from(error));
      this.#coordinator = undefined;
      wakeAt = this.#o.now() + againMs;
    } finally {
      this.#working = false;
    }
    if (this.#closed || wakeAt === Number.POSITIVE_INFINITY) return;
    const ms = Math.min(longestWaitMs, Math.max(0, wakeAt - this.#o.now()));
    this.#timer = setTimeout(() => this.wake(), ms);
  }

  /** One look at everything; gives when the next is due. */
  async #turn(): Promise<number> {
    if (this.#rests()) {
      this.#failAll(this.#notHere(null));
      this.#restored = this.state;
      this.#coordinator = undefined;
      await this.#o.rested();
      return Number.POSITIVE_INFINITY;
    }
    this.#coordinator ??= await this.#o.load();
    const coordinator = this.#coordinator;
    for (let input = this.#inputs.shift(); input; input = this.#inputs.shift()) input.put(coordinator, this.#o.now());
    coordinator.tick(this.#o.now());
    const out = coordinator.take(this.#o.now());
    if (out.save) await this.#o.save(out.save);
    this.#leave(out);
    return out.wakeAt;
  }

  /** What the journal's being on disk allows. */
  #leave({ messages, calls, answers, committed }: CoordinatorOutput): void {
    for (const { to, message } of messages) this.#o.send(to, message);
    for (const one of committed) {
      // One that was made again tells everything again.
      if (one.index === this.#records.length + 1) this.#records.push(one);
    }
    for (const { id, answer } of answers) {
      this.#asking.get(id)?.resolve(answer);
      this.#asking.delete(id);
    }
    for (const call of calls) void this.#call(call);
    if (committed.length === 0) return;
    if (this.isOver) this.#lingerUntil = this.#o.now() + this.#lingerMs;
    this.#o.changed();
  }

  async #call(call: CoordinatorOutput['calls'][number]): Promise<void> {
    const result = await this.#carryOut(call);
    this.#put({ put: (coordinator, now) => coordinator.called(call, result, now) });
  }

  async #carryOut(call: CoordinatorOutput['calls'][number]): Promise<CallResult> {
    const { attempt, machine } = call;
    try {
      if (call.do === 'end') {
        const { kept } = await this.#o.machines.end(machine, { run: this.#o.run, ...attempt }, call.why);
        return { is: 'done', kept };
      }
      if (this.state) await this.#o.machines.begin(machine, this.state, attempt);
      return { is: 'done' };
    } catch (thrown) {
      const error = NiiaError.from(thrown);
      return uncertain.includes(error.code) ? { is: 'failed' } : { is: 'refused', why: error.message };
    }
  }

  /** Nothing is left to do, and whoever stands by has had time to hear that it is over. */
  #rests(): boolean {
    const { state } = this;
    if (!state || !isOver(state) || this.#o.now() <= this.#lingerUntil) return false;
    return this.#restored !== undefined || this.isSettled;
  }

  #failAll(error: NiiaError): void {
    for (const { dropped } of this.#inputs.splice(0)) dropped?.(error);
    for (const { reject } of this.#asking.values()) reject(error);
    this.#asking.clear();
  }
}

function fenced({ worker, epoch }: Attempt): NiiaError {
  return new NiiaError('fenced', `epoch ${epoch} of ${worker} is not the present one any more`);
}
