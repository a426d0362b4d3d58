import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import type { Home } from '../home/home.ts';
import { AskKeys } from './ask-keys.ts';
import type { AskCall } from './ask-run.ts';
import { AskRun } from './ask-run.ts';
import { childEnvironment, startFolder } from './command.ts';
import { LoginPath } from './login-path.ts';

export interface AskTimes {
  /** A command whose asker is away lives on for this time. */
  graceMs: number;
  /** An outcome that was told is kept for this time: the telling may have been lost. */
  keepToldMs: number;
}

const usualTimes: AskTimes = { graceMs: 10 * 60_000, keepToldMs: 2 * 60_000 };
/** Output of commands that have ended, kept for askers that may come back. */
const mostKept = 32 << 20;

/** A command that its asker may come back for. */
interface Held {
  readonly run: AskRun;
  timer: NodeJS.Timeout | undefined;
  /** Its outcome is on its way to the asker. */
  told: boolean;
}

/** Commands that are run for others, without a terminal. */
export class Asks {
  readonly #home: Home;
  readonly #times: AskTimes;
  readonly #keys: AskKeys;
  readonly #path: LoginPath;
  readonly #running = new Set<AskRun>();
  /** By key, in the order of their start. A start that is under way is here already, so that nobody starts it again. */
  readonly #held = new Map<string, Promise<Held>>();
  /** The calls that wait for a start that is under way, by key. */
  readonly #waiting = new Map<string, AbortSignal[]>();
  /** Those of which the outcome was told, the longest ago first. */
  readonly #told = new Map<string, Held>();
  /** Called whenever one has ended, or nobody waits for it any more. */
  onEnd: (() => void) | undefined;

  constructor(home: Home, times: Partial<AskTimes> = {}) {
    this.#home = home;
    this.#times = { ...usualTimes, ...times };
    this.#keys = new AskKeys(home);
    this.#path = new LoginPath(home.path('login-path.json'));
  }

  /** Has the login shell asked for its PATH before a command waits for it: profiles are slow. */
  prepare(): void {
    void this.#path.get();
  }

  /** How many run, or have an outcome that was not told yet. */
  get count(): number {
    return this.#running.size;
  }

  holds(key: string): boolean {
    return this.#held.has(key);
  }

  /**
   * Runs the command by the user's shell, or takes up the one that was started under the same key. Throws `usage` for a
   * folder that is not there, `outcome_unknown` for a key that was used and of which nothing is held any more.
   */
  async run(call: AskCall, machine: string, key: string | undefined): Promise<ResultOf<'machine.ask'>> {
    const resumable = key !== undefined && call.params.resume !== undefined;
    const known = key === undefined ? undefined : this.#held.get(key);
    if (known && !resumable) throw startedBefore();
    if (key === undefined || !resumable) return await this.#runForCall(call, machine, key);
    if (!known && wasStarted(call)) throw startedBefore();
    this.#waiting.get(key)?.push(call.signal);
    return await this.#serve(call, machine, key, await (known ?? this.#hold(call, machine, key)));
  }

  /** Ends all that run. */
  async endAll(): Promise<void> {
    const ends = [...this.#running].map((run) => {
      run.hangUp();
      return run.over;
    });
    await Promise.all(ends);
    for (const held of this.#held.values()) {
      held.then(
        ({ timer }) => clearTimeout(timer),
        () => undefined,
      );
    }
  }

  /** A command that ends with its call. */
  async #runForCall(call: AskCall, machine: string, key: string | undefined): Promise<ResultOf<'machine.ask'>> {
    const run = await this.#start(call, machine, key);
    try {
      return await run.serve(call, machine);
    } catch (error) {
      run.end(NiiaError.from(error));
      throw error;
    }
  }

  #hold(call: AskCall, machine: string, key: string): Promise<Held> {
    this.#waiting.set(key, [call.signal]);
    const starting = this.#start(call, machine, key)
      .then((run): Held => ({ run, timer: undefined, told: false }))
      .finally(() => this.#waiting.delete(key));
    this.#held.set(key, starting);
    // What did not start may be asked for again.
    starting.catch(() => this.#held.delete(key));
    return starting;
  }

  async #serve(call: AskCall, machine: string, key: string, held: Held): Promise<ResultOf<'machine.ask'>> {
    clearTimeout(held.timer);
    this.#told.delete(key);
    try {
      const result = await held.run.serve(call, machine);
      held.told = true;
      return result;
    } finally {
      if (!held.run.connected) this.#keepFor(key, held);
    }
  }

  /** Nobody is connected: the command, or its outcome, is kept for a while. */
  #keepFor(key: string, held: Held): void {
    clearTimeout(held.timer);
    const { graceMs, keepToldMs } = this.#times;
    const forget = (): void => {
      this.#held.delete(key);
      this.#told.delete(key);
      this.#running.delete(held.run);
      held.run.end(new NiiaError('cancelled', 'the asker did not come back'));
      this.onEnd?.();
    };
    held.timer = setTimeout(forget, held.told ? keepToldMs : graceMs);
    if (!held.told) return;
    held.timer.unref();
    this.#told.set(key, held);
    this.#running.delete(held.run);
    this.onEnd?.();
    this.#boundKept();
  }

  /** Outcomes that were told make room for others, the oldest first. */
  #boundKept(): void {
    let kept = 0;
    for (const { run } of this.#told.values()) kept += run.kept;
    for (const [key, { run, timer }] of this.#told) {
      if (kept <= mostKept) return;
      kept -= run.kept;
      clearTimeout(timer);
      this.#told.delete(key);
      this.#held.delete(key);
    }
  }

  async #start(call: AskCall, machine: string, key: string | undefined): Promise<AskRun> {
    const { params, signal } = call;
    const cwd = startFolder(params.cwd);
    const PATH = params.env?.['PATH'] ?? (await this.#path.get());
    // An asker whose connection broke meanwhile may be back over another.
    const waiting = (key === undefined ? undefined : this.#waiting.get(key)) ?? [signal];
    if (waiting.every(({ aborted }) => aborted)) throw NiiaError.from(signal.reason);
    // From here on it counts as started, whatever comes.
    if (key !== undefined && !(await this.#keys.claim(key))) throw startedBefore();
    const run = new AskRun({
      command: params.command,
      cwd,
      env: childEnvironment({ PATH, NIIA_MACHINE_NAME: machine, NIIA_HOME: this.#home.root, ...params.env }),
      stdin: params.stdin ?? false,
      resumable: key !== undefined && params.resume !== undefined,
      timeoutMs: params.timeoutMs,
    });
    this.#running.add(run);
    const held = key !== undefined && params.resume !== undefined;
    void run.over.then(() => {
      // One that may be come back for counts until its outcome was told.
      if (!held) this.#running.delete(run);
      this.onEnd?.();
    });
    return run;
  }
}

/** Whether the asker has seen that its command was started: that counts also where no key of it could be kept. */
function wasStarted({ params: { resume } }: AskCall): boolean {
  return resume !== undefined && (resume.started === true || resume.output > 0 || resume.errors > 0);
}

function startedBefore(): NiiaError {
  return new NiiaError(
    'outcome_unknown',
    'this command was started before, and nothing of it is held here any more',
    'Look at what it did before you run it again.',
  );
}
