import { answersWithinMs } from '../../shared/ask-machines.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { RunStatus } from '../../shared/protocol/run-methods.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import { onStatus } from '../../shared/runs/status-parts.ts';
import type { FoundRun } from '../../shared/runs/team-runs.ts';
import { newestFirst, teamRuns } from '../../shared/runs/team-runs.ts';
import type { DaemonConnection } from '../connection.ts';
import type { Disposable } from '../emitter.ts';
import { disposeAll, Emitter, once } from '../emitter.ts';
import type { Log } from '../log.ts';
import type { TeamModel } from '../team-model.ts';
import { isOver } from './run-state.ts';
import type { RunFacts } from './run-text.ts';

/** Changes that come together lead to one look. */
const gatherMs = 300;
/** A watch that broke off is begun again after so long, at first and at most. */
const retryFirstMs = 500;
const retryLongestMs = 30_000;

export interface ShownRun extends RunFacts, FoundRun {
  /** Undefined while it is not known. */
  status: RunStatus | undefined;
}

interface Known {
  found: FoundRun;
  status: RunStatus | undefined;
  untold: string | undefined;
}

interface RunWatch {
  /** Which machine tells; undefined: this one. */
  readonly at: string | undefined;
  call: TypedCall<'run.watch'> | undefined;
  retry: NodeJS.Timeout | undefined;
  failures: number;
}

/**
 * The runs of the team as their coordinators tell them. They are looked for when the machines change, when a run ends or
 * changes its coordinator, and when somebody asks; while somebody holds a lease, those that go on are told by events.
 */
export class RunsModel implements Disposable {
  readonly #connection: DaemonConnection;
  readonly #team: TeamModel;
  readonly #log: Log;
  readonly #changed = new Emitter<void>();
  readonly #disposables: Disposable[] = [];
  readonly #watches = new Map<string, RunWatch>();
  /** How many follow this one run. */
  readonly #followed = new Map<string, number>();
  #leases = 0;
  #known: ReadonlyMap<string, Known> | undefined;
  #looking: Promise<void> | undefined;
  #lookSoon: NodeJS.Timeout | undefined;
  /** What the machines were like at the last look. */
  #seen = '';

  constructor(connection: DaemonConnection, team: TeamModel, log: Log) {
    this.#connection = connection;
    this.#team = team;
    this.#log = log;
    this.#disposables.push(
      connection.onDidChange(() => this.#connectionChanged()),
      team.onDidChange(() => this.#machinesChanged()),
    );
  }

  /** Fires when a run changed, or the runs are no longer known. */
  readonly onDidChange = this.#changed.event;

  /** Those that go on first, and the newest first among each; undefined while they are not known. */
  get runs(): readonly ShownRun[] | undefined {
    if (!this.#known) return undefined;
    const all = newestFirst([...this.#known.values()].map(shown));
    return [...all.filter((run) => !isOver(run)), ...all.filter(isOver)];
  }

  run(id: string): ShownRun | undefined {
    const known = this.#known?.get(id);
    return known && shown(known);
  }

  /** All runs: looked for now, and those that go on are watched. */
  watch(): Disposable {
    this.#leases++;
    if (this.#leases === 1) this.refresh();
    return once(() => {
      this.#leases--;
      this.#sync();
    });
  }

  /** One run. */
  follow(run: string): Disposable {
    const count = (by: number): void => {
      const now = (this.#followed.get(run) ?? 0) + by;
      if (now === 0) this.#followed.delete(run);
      else this.#followed.set(run, now);
      this.#sync();
    };
    count(1);
    return once(() => count(-1));
  }

  /** Looks for runs, where anybody wants to know. */
  refresh(): void {
    if (!this.#isWanted) return;
    this.look().catch((error: unknown) => this.#log.warn(`the runs are not told: ${NiiaError.from(error).message}`));
  }

  /** Looks for runs now; rejects where this machine cannot tell of its own. */
  async look(): Promise<readonly ShownRun[]> {
    // One that is under way may have asked before whatever it is about.
    if (this.#looking) await this.#looking.catch(() => undefined);
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
    return this.runs ?? [];
  }

  /** The workers of a run, from the machine that told of it. */
  async load(run: string): Promise<RunStatus> {
    const known = this.#known?.get(run);
    if (!known) throw new NiiaError('no_such_run', `there is no run ${run}`);
    const peer = await this.#connection.whenConnected(AbortSignal.timeout(answersWithinMs));
    const call = typedCall(peer, 'run.watch', { run }, { to: known.found.at, deadlineMs: answersWithinMs });
    const status = await new Promise<RunStatus>((resolve, reject) => {
      onStatus(call, resolve);
      call.result.catch(reject);
    });
    call.cancel();
    this.#tell(run, status);
    return status;
  }

  dispose(): void {
    disposeAll(this.#disposables);
    this.#stop();
    this.#changed.dispose();
  }

  get #isWanted(): boolean {
    return this.#leases > 0 || this.#followed.size > 0;
  }

  #connectionChanged(): void {
    const { phase, stood } = this.#connection.state;
    if (phase === 'connected') {
      this.refresh();
      return;
    }
    this.#stop();
    // As with the machines: a daemon that restarts is no reason to show an empty view.
    if (phase === 'connecting' && stood) return;
    this.#known = undefined;
    this.#changed.fire();
  }

  /** Runs come with machines, and begin and end with sessions. */
  #machinesChanged(): void {
    if (this.#isWanted && this.#connection.peer && this.#machines() !== this.#seen) this.#soon();
  }

  #machines(): string {
    return JSON.stringify(this.#team.machines?.map(({ id, name, online, sessions }) => [id, name, online, sessions]));
  }

  #soon(): void {
    this.#lookSoon ??= setTimeout(() => {
      this.#lookSoon = undefined;
      this.refresh();
    }, gatherMs);
  }

  async #look(): Promise<void> {
    this.#seen = this.#machines();
    const machines = this.#team.machines ?? (await this.#connection.ask('machine.list', {})).machines;
    const { runs, missing } = await teamRuns(machines, (to) =>
      this.#connection.ask('run.list', {}, { to, deadlineMs: answersWithinMs }),
    );
    const before = this.#known;
    const known = new Map(
      runs.map((found): [string, Known] => {
        const status = before?.get(found.run)?.status;
        // What is watched is told sooner than it is listed; of the rest, what has gone on since is not known any more.
        const same = status?.state === found.state && status.endedAt === found.endedAt;
        const fresh = same || this.#watches.has(found.run);
        return [found.run, { found, status: fresh ? status : undefined, untold: undefined }];
      }),
    );
    for (const [run, one] of before ?? []) {
      const untold = missing.find(({ machine }) => machine === one.found.coordinator)?.why;
      if (untold !== undefined && !known.has(run)) known.set(run, { ...one, untold });
    }
    this.#known = known;
    this.#sync();
    this.#changed.fire();
  }

  #sync(): void {
    for (const [run, watch] of [...this.#watches]) {
      const wanted = this.#wanted(run);
      if (!wanted || wanted.found.at !== watch.at) this.#unwatch(run);
    }
    for (const run of this.#known?.keys() ?? []) {
      const wanted = this.#wanted(run);
      if (!wanted || this.#watches.has(run)) continue;
      const watch: RunWatch = { at: wanted.found.at, call: undefined, retry: undefined, failures: 0 };
      this.#watches.set(run, watch);
      this.#ask(run, watch);
    }
  }

  /** The run, where it is to be watched. */
  #wanted(run: string): Known | undefined {
    const known = this.#known?.get(run);
    if (!known || known.untold !== undefined || !this.#connection.peer || isOver(shown(known))) return undefined;
    return this.#leases > 0 || this.#followed.has(run) ? known : undefined;
  }

  #ask(run: string, watch: RunWatch): void {
    const { peer } = this.#connection;
    if (!peer) return;
    const call = typedCall(peer, 'run.watch', { run }, { to: watch.at });
    watch.call = call;
    onStatus(call, (status) => {
      if (watch.call !== call) return;
      watch.failures = 0;
      this.#tell(run, status);
    });
    call.result.then(
      () => {
        if (watch.call !== call) return;
        this.#unwatch(run);
        this.#soon();
      },
      (error: NiiaError) => {
        if (watch.call !== call) return;
        watch.call = undefined;
        if (peer.closed) return;
        const afterMs = Math.min(retryLongestMs, retryFirstMs * 2 ** watch.failures++);
        this.#log.debug(`the run ${run} is not told (${error.message}); again in ${afterMs} ms`);
        watch.retry = setTimeout(() => this.#ask(run, watch), afterMs);
        // Another machine may coordinate it by now.
        this.#soon();
      },
    );
  }

  #tell(run: string, status: RunStatus): void {
    const known = this.#known?.get(run);
    if (!known) return;
    known.status = status;
    if (status.coordinator !== known.found.coordinator) this.#soon();
    this.#changed.fire();
  }

  #unwatch(run: string): void {
    const watch = this.#watches.get(run);
    if (!watch) return;
    this.#watches.delete(run);
    clearTimeout(watch.retry);
    const { call } = watch;
    watch.call = undefined;
    call?.cancel();
  }

  #stop(): void {
    clearTimeout(this.#lookSoon);
    this.#lookSoon = undefined;
    for (const run of [...this.#watches.keys()]) this.#unwatch(run);
  }
}

/** The list says who tells of it; what the run itself told last says the rest. */
function shown({ found, status, untold }: Known): ShownRun {
  return { ...found, ...status, at: found.at, status, untold };
}
