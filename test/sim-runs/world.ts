import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import type { Answer, Ask, CallResult, CoordinatorOutput } from '../../daemon/connector/core/coordinator.ts';
import type { Attempt, Placed } from '../../daemon/connector/core/decide.ts';
import type { ReplicaMessage } from '../../daemon/connector/core/messages.ts';
import { replicaMessageSchema } from '../../daemon/connector/core/messages.ts';
import type { StoredRecord, VoterInfo } from '../../daemon/connector/core/records.ts';
import { fold, type RunState } from '../../daemon/connector/core/state.ts';
import { runStatus } from '../../daemon/connector/core/status.ts';
import type {
  Lease,
  MachineChoice,
  Placement,
  RunDefinition,
  WorkerDefinition,
} from '../../shared/connector/definition.ts';
import { SimTime } from '../sim/clock.ts';
import { Random } from '../sim/random.ts';
import { placedOn, runOf, workerOn } from '../support/run-definition.ts';
import { Host } from './host.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import { keyOf, Voter, type VoterWorld, WitnessVoter } from './voter.ts';

/** What happened in a run, counted over all of them to see that the simulation is not without events. */
export const counted = [
  'runs',
  'succeeded',
  'failed',
  'cancelled',
  'records',
  'takeovers',
  'lost',
  'fenced',
  'paused',
  'crashes',
  'witnessed',
] as const;
export type Counts = Record<(typeof counted)[number], number>;

/** How long a run may take once nothing goes wrong any more: its work, its retries, and elections. */
const settleMs = 30 * 60_000;
/** How often a daemon looks who is there. */
const presenceMs = 2_000;
const callLimitMs = 5_000;

const leases: readonly Lease[] = [
  { ttlMs: 15_000, renewMs: 5_000, lostAfterMs: 30_000 },
  { ttlMs: 15_000, renewMs: 5_000, lostAfterMs: 15_100 },
  { ttlMs: 4_000, renewMs: 1_000, lostAfterMs: 6_000 },
  { ttlMs: 4_000, renewMs: 2_000, lostAfterMs: 4_100 },
];

/** A run of a connector file on bad machines. All follows from the seed. */
export class World {
  readonly #random: Random;
  readonly #time = new SimTime();
  readonly #network: Network;
  readonly #hosts = new Map<string, Host>();
  readonly #machines = new Map<string, Machine>();
  readonly #voters = new Map<string, Voter>();
  #witness: WitnessVoter | undefined;
  readonly #definition: RunDefinition;
  /** Who each host thinks is there. */
  readonly #presence = new Map<string, Set<string>>();
  readonly #wire: boolean;
  readonly problems: string[] = [];
  readonly trace: string[] = [];
  readonly counts = Object.fromEntries(counted.map((name) => [name, 0])) as Counts;
  /** Records that some voter took to count, and the run by them. */
  readonly #journal: StoredRecord[] = [];
  #state: RunState | undefined;
  /** Outcomes that were answered with "ok". */
  readonly #promised = new Map<string, Ask & { is: 'deliver' }>();
  readonly #prompts = new Map<string, number>();
  #quiet = false;

  constructor(seed: number) {
    const random = new Random(seed);
    this.#random = random;
    this.#wire = seed % 50 === 0;
    this.#network = new Network(this.#time, random);
    this.#network.loss = random.pick([0, 0, 0.02, 0.1]);
    this.#network.doubles = random.pick([0, 0, 0.05]);
    this.#network.slowest = random.pick([20, 100, 400]);
    const names = Array.from({ length: random.integer(2, 4) }, (_, i) => `m${i}`);
    for (const name of [...names, 'gateway']) this.#hosts.set(name, new Host(name, this.#time, random));
    this.#definition = this.#anyRun(names);
    const full = names.slice(0, random.pick([1, 2, 3, 3, 3]));
    for (const name of names) {
      const machine = new Machine(this.host(name), {
        ...{ random, coordinators: full },
        ask: (from, to, limitMs, ask, done) => this.#ask(from, to, limitMs, ask, done),
        leaseOf: (worker) => this.#worker(worker).lease,
        prepareMs: () => random.between(5, random.pick([30, 3_000])),
        workMs: () => random.between(100, random.pick([4_000, 30_000, 90_000])),
        succeeds: () => random.chance(0.85),
        works: (at, attempt) => this.#works(at, attempt),
        prompted: (attempt) => this.#prompted(attempt),
        fenced: (attempt) => this.#note(`${name}: ${keyOf(attempt)} was fenced`),
      });
      this.#machines.set(name, machine);
      this.#presence.set(name, new Set(names));
    }
    for (const name of full) this.#addVoter(name);
    const voters: VoterInfo[] = full.map((id) => ({ id, name: id, witness: false }));
    if (full.length > 1 && random.chance(full.length === 2 ? 0.8 : 0.3)) {
      voters.push({ id: 'gateway', name: 'gateway', witness: true });
      this.#witness = new WitnessVoter(this.host('gateway'), this.#voterWorld);
    }
    const [first] = full;
    const at = new Date(1.7e12).toISOString();
    for (const [name, voter] of this.#voters) if (name !== first) voter.load();
    const begun = { kind: 'begun', at, run: 'run', definition: this.#definition, voters, startedBy: 'user' };
    this.#voters.get(first ?? '')?.found(begun);
    for (const name of names) this.#watchPresence(name);
    this.#note(`${voters.map(({ id }) => id).join(', ')} vote; machines ${names.join(', ')}`);
  }

  static async run(seed: number): Promise<World> {
    const world = new World(seed);
    await world.#run();
    return world;
  }

  host(id: string): Host {
    const host = this.#hosts.get(id);
    if (!host) throw new Error(`no host ${id}`);
    return host;
  }

  async #run(): Promise<void> {
    const end = this.#random.between(20_000, 200_000);
    const pace = this.#random.pick([2_000, 8_000, 25_000]);
    const mishaps = this.#climate();
    const next = (): void => {
      this.#time.after(this.#random.between(10, pace), () => {
        if (this.#time.now >= end) return;
        this.#random.pick(mishaps)();
        next();
      });
    };
    next();
    this.#user();
    await this.#time.runUntil(end);
    this.#mend();
    for (let until = end; until < end + settleMs && !this.#isOver(); ) {
      until += 5_000;
      await this.#time.runUntil(until);
      if (this.problems.length > 0) break;
    }
    // Whatever is still on its way arrives, and changes nothing any more.
    if (this.#isOver()) await this.#time.runUntil(this.#time.now + 40_000);
    this.#judge();
  }

  #isOver(): boolean {
    return this.#state?.ended !== undefined && this.#state.ended !== null;
  }

  // What is run

  #anyRun(names: string[]): RunDefinition {
    const random = this.#random;
    let number = 0;
    const phases = Array.from({ length: random.integer(1, 3) }, () => {
      const workers: WorkerDefinition[] = [];
      for (let count = random.integer(1, 3); count > 0; count--) {
        const before = workers.at(-1);
        const needs = before && random.chance(0.3) ? [before.name] : [];
        workers.push(this.#anyWorker(`w${++number}`, names, needs));
      }
      return workers;
    });
    return runOf(phases, random.integer(1, 4));
  }

  #anyWorker(name: string, names: string[], needs: string[]): WorkerDefinition {
    const random = this.#random;
    const placements: Placement[] = [];
    for (let count = random.pick([1, 2, 2, 3]); count > 0; count--) {
      const placement = placedOn(random.pick(names));
      const machine: MachineChoice = { by: 'labels', labels: {}, has: [], pick: 'spread' };
      placements.push(random.chance(0.4) ? { ...placement, machine } : placement);
    }
    const totalMs = random.chance(0.2) ? 60_000 : 0;
    return workerOn(name, [], {
      ...{ needs, placements },
      lease: random.pick(leases),
      retry: { attempts: random.integer(1, 4), backoffMs: random.pick([0, 1_000, 10_000]) },
      limits: { startMs: 0, turnMs: 0, stallMs: 0, totalMs, bytes: 0 },
      sideEffects: random.chance(0.25) ? 'external' : 'none',
    });
  }

  #worker(name: string): WorkerDefinition {
    const worker = this.#definition.phases.flatMap(({ workers }) => workers).find((one) => one.name === name);
    if (!worker) throw new Error(`no worker ${name}`);
    return worker;
  }

  // Who takes part

  #addVoter(name: string): void {
    const host = this.host(name);
    const voter = new Voter(host, this.#voterWorld, {
      self: name,
      random: () => this.#random.next(),
      date: () => host.date(),
      online: (machine) => this.#online(name, machine),
      place: (choice, load) => this.#place(name, choice, load),
    });
    voter.onCrash = () => this.#crash(name, this.#random.between(200, 30_000));
    this.#voters.set(name, voter);
  }

  get #voterWorld(): VoterWorld {
    return {
      network: this.#network,
      random: this.#random,
      receive: (to, from, message) => this.#receive(to, from, message),
      host: (id) => this.host(id),
      call: (from, call, done) => this.#call(from, call, done),
      committed: (voter, index, record) => this.#committed(voter, index, record),
      answered: (voter, ask, answer) => this.#answered(voter, ask, answer),
    };
  }

  #receive(to: string, from: string, message: ReplicaMessage): void {
    const read = this.#wire ? v.parse(replicaMessageSchema, JSON.parse(JSON.stringify(message))) : message;
    if (to === 'gateway') this.#witness?.receive(from, read);
    else this.#voters.get(to)?.receive(from, read);
  }

  #ask(from: Host, to: string, limitMs: number, ask: Ask, done: (answer?: Answer) => void): void {
    this.#network.call<Answer>(from, this.host(to), limitMs, (answer) => this.#voters.get(to)?.ask(ask, answer), done);
  }

  #call(
    from: Voter,
    { do: what, attempt, machine }: CoordinatorOutput['calls'][number],
    done: (result: CallResult) => void,
  ): void {
    this.#mustBeAlone(from, `calls ${what} of ${keyOf(attempt)}`);
    const to = this.#machines.get(machine.id);
    if (!to) throw new Error(`no machine ${machine.id}`);
    this.#network.call<CallResult>(
      from.host,
      to.host,
      callLimitMs,
      (answer) => answer(what === 'begin' ? to.begin(attempt) : to.end(attempt)),
      (result) => done(result ?? { is: 'failed' }),
    );
  }

  #online(at: string, machine: string): boolean {
    return at === machine || (this.#presence.get(at)?.has(machine) ?? false);
  }

  #place(at: string, choice: MachineChoice, load: ReadonlyMap<string, number>): Placed {
    const there = [...this.#machines.keys()].filter((name) => this.#online(at, name));
    const fit = choice?.by === 'name' ? there.filter((name) => name === choice.name) : choice === null ? [at] : there;
    const [best] = fit.sort((a, b) => (load.get(a) ?? 0) - (load.get(b) ?? 0));
    return best === undefined ? { none: 'nobody is there' } : { machine: { id: best, name: best } };
  }

  /** Presence is late, and now and then wrong. */
  #watchPresence(at: string): void {
    const host = this.host(at);
    this.#time.after(this.#random.between(0.5 * presenceMs, presenceMs), () => {
      const seen = this.#presence.get(at);
      let changed = false;
      for (const other of this.#machines.values()) {
        const truth =
          other.host.up &&
          !other.host.paused &&
          this.#network.reaches(host, other.host) &&
          this.#network.reaches(other.host, host);
        const told = !this.#quiet && this.#random.chance(0.02) ? !truth : truth;
        if (!this.#quiet && this.#random.chance(0.5)) continue;
        if (seen?.has(other.host.id) === told) continue;
        changed = true;
        if (told) seen?.add(other.host.id);
        else seen?.delete(other.host.id);
      }
      if (changed) host.arrive(() => this.#voters.get(at)?.tick());
      this.#watchPresence(at);
    });
  }

  /** Somebody who looks at the run and decides what it asks; now and then has enough of it. */
  #user(): void {
    const cancels = this.#random.chance(0.05);
    const look = (): void => {
      this.#time.after(this.#random.between(3_000, 20_000), () => {
        const voter = this.#random.pick([...this.#voters.values()]);
        const paused = [...(voter.coordinator?.state?.workers.values() ?? [])].filter((one) => one.paused !== null);
        const ask: Ask | undefined =
          paused.length > 0
            ? {
                is: 'resume',
                worker: this.#random.pick(paused).definition.name,
                decision: this.#random.pick(['rerun', 'rerun', 'skip', 'fail']),
              }
            : cancels && this.#random.chance(0.2)
              ? { is: 'cancel' }
              : undefined;
        if (ask) this.#ask(voter.host, voter.host.id, 10_000, ask, () => undefined);
        look();
      });
    };
    look();
  }

  // What goes wrong

  /** What may happen, in some runs more of it and in others less: what is rare among many things is common among few. */
  #climate(): Array<() => void> {
    const random = this.#random;
    const kinds: Array<() => void> = [
      () => this.#cut(this.#anyHost(), this.#anyHost()),
      () => this.#isolate(this.#anyHost()),
      () => this.#pause(this.#anyHost()),
      () => this.#crash(this.#anyHost().id, random.pick([500, 3_000, 40_000]) * random.between(0.4, 1)),
      () => this.#reboot(this.#anyHost().id, random.between(2_000, 60_000)),
      () => this.#diskTrouble(),
      () => this.#wallClock(this.#anyHost()),
    ];
    const chosen = kinds.filter(() => random.chance(0.5));
    const heals = Array.from({ length: random.integer(0, 2) }, () => () => this.#join());
    return [...(chosen.length > 0 ? chosen : kinds), ...heals];
  }

  #join(): void {
    this.#note('all reach each other');
    this.#network.joinAll();
  }

  /** Mostly one that matters: one that works, or votes. */
  #anyHost(): Host {
    const random = this.#random;
    const working = [...(this.#state?.workers.values() ?? [])].flatMap((one) => (one.active ? [one.machine?.id] : []));
    const id = random.pick(
      [working, [...this.#voters.keys()], [...this.#hosts.keys()]].filter((ids) => ids.length > 0),
    );
    return this.host(random.pick(id) ?? '');
  }

  #cut(a: Host, b: Host): void {
    if (a === b) return;
    this.#note(`${a.id} does not reach ${b.id}`);
    this.#network.cut(a, b);
    if (this.#random.chance(0.6)) this.#network.cut(b, a);
  }

  #isolate(host: Host): void {
    this.#note(`${host.id} is cut off`);
    const deaf = this.#random.chance(0.8);
    const dumb = !deaf || this.#random.chance(0.8);
    for (const other of this.#hosts.values()) {
      if (other === host) continue;
      if (dumb) this.#network.cut(host, other);
      if (deaf) this.#network.cut(other, host);
    }
  }

  #pause(host: Host): void {
    const ms = this.#random.pick([2_000, 10_000, 40_000, 90_000]) * this.#random.between(0.5, 1.2);
    this.#note(`${host.id} stands still for ${Math.round(ms)} ms`);
    host.pause(ms);
  }

  #crash(id: string, ms: number): void {
    const host = this.host(id);
    if (!host.up) return;
    this.#note(`the daemon of ${id} ends, for ${Math.round(ms)} ms`);
    this.counts.crashes++;
    this.#stop(id);
    host.crash();
    this.#time.after(ms, () => this.#start(id));
  }

  #reboot(id: string, ms: number): void {
    const host = this.host(id);
    if (!host.up) return;
    this.#note(`${id} boots, in ${Math.round(ms)} ms`);
    this.counts.crashes++;
    this.#stop(id);
    host.reboot();
    this.#machines.get(id)?.rebooted();
    this.#time.after(ms, () => this.#start(id));
  }

  #stop(id: string): void {
    this.#voters.get(id)?.crashed();
    this.#machines.get(id)?.crashed();
    if (id === 'gateway') this.#witness?.crashed();
  }

  #start(id: string): void {
    const host = this.host(id);
    if (host.up) return;
    host.up = true;
    this.#note(`${id} is there again`);
    const load = host.bound(() => {
      this.#voters.get(id)?.load();
      this.#machines.get(id)?.started();
      if (id === 'gateway') this.#witness?.load();
    });
    host.arrive(load);
  }

  #diskTrouble(): void {
    const voter = this.#random.pick([...this.#voters.values()]);
    voter.trouble = this.#random.pick(['crash before', 'crash after', 'full'] as const);
    this.#note(`the next save of ${voter.host.id}: ${voter.trouble}`);
  }

  #wallClock(host: Host): void {
    host.wallOff = this.#random.pick([-86_400_000, 0, 3_600_000]);
    this.#note(`the wall clock of ${host.id} is ${host.wallOff} ms off`);
  }

  #mend(): void {
    this.#note('all is well from here on');
    this.#quiet = true;
    this.#network.joinAll();
    this.#network.loss = 0;
    for (const voter of this.#voters.values()) voter.trouble = 'none';
  }

  // What must be true

  #mustBeAlone(actor: Voter, what: string): void {
    for (const [name, { host, coordinator }] of this.#voters) {
      if (host === actor.host || !host.up || !coordinator?.mayAct(host.now())) continue;
      this.#problem(`${actor.host.id} ${what}, while ${name} may act too`);
    }
  }

  #committed(voter: Voter, index: number, record: StoredRecord): void {
    const known = this.#journal[index - 1];
    if (known) {
      const same = known === record || isDeepStrictEqual(known, record);
      if (!same)
        this.#problem(`record ${index} is ${show(known)} at one voter and ${show(record)} at ${voter.host.id}`);
      return;
    }
    if (index !== this.#journal.length + 1) {
      this.#problem(`${voter.host.id} takes record ${index} to count before ${this.#journal.length + 1}`);
      return;
    }
    this.#note(`${index} ${show(record)} (${voter.host.id})`);
    this.#journal.push(record);
    const before = this.#state;
    this.#state = fold(before, index, record);
    if (this.#state.ignored > (before?.ignored ?? 0))
      this.#problem(`record ${index}, ${show(record)}, contradicts the run`);
    this.counts.records++;
    if (record.kind === 'term') {
      this.counts.takeovers++;
      this.#mustBeAlone(voter, 'takes over');
    }
    if (record.kind === 'lost') this.counts.lost++;
    if (record.kind === 'fenced') this.counts.fenced++;
    if (record.kind === 'paused') this.counts.paused++;
  }

  #answered(voter: Voter, ask: Ask, answer: Answer): void {
    if (answer.is !== 'ok' || ask.is === 'cancel' || ask.is === 'resume') return;
    const { attempt } = ask;
    const worker = this.#state?.workers.get(attempt.worker);
    if (ask.is === 'deliver') {
      this.#promised.set(keyOf(attempt), ask);
      if (!worker?.delivered.has(attempt.epoch))
        this.#problem(`an outcome of ${keyOf(attempt)} was taken that does not count`);
      return;
    }
    if (worker?.delivered.has(attempt.epoch)) return;
    this.#mustBeAlone(voter, `renews ${keyOf(attempt)}`);
    if (!worker?.active || worker.epoch !== attempt.epoch) {
      this.#problem(`${voter.host.id} renewed ${keyOf(attempt)}, and ${worker?.epoch} is the present epoch`);
    }
  }

  #works(machine: Machine, attempt: Attempt): void {
    for (const other of this.#machines.values()) {
      const epoch = other === machine ? undefined : other.worksUnder(attempt.worker);
      if (epoch === undefined) continue;
      this.#problem(
        `${other.host.id} works on ${attempt.worker}/${epoch} while ${machine.host.id} does on ${keyOf(attempt)}`,
      );
    }
    if (this.#state && (this.#state.workers.get(attempt.worker)?.epoch ?? 0) < attempt.epoch) {
      this.#problem(`${machine.host.id} works on ${keyOf(attempt)}, which nobody granted`);
    }
  }

  #prompted(attempt: Attempt): void {
    const { worker } = attempt;
    const before = this.#prompts.get(worker) ?? 0;
    this.#prompts.set(worker, before + 1);
    if (this.#worker(worker).sideEffects !== 'external') return;
    const reruns = this.#journal.filter(
      (record) => record.kind === 'resumed' && record['worker'] === worker && record['decision'] === 'rerun',
    ).length;
    if (before > reruns)
      this.#problem(`${worker} got its prompt ${before + 1} times, ${reruns} of them by a person's word`);
  }

  #judge(): void {
    const state = this.#state;
    if (!state) {
      this.#problem('the run never began');
      return;
    }
    this.counts.runs++;
    if (this.#witness) this.counts.witnessed++;
    if (state.ended) this.counts[state.ended.state]++;
    else this.#problem(`the run is not over: ${this.#standing(state)}`);
    this.#judgeCommits(state);
    for (const { attempt } of this.#promised.values()) {
      if (!state.workers.get(attempt.worker)?.delivered.has(attempt.epoch)) {
        this.#problem(`the outcome of ${keyOf(attempt)} was taken, and is lost`);
      }
    }
  }

  #judgeCommits(state: RunState): void {
    for (const [name, worker] of state.workers) {
      let epoch = 0;
      let commits = 0;
      for (const record of this.#journal) {
        if (record['worker'] !== name) continue;
        if (record.kind === 'grant') {
          if (Number(record['epoch']) <= epoch)
            this.#problem(`${name}: epoch ${record['epoch']} was granted after ${epoch}`);
          epoch = Number(record['epoch']);
        }
        if (record.kind !== 'commit') continue;
        commits++;
        if (record['epoch'] !== epoch) this.#problem(`${name} was committed under ${record['epoch']}, not ${epoch}`);
      }
      if (commits > 1) this.#problem(`${name} was committed ${commits} times`);
      const wanted = worker.verdict?.is === 'skipped' ? 0 : 1;
      if (state.ended?.state === 'succeeded' && commits !== wanted)
        this.#problem(`${name} has ${commits} commits in the end`);
    }
  }

  #standing(state: RunState): string {
    const voters = [...this.#voters].map(([name, { host, coordinator }]) => {
      const acts = coordinator?.mayAct(host.now()) ? ' acts' : '';
      return `${name}${host.up ? '' : ' is down'}${acts}, leader ${coordinator?.leader}`;
    });
    const { workers } = runStatus(state, { report: () => undefined, silent: () => false, lack: () => undefined });
    const shown = workers.map(({ name, state, epoch, machine }) => `${name} ${state} (${epoch} on ${machine})`);
    const machines = [...this.#machines.values()].map((machine) => machine.describes);
    return [...shown, ...voters, ...machines].join('; ');
  }

  #problem(problem: string): void {
    this.#note(`PROBLEM ${problem}`);
    if (this.problems.length < 10) this.problems.push(`${Math.round(this.#time.now)} ms: ${problem}`);
  }

  #note(what: string): void {
    this.trace.push(`${Math.round(this.#time.now).toString().padStart(8)} ${what}`);
  }
}

function show({ at: _, definition: _definition, ...record }: StoredRecord): string {
  return JSON.stringify(record);
}
