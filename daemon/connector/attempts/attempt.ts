import type { OutputValue } from '../../../shared/connector/definition.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey, AttemptReport, Kept, Outcome } from '../../../shared/protocol/attempt-methods.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import type { Log } from '../../home/log.ts';
import { abortable, pause } from './abortable.ts';
import { AttemptLease } from './attempt-lease.ts';
import type { CoordinatorClient } from './coordinator.ts';
import { AttemptFailure, told } from './failure.ts';
import { collectOutput } from './output.ts';
import type { AttemptRecord, WorkerFile, Worktree } from './record.ts';
import { promptIdOf, sessionNameOf } from './record.ts';
import { retryMs, SessionWaits } from './session-waits.ts';
import { checkSession, workSession } from './start.ts';
import { Stopwatch } from './stopwatch.ts';
import type { AttemptStore } from './store.ts';
import { Turn } from './turn.ts';
import type { WorkerSessions } from './worker-sessions.ts';
import type { Workplaces } from './workplaces.ts';

export interface AttemptOptions {
  store: AttemptStore;
  sessions: WorkerSessions;
  workplaces: Workplaces;
  coordinator: CoordinatorClient;
  log: Log;
}

/** What a coordinator says to an outcome that it would never take. */
const refusals: readonly string[] = ['too_large', 'bad_request', 'usage'];
const longestRetryMs = 5000;
const shownLines = 12;
const longestWhy = 2000;
/** How long a renewal waits for the last line of the screen. */
const lineWithinMs = 500;

type Over = NonNullable<AttemptRecord['over']>;
type Spent = keyof AttemptRecord['spent'];

/**
 * One attempt on its way, from its folder to its outcome's place in the run's journal. Each step is on disk before what it
 * does begins, so that a later daemon goes on from there, and nothing is done twice.
 */
export class Attempt {
  readonly #o: AttemptOptions;
  readonly #file: WorkerFile;
  readonly #record: AttemptRecord;
  readonly #lease: AttemptLease;
  readonly #waits: SessionWaits;
  readonly #stop = new AbortController();
  /** Why it is to end before its outcome is taken. */
  #ending: Exclude<Over, 'taken'> | undefined;
  #running: Promise<void> | undefined;
  #frozen = false;
  #lastLine: string | null = null;

  /** `leasedUntil`: until when it may go on before it is renewed for the first time, milliseconds since boot. */
  constructor(file: WorkerFile, record: AttemptRecord, leasedUntil: number | undefined, options: AttemptOptions) {
    this.#o = options;
    this.#file = file;
    this.#record = record;
    this.#waits = new SessionWaits(options.sessions, this.key, options.log);
    this.#lease = new AttemptLease({
      lease: record.spec.lease,
      until: leasedUntil,
      renew: async (sending, signal) => {
        await this.#lookAtLastLine();
        sending();
        await options.coordinator.renew(this.key, this.report, record.spec.coordinators, signal);
      },
      extended: (until) => void this.#leaseSessions(until),
      fenced: () => this.#endSoon('fenced'),
    });
  }

  get key(): AttemptKey {
    const { run, worker, epoch } = this.#record.spec;
    return { run, worker, epoch };
  }

  get isOver(): boolean {
    return this.#record.step === 'over';
  }

  get kept(): Kept {
    return this.#record.kept;
  }

  get report(): AttemptReport {
    const { step, session, submitted } = this.#record;
    const info = this.#session;
    return {
      ...{ step, session, submitted, sessionState: info?.state ?? null },
      ...{ frozen: info?.frozen ?? this.#frozen, lastLine: this.#lastLine },
    };
  }

  /** Goes on with it, by itself, until it is over. */
  start(): void {
    this.#running ??= this.#go();
  }

  /** Ends it: nobody wants its outcome. Resolves with where its work is kept. */
  async end(why: Exclude<Over, 'taken'>): Promise<Kept> {
    this.#endSoon(why);
    this.start();
    await this.#running;
    return this.kept;
  }

  /** Resolves once it is over. */
  async over(): Promise<void> {
    await this.#running;
  }

  /** Leaves it as it is, for the next daemon. */
  async close(): Promise<void> {
    this.#stop.abort(new NiiaError('cancelled', 'the daemon stops'));
    await this.#running;
  }

  #endSoon(why: Exclude<Over, 'taken'>): void {
    if (this.isOver) return;
    this.#ending ??= why;
    this.#stop.abort(new NiiaError('cancelled', `the attempt is ${why}`));
  }

  get #session(): SessionInfo | undefined {
    const { session } = this.#record;
    return session === null ? undefined : this.#o.sessions.known(session);
  }

  async #go(): Promise<void> {
    const { signal } = this.#stop;
    if (!this.isOver && !this.#ending) this.#lease.open();
    while (!signal.aborted && !this.isOver) {
      try {
        await this.#next();
      } catch (error) {
        if (!signal.aborted) await this.#failed(error);
      }
    }
    await this.#lease.close();
    if (this.#ending && !this.isOver) await this.#finish(this.#ending);
  }

  async #next(): Promise<void> {
    switch (this.#record.step) {
      case 'preparing':
        return await this.#prepare();
      case 'starting':
        return await this.#begin();
      case 'prompting':
      case 'working':
        return await this.#work();
      case 'checking':
        return await this.#checkWork();
      case 'delivering':
        return await this.#deliver();
      case 'over':
        return;
    }
  }

  /** On disk, and told to the coordinator, before what comes next. */
  #save(change: Partial<AttemptRecord>): void {
    const { step } = this.#record;
    Object.assign(this.#record, change);
    this.#o.store.write(this.#file);
    if (this.#record.step !== step) this.#lease.soon();
  }

  // The steps

  async #prepare(): Promise<void> {
    await this.#lease.active(this.#stop.signal);
    const { limits } = this.#record.spec;
    const place = await this.#within('start', limits.startMs, async (signal) => {
      const { workplaces } = this.#o;
      const save = (worktree: Worktree): void => this.#save({ worktree });
      return await this.#waits.patiently(signal, () => workplaces.prepare(this.#record, save, signal));
    });
    this.#save({ place, step: 'starting' });
  }

  async #begin(): Promise<void> {
    const { spec } = this.#record;
    await this.#within('start', spec.limits.startMs, async (signal) => {
      const session = this.#record.session ?? (await this.#startSession(signal));
      await this.#waits.until(session, signal, (info) => {
        if (info.state !== 'exited') return isReady(info, spec.model.driver);
        throw new AttemptFailure('start_failed', `its program ended before it was ready: ${info.evidence}`);
      });
    });
    this.#save({ step: 'prompting' });
  }

  async #startSession(signal: AbortSignal): Promise<string> {
    const { spec } = this.#record;
    const name = sessionNameOf(spec);
    const started = await this.#waits
      .patiently(signal, async () => {
        // One that was started before this daemon was, perhaps by a headless server of another build.
        const found = await this.#o.sessions.find((session) => session.name === name);
        if (found) return found.id;
        await this.#lease.active(signal);
        const params = workSession(spec, name, await this.#o.workplaces.surroundings(this.#record));
        return await this.#o.sessions.start(() => this.#leased(params, signal), keyOf(this.key, 'work'));
      })
      .catch((error: unknown) => {
        if (signal.aborted || error instanceof AttemptFailure) throw error;
        throw new AttemptFailure('start_failed', told(error), { cause: error });
      });
    this.#save({ session: started });
    return started;
  }

  async #work(): Promise<void> {
    const { spec } = this.#record;
    const session = this.#required(this.#record.session, 'a session');
    await this.#lease.active(this.#stop.signal);
    // From here on it may have been taken up, whatever becomes of this daemon.
    if (!this.#record.submitted) this.#save({ submitted: true });
    // And whoever coordinates has to know it before: else work of which nobody knows would be begun a second time.
    await this.#lease.told(this.#stop.signal);
    const { turnMs, stallMs, bytes } = spec.limits;
    const outOfStep = this.#o.workplaces.keepInStep(this.#record);
    const { sessions, store, log } = this.#o;
    const { key } = this;
    const turn = new Turn({
      ...{ sessions, waits: this.#waits, key, log },
      driver: spec.model.driver,
      output: spec.output,
    });
    const seen = (state: string): void => this.#seen(state);
    const prompted = async (signal: AbortSignal) =>
      await turn.run(session, store.readPart(key, 'prompt'), seen, signal);
    const answer = await this.#within('turn', turnMs, prompted, { stallMs, bytes }).finally(outOfStep);
    this.#o.store.writePart(this.key, 'output', answer);
    this.#save({ step: 'checking' });
  }

  /** Of its prompt: that the worker took it up. */
  #seen(state: string): void {
    if (state !== 'submitted' || this.#record.step !== 'prompting') return;
    try {
      this.#save({ step: 'working' });
    } catch (error) {
      // It is as good as prompting: nothing depends on it.
      this.#o.log.warn('a step of an attempt could not be written down', { ...this.key, error });
    }
  }

  async #checkWork(): Promise<void> {
    const { spec, session } = this.#record;
    const { cwd } = this.#required(this.#record.place, 'a place');
    await this.#lease.active(this.#stop.signal);
    // What it left running must not change what is looked at.
    if (session !== null) await this.#waits.patiently(this.#stop.signal, () => this.#o.sessions.kill(session));
    const answer = this.#o.store.readPart(this.key, 'output');
    const output = await collectOutput(spec.output, cwd, answer);
    const { check } = spec;
    if (check !== null) {
      await this.#within('check', spec.limits.turnMs, async (signal) => await this.#runCheck(check, signal));
    }
    if (spec.output.file !== null) this.#o.store.writePart(this.key, 'output', Buffer.from(output.text));
    await this.#decided({ is: 'succeeded', ...outcomeOf(output), ...this.#result() });
  }

  async #runCheck(check: string, signal: AbortSignal): Promise<void> {
    const { spec } = this.#record;
    const name = `${sessionNameOf(spec)}-check`;
    const session = await this.#waits.patiently(signal, async () => {
      const found = await this.#o.sessions.find((one) => one.name === name);
      if (found) return found.id;
      await this.#lease.active(signal);
      const params = checkSession(spec, check, name, await this.#o.workplaces.surroundings(this.#record));
      return await this.#o.sessions.start(() => this.#leased(params, signal), keyOf(this.key, 'check'));
    });
    if (this.#record.check !== session) this.#save({ check: session });
    const { exitCode, evidence } = await this.#waits.until(session, signal, ({ state }) => state === 'exited');
    if (exitCode === 0) return;
    const said = await this.#o.sessions.lines(session, shownLines).catch(() => []);
    throw new AttemptFailure(
      'check_failed',
      [`the check failed: ${evidence}`, ...said].join('\n').slice(0, longestWhy),
    );
  }

  async #deliver(): Promise<void> {
    const { coordinator, store } = this.#o;
    const { spec } = this.#record;
    const { signal } = this.#stop;
    const outcome = this.#required(this.#record.outcome, 'an outcome');
    const text = outcome.is === 'succeeded' ? store.readPart(this.key, 'output') : new Uint8Array();
    for (let wait = retryMs; ; wait = Math.min(wait * 2, longestRetryMs)) {
      await this.#lease.active(signal);
      try {
        await abortable(coordinator.deliver(this.key, outcome, text, spec.coordinators, signal), signal);
        return this.#end('taken');
      } catch (error) {
        signal.throwIfAborted();
        const { code, message } = NiiaError.from(error);
        if (code === 'fenced') return this.#endSoon('fenced');
        if (outcome.is === 'succeeded' && refusals.includes(code)) {
          const { kept, durationMs } = outcome;
          const why = `its outcome is not taken: ${message}`;
          this.#save({ outcome: { is: 'failed', reason: 'output_invalid', why, submitted: true, kept, durationMs } });
          return;
        }
        this.#o.log.debug('an outcome is delivered again', { ...this.key, error });
      }
      await pause(wait, signal);
    }
  }

  // Ends

  /** Never rejects: what cannot even fail, for a full disk say, is tried again. */
  async #failed(error: unknown): Promise<void> {
    try {
      if (this.#record.step !== 'delivering') return await this.#giveUp(error);
      // Its outcome stands: it is delivered again.
      this.#o.log.error('an outcome could not be delivered', { ...this.key, error });
    } catch (cause) {
      if (this.#stop.signal.aborted) return;
      this.#o.log.error('the end of an attempt could not be recorded', { ...this.key, error: cause });
    }
    await pause(longestRetryMs, this.#stop.signal).catch(() => undefined);
  }

  async #giveUp(error: unknown): Promise<void> {
    const { step, submitted } = this.#record;
    let failure: AttemptFailure;
    if (error instanceof AttemptFailure) failure = error;
    else {
      this.#o.log.error('an attempt broke off', { ...this.key, step, error });
      failure = new AttemptFailure(submitted ? 'failed' : 'start_failed', told(error));
    }
    const why = failure.message.slice(0, longestWhy);
    await this.#decided({ is: 'failed', reason: failure.reason, why, submitted, ...this.#result() });
  }

  #result(): Pick<Outcome, 'kept' | 'durationMs'> {
    return { kept: this.kept, durationMs: Math.max(0, Date.now() - Date.parse(this.#record.beganAt)) };
  }

  /** Stops what still runs, puts its work in order, and has the outcome on disk. */
  async #decided(outcome: Outcome): Promise<void> {
    const { signal } = this.#stop;
    await this.#waits.patiently(signal, () => this.#stopAll());
    if (outcome.is === 'succeeded')
      await this.#waits.patiently(signal, () => this.#o.workplaces.share(this.#record, signal));
    const kept = await this.#leave(outcome.is, outcome.is === 'succeeded' ? outcome.files : []);
    this.#save({ outcome: { ...outcome, kept }, kept, step: 'delivering' });
  }

  /** Never rejects: what cannot be put in order stays where it is, and is named. */
  async #leave(how: 'succeeded' | 'failed' | 'fenced', files: readonly string[] = []): Promise<Kept> {
    const { worktree, place } = this.#record;
    try {
      return await this.#o.workplaces.leave(this.#record, how, files);
    } catch (error) {
      this.#o.log.error('what an attempt left could not be put in order', { ...this.key, how, error });
      return { folder: worktree?.path ?? place?.cwd ?? null, branch: worktree?.branch ?? null };
    }
  }

  async #finish(why: Exclude<Over, 'taken'>): Promise<void> {
    // Its leases are put off no more: what cannot be ended now is frozen by its own server.
    await this.#stopAll().catch((error: unknown) => {
      this.#o.log.error('the sessions of an attempt could not be ended', { ...this.key, why, error });
    });
    this.#save({ kept: await this.#leave('fenced') });
    this.#end(why);
  }

  #end(why: Over): void {
    this.#save({ step: 'over', over: why });
    this.#o.store.dropParts(this.key);
  }

  /** Nothing of it runs any more when this resolves. */
  async #stopAll(): Promise<void> {
    const { sessions } = this.#o;
    const { session, check, spec } = this.#record;
    const name = sessionNameOf(spec);
    for (const [known, called] of [
      [session, name],
      [check, `${name}-check`],
    ] as const) {
      // One may have been started without its id being written down.
      const found = known ?? (await sessions.find((one) => one.name === called && one.state !== 'exited'))?.id;
      if (found) await sessions.kill(found);
    }
  }

  /** Asked for just before a session starts: nothing starts for an attempt that has ended meanwhile. */
  #leased<P extends object>(params: P, signal: AbortSignal): P & { lease: number } {
    signal.throwIfAborted();
    return { ...params, lease: this.#lease.until };
  }

  // Leases and limits

  /** A session that this daemon cannot reach is frozen by its own server. */
  async #leaseSessions(until: number): Promise<void> {
    const { session, check } = this.#record;
    for (const one of [session, check]) {
      if (one === null || this.#o.sessions.known(one)?.state === 'exited') continue;
      try {
        this.#frozen = await this.#o.sessions.lease(one, until);
      } catch (error) {
        this.#o.log.debug('the lease of a session could not be put off', { ...this.key, session: one, error });
      }
    }
  }

  /** Runs `work` within a limit. `signal` is aborted when that is over, and when the attempt ends. */
  async #within<T>(
    phase: Spent,
    limitMs: number,
    work: (signal: AbortSignal) => Promise<T>,
    more: { stallMs: number; bytes: number } = { stallMs: 0, bytes: 0 },
  ): Promise<T> {
    const beyond = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, beyond.signal]);
    const { spent } = this.#record;
    const watch = new Stopwatch({ limitMs, spentMs: spent[phase], ...more }, performance.now());
    const timer = setInterval(() => {
      const why = watch.look(performance.now(), this.#session, this.#lease.holds);
      if (why !== undefined) beyond.abort(new AttemptFailure('timeout', `${phaseNames[phase]}: ${why}`));
    }, watch.stepMs);
    try {
      return await abortable(work(signal), signal);
    } catch (error) {
      if (beyond.signal.aborted && !this.#stop.signal.aborted) throw beyond.signal.reason;
      throw error;
    } finally {
      clearInterval(timer);
      this.#save({ spent: { ...spent, [phase]: watch.spentMs } });
    }
  }

  async #lookAtLastLine(): Promise<void> {
    const { session, step } = this.#record;
    if (session === null || (step !== 'prompting' && step !== 'working')) return;
    try {
      const lines = await abortable(this.#o.sessions.lines(session, 1), AbortSignal.timeout(lineWithinMs));
      this.#lastLine = lines.at(-1)?.trim() ?? null;
    } catch (error) {
      this.#o.log.debug('the last line of a session is not known', { ...this.key, error });
    }
  }

  #required<T>(value: T | null, what: string): T {
    if (value === null) throw new NiiaError('internal', `an attempt in the step ${this.#record.step} without ${what}`);
    return value;
  }
}

const phaseNames: Record<Spent, string> = { start: 'its start', turn: 'its turn', check: 'its check' };

/** Its prompt may be handed over. */
function isReady({ state }: SessionInfo, driver: string): boolean {
  // An exec worker's command starts with its prompt; of a program that nobody knows nothing more is to be known.
  if (driver === 'exec') return true;
  return state === 'idle' || (state === 'unknown' && driver === 'generic');
}

function keyOf({ run, worker, epoch }: AttemptKey, what: 'work' | 'check'): string {
  return `${promptIdOf({ run, worker, epoch })}:${what}`;
}

function outcomeOf({ json, files }: OutputValue): Pick<OutputValue, 'json' | 'files'> {
  return { json, files };
}
