import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunDefinition } from '../../shared/connector/definition.ts';
import { place } from '../../shared/connector/placement.ts';
import { readConnector } from '../../shared/connector/reader.ts';
import { render } from '../../shared/connector/templates.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { AttemptKey, AttemptReport, AttemptSpec, Kept } from '../../shared/protocol/attempt-methods.ts';
import type { MethodName, ParamsOf } from '../../shared/protocol/methods.ts';
import type { RunInfo, RunStatus } from '../../shared/protocol/run-methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { MachineInfo } from '../../shared/protocol/shapes.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import type { CallOptions } from '../../shared/rpc/peer.ts';
import { bootMs } from '../home/boot-clock.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import type { Surroundings } from './core/coordinator.ts';
import { Coordinator } from './core/coordinator.ts';
import type { Attempt, Placed } from './core/decide.ts';
import type { ReplicaMessage } from './core/messages.ts';
import type { MachineRef, StoredRecord, VoterInfo } from './core/records.ts';
import { knownRecord } from './core/records.ts';
import type { RunState } from './core/state.ts';
import { Hooks } from './hooks.ts';
import type { AttemptMachines } from './hosted-run.ts';
import { HostedRun } from './hosted-run.ts';
import { Journal } from './journal.ts';
import { Programs } from './programs.ts';
import { ScratchFolder } from './scratch-folder.ts';

/** The other machines of the team, as far as runs need them. */
export interface RunTeam {
  self(): MachineRef;
  list(): MachineInfo[];
  /** By name or id. Throws `no_such_machine`. */
  find(machine: string): MachineRef;
  /** Opens a call at another machine; rejects with `offline` where it cannot be reached now. */
  call<M extends MethodName>(
    machine: string,
    method: M,
    params: ParamsOf<M>,
    options?: CallOptions,
  ): Promise<TypedCall<M>>;
  /** Returns what ends the subscription. */
  onChange(listener: () => void): () => void;
}

/** This machine's own attempts. */
export interface AttemptsHere {
  begin(spec: AttemptSpec, prompt: Uint8Array): Promise<AttemptReport>;
  end(key: AttemptKey, why: 'cancelled' | 'fenced'): Promise<Kept>;
  lacks(programs: readonly string[]): Promise<string[]>;
}

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

const callMs = 15_000;
const replicateMs = 5_000;
/** How long a new run waits for most of its voters. */
const countsMs = 10_000;
/** What is kept of runs that are over. */
const kept = { runs: 100, ageMs: 30 * 86_400_000 };
const overFile = 'over';

/** The runs that this machine coordinates, or stands by for: `home/runs/RUN`. */
export class Runs {
  readonly #o: RunsOptions;
  readonly #hosted = new Map<string, Hosted>();
  /** Runs whose folders are being opened. */
  readonly #opening = new Map<string, Promise<Hosted>>();
  readonly #programs: Programs;
  readonly #unsubscribe: () => void;

  constructor(options: RunsOptions) {
    this.#o = options;
    this.#programs = new Programs(
      (machine, programs) => this.#lacks(machine, programs),
      () => this.#wakeAll(),
    );
    this.#unsubscribe = options.team.onChange(() => this.#wakeAll());
  }

  /** Takes up what this machine has on disk. One run that cannot be read does not keep the others. */
  async open(): Promise<void> {
    this.#clearOld();
    for (const run of this.#folders()) {
      try {
        if (!this.#hosted.has(run)) await this.#once(run, () => this.#load(run));
      } catch (error) {
        this.#o.log.error('a run cannot be taken up', { run, error });
      }
    }
  }

  close(): void {
    this.#unsubscribe();
    for (const { run, hooks, journal } of this.#hosted.values()) {
      run.close();
      hooks?.close();
      void journal.close();
    }
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
    const self = this.#o.team.self();
    const voters = this.#voters(definition, self);
    const begun: StoredRecord = { kind: 'begun', at: now(), run, definition, voters, startedBy: self.name };
    const path = this.#o.home.folder('runs', run);
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
    rmSync(path, { recursive: true, force: true });
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
    const path = this.#o.home.folder('runs', run);
    const { journal, saved } = await Journal.open(path);
    const hosted = this.#host(run, journal);
    if (existsSync(join(path, overFile))) hosted.run.restore(saved.log.map(({ record }) => record));
    else await hosted.run.open(Coordinator.load(this.#surroundings(hosted), saved, bootMs()));
    return hosted;
  }

  #host(run: string, journal: Journal): Hosted {
    const path = this.#o.home.path('runs', run);
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
        send: (to, message) => void this.#send(run, to, message),
        machines: this.#machines(),
        changed: () => this.#changed(hosted, path),
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
      place: (choice, load) => this.#place(choice, load, hosted.run.state?.definition),
    };
  }

  #changed(hosted: Hosted, path: string): void {
    for (const watcher of [...hosted.watchers]) watcher();
    const { run } = hosted;
    this.#tellHooks(hosted, path);
    if (run.isOver && !existsSync(join(path, overFile))) writeFileSync(join(path, overFile), '', { mode: 0o600 });
  }

  /** Only who coordinates tells; a standby that takes over begins with what it does not know to be told. */
  #tellHooks(hosted: Hosted, path: string): void {
    const { run } = hosted;
    const hooks = run.state?.definition.hooks ?? [];
    if (hooks.length === 0 || !run.isCoordinator) return;
    if (!hosted.hooks) {
      const { log, secret } = this.#o;
      hosted.hooks = new Hooks({ run: run.state?.run ?? '', hooks, path: join(path, 'hooks.json'), secret, log });
      hosted.hooks.run().catch((error: unknown) => log.error('hooks are not told any more', { error }));
    }
    hosted.hooks.update(
      run.records.map(({ index, record: { kind, at, ...data } }) => ({
        ...{ seq: index, at, is: kind },
        // The definition is long, and whoever gets this knows it.
        data: kind === 'begun' ? { name: run.state?.definition.name } : data,
      })),
    );
    if (run.isOver) hosted.hooks.end();
  }

  #place(
    choice: Parameters<typeof place>[0],
    load: ReadonlyMap<string, number>,
    definition: RunDefinition | undefined,
  ): Placed {
    const has = choice?.by === 'labels' ? choice.has : [];
    const programs = this.#programs;
    const machines = this.#o.team.list().map((machine) => ({
      ...machine,
      // Only whom the labels fit is asked; before it answers it has none of them.
      get lacks() {
        return has.length === 0 ? [] : (programs.lacks(machine.id, has) ?? has);
      },
    }));
    const placed = place(choice, machines, load, definition?.machines);
    if ('none' in placed) return placed;
    const { id, name } = placed.machine;
    return { machine: { id, name } };
  }

  async #lacks(machine: string, programs: string[]): Promise<string[]> {
    if (machine === this.#o.team.self().id) return await this.#o.attempts.lacks(programs);
    const call = await this.#o.team.call(machine, 'attempt.lacks', { programs }, { deadlineMs: callMs });
    return (await call.result).lacks;
  }

  #machines(): AttemptMachines {
    const { team, attempts } = this.#o;
    return {
      begin: async (machine, state, attempt) => {
        const { spec, prompt } = this.#attempt(state, attempt);
        if (machine.id === team.self().id) return await attempts.begin(spec, prompt);
        const call = await team.call(machine.id, 'attempt.begin', spec, { deadlineMs: callMs });
        await sendStream(call, prompt);
        return await call.result;
      },
      end: async (machine, key, why) => {
        if (machine.id === team.self().id) return { kept: await attempts.end(key, why) };
        const call = await team.call(machine.id, 'attempt.end', { ...key, why }, { deadlineMs: 4 * callMs });
        return await call.result;
      },
    };
  }

  /** What its machine has to know. */
  #attempt(state: RunState, { worker: name, epoch }: Attempt): { spec: AttemptSpec; prompt: Uint8Array } {
    const worker = state.workers.get(name);
    const placement = worker?.definition.placements[worker.placement];
    if (!worker || !placement) throw new NiiaError('internal', `the run ${state.run} has no worker ${name}`);
    const { definition } = state;
    const outputs = [...state.workers.values()].flatMap(({ definition: { name }, verdict }) =>
      verdict?.is === 'succeeded' ? [[name, verdict.output] as const] : [],
    );
    const { environment, output, check, lease, limits, prompt } = worker.definition;
    const self = this.#o.team.self().id;
    const coordinators = state.voters.filter(({ witness }) => !witness).map(({ id }) => id);
    return {
      spec: {
        ...{ run: state.run, worker: name, epoch, attempt: worker.attempt, runName: definition.name },
        coordinators: [self, ...coordinators.filter((id) => id !== self)],
        folder: definition.folder,
        ...{ model: placement.model, environment, output, check, lease, limits },
      },
      prompt: Buffer.from(
        render(prompt, { worker: name, inputs: definition.inputs, outputs: Object.fromEntries(outputs) }),
      ),
    };
  }

  async #send(run: string, to: string, message: ReplicaMessage): Promise<void> {
    try {
      const call = await this.#o.team.call(to, 'run.replicate', { run }, { deadlineMs: replicateMs });
      await sendStream(call, Buffer.from(JSON.stringify(message)));
      await call.result;
    } catch (error) {
      // It is sent again in other words: a lost message is nothing that the replicas do not know.
      this.#o.log.debug('a voter was not reached', { run, to, error });
    }
  }

  #wakeAll(): void {
    for (const { run } of this.#hosted.values()) if (!run.isOver) run.wake();
  }

  #folders(): string[] {
    return readdirSync(this.#o.home.folder('runs'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  }

  #clearOld(): void {
    const root = this.#o.home.folder('runs');
    const over = this.#folders()
      .flatMap((name) => {
        const stats = statSync(join(root, name, overFile), { throwIfNoEntry: false });
        return stats ? [{ name, at: stats.mtimeMs }] : [];
      })
      .sort((a, b) => b.at - a.at);
    for (const [index, { name, at }] of over.entries()) {
      if (index < kept.runs && at > Date.now() - kept.ageMs) continue;
      rmSync(join(root, name), { recursive: true, force: true });
    }
  }
}

/** Sends `bytes` on the input stream of a call. The answer may come before all is sent: that it is refused. */
export async function sendStream(
  call: Pick<TypedCall<MethodName>, 'sink' | 'result'>,
  bytes: Uint8Array,
): Promise<void> {
  const sink = call.sink(streams.input);
  await Promise.race([sink.writeAll(bytes), call.result]);
  sink.end();
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
