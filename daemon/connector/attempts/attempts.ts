import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey, AttemptReport, AttemptSpec, Kept } from '../../../shared/protocol/attempt-methods.ts';
import { executable } from '../../headless/command.ts';
import { LoginPath } from '../../headless/login-path.ts';
import { bootMs } from '../../home/boot-clock.ts';
import type { Log } from '../../home/log.ts';
import { Attempt } from './attempt.ts';
import type { CoordinatorClient } from './coordinator.ts';
import { noCoordinator } from './coordinator.ts';
import type { WorkerFile } from './record.ts';
import { newAttempt, nothingKept } from './record.ts';
import type { ScratchpadRemote } from './scratchpad.ts';
import { AttemptStore } from './store.ts';
import type { WorkerSessionsOptions } from './worker-sessions.ts';
import { WorkerSessions } from './worker-sessions.ts';
import { Workplaces } from './workplaces.ts';

const tidyEveryMs = 24 * 3_600_000;

export interface AttemptsOptions extends WorkerSessionsOptions {
  coordinator?: CoordinatorClient;
  /** The run's scratchpad, where that is on another machine; undefined: it is this one's folder. */
  scratchpad?: (key: AttemptKey, coordinators: readonly string[]) => ScratchpadRemote | undefined;
  log: Log;
}

/** The attempts that this machine carries out for runs, whoever coordinates those. */
export class Attempts {
  readonly #o: AttemptsOptions;
  readonly #store: AttemptStore;
  readonly #sessions: WorkerSessions;
  readonly #workplaces: Workplaces;
  readonly #path: LoginPath;
  /** Those that go on, by run and worker. */
  readonly #live = new Map<string, Attempt>();
  /** What is being done about a worker, one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #coordinator: CoordinatorClient;
  #tidier: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: AttemptsOptions) {
    this.#o = options;
    const { home, log } = options;
    this.#coordinator = options.coordinator ?? noCoordinator;
    this.#store = new AttemptStore(home);
    this.#sessions = new WorkerSessions(options);
    this.#path = new LoginPath(home.path('login-path.json'));
    this.#workplaces = new Workplaces({
      ...{ home, store: this.#store, log },
      path: () => this.#path.get(),
      scratchpad: (key, coordinators) => options.scratchpad?.(key, coordinators),
    });
  }

  /** Who is asked from now on, by those that go on as well. */
  set coordinator(client: CoordinatorClient) {
    this.#coordinator = client;
  }

  /** Goes on with what an earlier daemon left. */
  resume(): void {
    const damaged = (path: string): void =>
      this.#o.log.error('the file of an attempt cannot be understood; it does not go on', { path });
    for (const file of this.#store.all(damaged)) {
      const begun = this.#live.has(idOf(file));
      if (file.attempt && file.attempt.step !== 'over' && !begun) this.#start(file, undefined);
    }
    const tidy = (): void => {
      try {
        this.#store.clear(Date.now(), (run) => this.list().some((key) => key.run === run));
      } catch (error) {
        this.#o.log.warn('what old runs left could not be cleared away', { error });
      }
    };
    tidy();
    this.#tidier = setInterval(tidy, tidyEveryMs);
    this.#tidier.unref();
  }

  /** Those that go on. */
  list(): AttemptKey[] {
    return [...this.#live.values()].filter((attempt) => !attempt.isOver).map(({ key }) => key);
  }

  /**
   * Takes an attempt on: it is on disk when this resolves, and goes on by itself. One that was taken on before says where it
   * stands. Rejects with `fenced` where a higher epoch of its worker was seen.
   */
  async begin(spec: AttemptSpec, prompt: Uint8Array): Promise<AttemptReport> {
    // Its lease counts from here, however long the one before takes to end.
    const leasedUntil = bootMs() + spec.lease.ttlMs;
    return await this.#inTurn(spec, async () => {
      const file = this.#store.read(spec);
      if (file && file.highest > spec.epoch) throw fenced(spec, file.highest);
      if (file?.highest === spec.epoch) return this.#live.get(idOf(spec))?.report ?? overReport(file);
      if (prompt.length === 0) throw new NiiaError('usage', `the attempt of ${spec.worker} has no prompt`);
      const former = file?.attempt ? await this.#endFormer(file) : (file?.former ?? []);
      const record = newAttempt(spec);
      this.#store.writePart(spec, 'prompt', prompt);
      const fresh = { run: spec.run, worker: spec.worker, highest: spec.epoch, attempt: record, former };
      this.#store.write(fresh);
      return this.#start(fresh, leasedUntil).report;
    });
  }

  /** Ends an attempt that nobody wants any more, and keeps what it did. One that this machine never heard of cannot begin any more. */
  async end(key: AttemptKey, why: 'cancelled' | 'fenced'): Promise<Kept> {
    // What goes on stops at once, whatever is before it in line.
    const live = this.#live.get(idOf(key));
    if (live && live.key.epoch === key.epoch) return await live.end(why);
    return await this.#inTurn(key, async () => {
      const { run, worker, epoch } = key;
      const file = this.#store.read(key) ?? { run, worker, highest: 0, attempt: null, former: [] };
      if (file.highest < epoch) {
        const former = file.attempt ? await this.#endFormer(file) : file.former;
        this.#store.write({ ...file, highest: epoch, attempt: null, former });
        return nothingKept;
      }
      const begun = this.#live.get(idOf(key));
      if (begun && begun.key.epoch === epoch) return await begun.end(why);
      if (file.attempt?.spec.epoch === epoch) return file.attempt.kept;
      return file.former.find((one) => one.epoch === epoch)?.kept ?? nothingKept;
    });
  }

  /** Machines that may coordinate the run of an attempt of this worker that was taken on here; undefined: there is none. */
  coordinatorsOf(of: Pick<AttemptKey, 'run' | 'worker'>): readonly string[] | undefined {
    return this.#store.read(of)?.attempt?.spec.coordinators;
  }

  /** Which of the programs are not on the PATH that sessions of attempts get. */
  async lacks(programs: readonly string[]): Promise<string[]> {
    const path = await this.#path.get();
    const env = path === undefined ? process.env : { ...process.env, PATH: path };
    return programs.filter((program) => {
      try {
        executable(program, env, '/');
        return false;
      } catch (error) {
        if (error instanceof NiiaError) return true;
        throw error;
      }
    });
  }

  /** Leaves all as they are; their sessions go on, as long as their leases hold. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#tidier);
    await Promise.all([...this.#live.values()].map((attempt) => attempt.close()));
  }

  async #endFormer(file: WorkerFile): Promise<WorkerFile['former']> {
    const { attempt, former } = file;
    if (!attempt) return former;
    const { epoch } = attempt.spec;
    const live = this.#live.get(idOf(attempt.spec));
    const kept = live ? await live.end('fenced') : attempt.kept;
    return [...former.filter((one) => one.epoch !== epoch), { epoch, kept }];
  }

  #start(file: WorkerFile, leasedUntil: number | undefined): Attempt {
    if (this.#closed || !file.attempt) throw new NiiaError('busy', 'the daemon is ending', 'Try again.');
    const coordinator: CoordinatorClient = {
      renew: (...asked) => this.#coordinator.renew(...asked),
      deliver: (...asked) => this.#coordinator.deliver(...asked),
    };
    const attempt = new Attempt(file, file.attempt, leasedUntil, {
      ...{ store: this.#store, sessions: this.#sessions, workplaces: this.#workplaces, coordinator },
      log: this.#o.log,
    });
    const id = idOf(attempt.key);
    this.#live.set(id, attempt);
    attempt.start();
    attempt.over().then(
      () => {
        if (attempt.isOver && this.#live.get(id) === attempt) this.#live.delete(id);
      },
      // Its file says where it stands: the next daemon goes on from there.
      (error: unknown) => this.#o.log.error('an attempt does not go on', { ...attempt.key, error }),
    );
    return attempt;
  }

  async #inTurn<T>(of: Pick<AttemptKey, 'run' | 'worker'>, work: () => Promise<T>): Promise<T> {
    const id = idOf(of);
    const turn = (this.#turns.get(id) ?? Promise.resolve()).catch(() => undefined).then(work);
    this.#turns.set(id, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    }
  }
}

function idOf({ run, worker }: Pick<AttemptKey, 'run' | 'worker'>): string {
  return `${run}\n${worker}`;
}

function fenced({ run, worker, epoch }: AttemptKey, highest: number): NiiaError {
  return new NiiaError('fenced', `the epoch ${epoch} of ${worker} in ${run} is over: this machine knows of ${highest}`);
}

function overReport(file: WorkerFile): AttemptReport {
  const { attempt } = file;
  return {
    ...{ step: 'over', session: attempt?.session ?? null, sessionState: null, frozen: false, lastLine: null },
    submitted: attempt?.submitted ?? false,
  };
}
