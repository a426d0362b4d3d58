import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { RunDefinition } from '../../shared/connector/definition.ts';
import { readConnector } from '../../shared/connector/reader.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { RunInfo, RunStatus } from '../../shared/protocol/run-methods.ts';
import { bootMs } from '../home/boot-clock.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import type { AttemptsHere } from './attempt-orders.ts';
import { AttemptOrders } from './attempt-orders.ts';
import type { Surroundings } from './core/coordinator.ts';
import { Coordinator } from './core/coordinator.ts';
import type { ReplicaMessage } from './core/messages.ts';
import type { MachineRef, StoredRecord, VoterInfo } from './core/records.ts';
import { knownRecord } from './core/records.ts';
import { eventsOf, Hooks } from './hooks.ts';
import { HostedRun } from './hosted-run.ts';
import { Journal } from './journal.ts';
import { Placing } from './placing.ts';
import { RunFolders } from './run-folders.ts';
import type { RunTeam } from './run-team.ts';
import { sendStream, timeFor } from './run-team.ts';
import { ScratchFolder } from './scratch-folder.ts';
import { VoterLine } from './voter-line.ts';

export interface RunsOptions {
  home: Home;
  team: RunTeam;
  attempts: AttemptsHere;
  /** A secret of the user's, by name; undefined where there is none. */
  secret: (name: string) => string | undefined;
  log: Log;
}

interface Hosted {
  readonly run: HostedRun;
  readonly scratchpad: ScratchFolder;
  journal: Journal;
  hooks: Hooks | undefined;
  readonly watchers: Set<() => void>;
}

/** How long a new run waits for most of its voters. */
const countsMs = 10_000;
/** The runs that this machine coordinates, or stands by for: `home/runs/RUN`. */
export class Runs {
  readonly #o: RunsOptions;
  readonly #hosted = new Map<string, Hosted>();
  /** Runs whose folders are being opened. */
  readonly #opening = new Map<string, Promise<Hosted>>();
  readonly #folders: RunFolders;
  readonly #orders: AttemptOrders;
  readonly #placing: Placing;
  readonly #unsubscribe: () => void;

  constructor(options: RunsOptions) {
    this.#o = options;
    const { home, team, attempts } = options;
    this.#folders = new RunFolders(home);
    this.#orders = new AttemptOrders(team, attempts);
    const lacks = (machine: string, programs: string[]) => this.#orders.lacks(machine, programs);
    this.#placing = new Placing(team, lacks, () => this.#wakeAll());
    this.#unsubscribe = team.onChange(() => this.#wakeAll());
  }

  /** Takes up what this machine has on disk. One run that cannot be read does not keep the others. */
  async open(): Promise<void> {
    this.#folders.clearOld();
    for (const run of this.#folders.list()) {
      try {
        if (!this.#hosted.has(run)) await this.#once(run, () => this.#load(run));
      } catch (error) {
        this.#o.log.error('a run cannot be taken up', { run, error });
      }
    }
  }

  /** Resolves when what was on its way to the journals is there. */
  async close(): Promise<void> {
    this.#unsubscribe();
    for (const { run, hooks } of this.#hosted.values()) {
      run.close();
      hooks?.close();
    }
    await Promise.all([...this.#hosted.values()].map(({ journal }) => journal.close()));
  }

  /** Begins a run of a connector file. The same key begins it once. Throws `usage` with all that is wrong with the file. */
  async start(
    params: { file: string; inputs: Record<string, string> },
    text: string,
    key: string | undefined,
  ): Promise<string> {
    const { file, inputs } = params;
    const folder = file.replace(/[/\\][^/\\]*$/, '') || '/';
    const { definition } = readConnector(text, { file, folder, inputs });
    const run = `${slug(definition.name)}-${createHash('sha256')
      .update(key ?? randomBytes(16))
      .digest('hex')
      .slice(0, 6)}`;
    if (!this.#hosted.has(run) || this.#opening.has(run)) await this.#once(run, () => this.#begin(run, definition));
    return run;
  }

  /** A run of which two ask at the same time is opened once. */
  async #once(run: string, open: () => Promise<Hosted>): Promise<Hosted> {
    const opening = this.#opening.get(run) ?? open().finally(() => this.#opening.delete(run));
    this.#opening.set(run, opening);
    return await opening;
  }

  async #begin(run: string, definition: RunDefinition): Promise<Hosted> {
    for (const { secret, url } of definition.hooks) {
      if (secret === null || this.#o.secret(secret) !== undefined) continue;
      const why = `the hook ${url} is to be signed with ${secret}, which the daemon's environment does not have`;
      throw new NiiaError('usage', why, `Start the daemon with it: ${secret}=… niia up`);
    }
    const self = this.#o.team.self();
    const voters = this.#voters(definition, self);
    const begun: StoredRecord = { kind: 'begun', at: now(), run, definition, voters, startedBy: self.name };
    const path = this.#folders.of(run);
    const { journal } = await Journal.open(path);
    const hosted = this.#host(run, journal);
    const coordinator = Coordinator.found(this.#surroundings(hosted), begun, bootMs());
    await hosted.run.open(coordinator);
    if (await this.#counts(hosted)) return hosted;
    const others = voters.filter(({ id }) => id !== self.id).map(({ name }) => name);
    if (others.length > 0) {
      // They may have its first record, and go on with it: it stays.
      throw new NiiaError(
        'outcome_unknown',
        `too few of the machines that coordinate ${definition.name} answer: ${others.join(', ')}; ${run} begins once most of them have its journal`,
        `See: niia run status ${run}`,
      );
    }
    this.#hosted.delete(run);
    hosted.run.close();
    await hosted.journal.close();
    this.#folders.remove(run);
    throw new NiiaError('io', `the journal of the run could not be written in ${path}`);
  }

  /** Whether its first record came to count. */
  async #counts({ run, watchers }: Hosted): Promise<boolean> {
    if (run.state) return true;
    return await new Promise<boolean>((resolve) => {
      const done = (): void => {
        if (!run.state && !late) return;
        clearTimeout(timer);
        watchers.delete(done);
        resolve(run.state !== undefined);
      };
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        done();
      }, countsMs);
      watchers.add(done);
    });
  }

  list(): RunInfo[] {
    return [...this.#hosted.values()].flatMap(({ run }) => run.info() ?? []);
  }

  status(run: string): RunStatus {
    const status = this.#get(run).run.status();
    if (!status) throw noSuchRun(run);
    return status;
  }

  records(run: string): ReturnType<Runs['hosted']>['records'] {
    return this.hosted(run).records;
  }

  hosted(run: string): HostedRun {
    return this.#get(run).run;
  }

  scratchpad(run: string): ScratchFolder {
    return this.#get(run).scratchpad;
  }

  /** Calls `listener` after each change of the run; returns what ends that. */
  watch(run: string, listener: () => void): () => void {
    const { watchers } = this.#get(run);
    watchers.add(listener);
    return () => watchers.delete(listener);
  }

  /** A message of another voter: of a run that is new here, where it begins one. */
  async receive(run: string, from: string, message: ReplicaMessage): Promise<void> {
    const known = this.#hosted.get(run);
    if (!known && !this.#begins(run, from, message)) throw noSuchRun(run);
    (known ?? (await this.#once(run, () => this.#load(run)))).run.receive(from, message);
  }

  /** Whether the message is the beginning of that run, by a machine that has a vote in it, as this one has. */
  #begins(run: string, from: string, message: ReplicaMessage): boolean {
    const [first] = message.is === 'append' && message.prev.index === 0 ? message.entries : [];
    const record = first && knownRecord(first.record);
    if (record?.kind !== 'begun' || record.run !== run) return false;
    return [from, this.#o.team.self().id].every((machine) => record.voters.some(({ id }) => id === machine));
  }

  #get(run: string): Hosted {
    const hosted = this.#hosted.get(run);
    if (!hosted) throw noSuchRun(run);
    return hosted;
  }

  #voters(definition: RunDefinition, self: MachineRef): VoterInfo[] {
    const others = definition.coordinators.map((name) => this.#o.team.find(name)).filter(({ id }) => id !== self.id);
    if (definition.coordinators.length > 0 && others.length === definition.coordinators.length) {
      throw new NiiaError(
        'usage',
        `${self.name} is none of the coordinators of ${definition.name}: ${definition.coordinators.join(', ')}`,
        'Start it on one of them: niia remote run MACHINE FILE',
      );
    }
    return [self, ...others].map(({ id, name }) => ({ id, name, witness: false }));
  }

  async #load(run: string): Promise<Hosted> {
    const path = this.#folders.of(run);
    const { journal, saved } = await Journal.open(path);
    const hosted = this.#host(run, journal);
    const records = saved.log.map(({ record }) => record);
    if (this.#folders.isOver(run)) {
      hosted.run.restore(records);
      await journal.close();
    } else await hosted.run.open(Coordinator.load(this.#surroundings(hosted), saved, bootMs()), records);
    return hosted;
  }

  #host(run: string, journal: Journal): Hosted {
    const path = this.#folders.of(run);
    const lines = new Map<string, VoterLine>();
    const line = (to: string): VoterLine => {
      const known = lines.get(to) ?? new VoterLine((message) => this.#send(run, to, message));
      lines.set(to, known);
      return known;
    };
    const hosted: Hosted = {
      run: new HostedRun({
        ...{ run, self: this.#o.team.self().id, now: bootMs, log: new Log('run') },
        // A journal of which a save failed is of no use any more.
        load: async () => {
          await hosted.journal.close();
          const opened = await Journal.open(path);
          hosted.journal = opened.journal;
          return Coordinator.load(this.#surroundings(hosted), opened.saved, bootMs());
        },
        save: (save) => hosted.journal.save(save),
        send: (to, message) => line(to).send(message),
        rested: () => hosted.journal.close(),
        machines: this.#orders,
        changed: () => this.#changed(run, hosted),
      }),
      scratchpad: new ScratchFolder(join(path, 'scratchpad'), this.#o.log),
      ...{ journal, hooks: undefined, watchers: new Set() },
    };
    this.#hosted.set(run, hosted);
    return hosted;
  }

  #surroundings(hosted: Hosted): Surroundings {
    return {
      ...{ self: this.#o.team.self().id, random: Math.random, date: now },
      online: (machine) => this.#o.team.list().some(({ id, online }) => id === machine && online),
      place: (choice, load) => this.#placing.place(choice, load, hosted.run.state?.definition.machines),
    };
  }

  #changed(run: string, hosted: Hosted): void {
    for (const watcher of [...hosted.watchers]) watcher();
    this.#tellHooks(run, hosted);
    const told = hosted.hooks?.done ?? true;
    if (hosted.run.isSettled && told) this.#folders.markOver(run);
  }

  /** Only who coordinates tells; a standby that takes over begins with what it does not know to be told. */
  #tellHooks(run: string, hosted: Hosted): void {
    const { isCoordinator, state, records, isOver } = hosted.run;
    const hooks = state?.definition.hooks ?? [];
    if (!state || hooks.length === 0 || !isCoordinator) return;
    if (!hosted.hooks) {
      const { log, secret } = this.#o;
      const path = join(this.#folders.of(run), 'hooks.json');
      hosted.hooks = new Hooks({ run, hooks, path, secret, log });
      hosted.hooks.run().then(
        () => this.#changed(run, hosted),
        (error: unknown) => log.error('hooks are not told any more', { run, error }),
      );
    }
    hosted.hooks.update(eventsOf(records, state.definition.name));
    if (isOver) hosted.hooks.end();
  }

  async #send(run: string, to: string, message: ReplicaMessage): Promise<void> {
    try {
      const bytes = Buffer.from(JSON.stringify(message));
      const call = await this.#o.team.call(to, 'run.replicate', { run }, { deadlineMs: timeFor(bytes.length) });
      await sendStream(call, [bytes]);
      await call.result;
    } catch (error) {
      // It is sent again in other words: a lost message is nothing that the replicas do not know.
      this.#o.log.debug('a voter was not reached', { run, to, error });
    }
  }

  #wakeAll(): void {
    for (const { run } of this.#hosted.values()) if (!run.isSettled) run.wake();
  }
}

export function noSuchRun(run: string): NiiaError {
  return new NiiaError('no_such_run', `this machine knows no run ${run}`, 'See: niia run list');
}

function slug(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);
  return plain || 'run';
}

function now(): string {
  return new Date().toISOString();
}
