import type {
  Answer,
  Ask,
  CallResult,
  CoordinatorOutput,
  Surroundings,
} from '../../daemon/connector/core/coordinator.ts';
import { Coordinator } from '../../daemon/connector/core/coordinator.ts';
import type { Attempt } from '../../daemon/connector/core/decide.ts';
import type { ReplicaMessage } from '../../daemon/connector/core/messages.ts';
import type { StoredRecord } from '../../daemon/connector/core/records.ts';
import { freshReplica, type Save, type SavedReplica } from '../../daemon/connector/core/replica.ts';
import { freshWitness, Witness } from '../../daemon/connector/core/witness.ts';
import type { Random } from '../sim/random.ts';
import type { Host } from './host.ts';
import type { Network } from './network.ts';

/** How a save that was under way when its daemon went has come out on the disk. */
function partly(disk: SavedReplica, save: Save, random: Random): SavedReplica {
  if (random.chance(0.25)) return disk;
  const ballot = { ...disk, ...save.ballot };
  if (!save.log || random.chance(0.2)) return ballot;
  const { from, entries } = save.log;
  const written = random.chance(0.3) ? entries.length : random.integer(0, entries.length);
  return { ...ballot, log: [...disk.log.slice(0, from - 1), ...entries.slice(0, written)] };
}

function saved(disk: SavedReplica, { ballot, log }: Save): SavedReplica {
  return { ...disk, ...ballot, log: log ? [...disk.log.slice(0, log.from - 1), ...log.entries] : disk.log };
}

export interface VoterWorld {
  network: Network;
  random: Random;
  /** A voter by its id, to send to. */
  receive(to: string, from: string, message: ReplicaMessage): void;
  host(id: string): Host;
  call(from: Voter, call: CoordinatorOutput['calls'][number], done: (result: CallResult) => void): void;
  committed(voter: Voter, index: number, record: StoredRecord): void;
  answered(voter: Voter, ask: Ask, answer: Answer): void;
}

/** A daemon as a voter of the run: the real coordinator, with a disk that may fail and a process that may end at any point. */
export class Voter {
  readonly host: Host;
  readonly #world: VoterWorld;
  readonly #around: Surroundings;
  #disk: SavedReplica = freshReplica;
  #saving: Save | undefined;
  /** What to do with the next save. */
  trouble: 'none' | 'crash before' | 'crash after' | 'full' = 'none';
  onCrash: () => void = () => undefined;
  coordinator: Coordinator | undefined;
  readonly #asks = new Map<number, { ask: Ask; answer: (answer: Answer) => void }>();
  #cancelWake: () => void = () => undefined;

  constructor(host: Host, world: VoterWorld, around: Surroundings) {
    this.host = host;
    this.#world = world;
    this.#around = around;
  }

  found(begun: StoredRecord): void {
    this.coordinator = Coordinator.found(this.#around, begun, this.host.now());
    this.#pump();
  }

  load(): void {
    this.#asks.clear();
    this.#saving = undefined;
    this.coordinator = Coordinator.load(this.#around, this.#disk, this.host.now());
    this.#pump();
  }

  /** Its process is gone. */
  crashed(): void {
    if (this.#saving) this.#disk = partly(this.#disk, this.#saving, this.#world.random);
    this.#saving = undefined;
    this.coordinator = undefined;
    this.#asks.clear();
  }

  receive(from: string, message: ReplicaMessage): void {
    this.coordinator?.receive(from, message, this.host.now());
    this.#pump();
  }

  ask(ask: Ask, answer: (answer: Answer) => void): void {
    if (!this.coordinator) return;
    this.#asks.set(this.coordinator.ask(ask, this.host.now()), { ask, answer });
    this.#pump();
  }

  tick(): void {
    this.coordinator?.tick(this.host.now());
    this.#pump();
  }

  #pump(): void {
    const { coordinator } = this;
    if (this.#saving || !coordinator) return;
    const out = coordinator.take(this.host.now());
    if (!out.save) {
      this.#emit(out);
      return;
    }
    const { random } = this.#world;
    const { trouble } = this;
    this.trouble = 'none';
    this.#saving = out.save;
    this.host.after(random.chance(0.02) ? random.between(0, 400) : random.between(0, 6), () => {
      if (trouble === 'crash before') this.onCrash();
      else if (trouble === 'full') {
        this.#disk = partly(this.#disk, out.save ?? {}, random);
        this.load();
      } else {
        this.#disk = saved(this.#disk, out.save ?? {});
        this.#saving = undefined;
        if (trouble === 'crash after') this.onCrash();
        else {
          this.#emit(out);
          this.#pump();
        }
      }
    });
  }

  #emit(out: CoordinatorOutput): void {
    for (const { index, record } of out.committed) this.#world.committed(this, index, record);
    for (const { to, message } of out.messages) {
      this.#world.network.send(this.host, this.#world.host(to), () => this.#world.receive(to, this.host.id, message));
    }
    for (const call of out.calls) {
      this.#world.call(this, call, (result) => {
        this.coordinator?.called(call, result, this.host.now());
        this.tick();
      });
    }
    for (const { id, answer } of out.answers) {
      const asked = this.#asks.get(id);
      this.#asks.delete(id);
      if (!asked) continue;
      this.#world.answered(this, asked.ask, answer);
      asked.answer(answer);
    }
    this.#cancelWake();
    this.#cancelWake = this.host.after(Math.max(0.5, out.wakeAt - this.host.now()), () => this.tick());
  }
}

export function keyOf({ worker, epoch }: Attempt): string {
  return `${worker}/${epoch}`;
}

/** A gateway as a voter that holds no journal. */
export class WitnessVoter {
  readonly host: Host;
  readonly #world: VoterWorld;
  #disk = freshWitness;
  #witness: Witness | undefined;

  constructor(host: Host, world: VoterWorld) {
    this.host = host;
    this.#world = world;
    this.load();
  }

  load(): void {
    this.#witness = new Witness(this.#disk, this.host.now());
  }

  crashed(): void {
    this.#witness = undefined;
  }

  receive(from: string, message: ReplicaMessage): void {
    const { save, reply } = this.#witness?.receive(from, message, this.host.now()) ?? {};
    if (save) this.#disk = save;
    if (!reply) return;
    this.#world.network.send(this.host, this.#world.host(from), () => this.#world.receive(from, this.host.id, reply));
  }
}
