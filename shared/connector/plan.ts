import type { MachineChoice, RunDefinition, WorkerDefinition } from './definition.ts';
import type { MachineView, Placed } from './placement.ts';
import { place } from './placement.ts';

export interface PlannedPlace {
  /** Null: it fits nowhere now. */
  machine: string | null;
  model: string;
  why: string;
}

export interface PlannedWorker extends PlannedPlace {
  name: string;
  phase: string;
  needs: string[];
  /** Where it may go after that, in this order. */
  fallback: PlannedPlace[];
}

export interface Vanished {
  machine: string;
  /** What becomes of the run itself; null: nothing, it is coordinated elsewhere. */
  run: string | null;
  workers: Array<{ name: string } & PlannedPlace>;
}

export interface RunPlan {
  name: string;
  coordinator: string | null;
  /** Machines that take over from it. */
  standbys: string[];
  workers: PlannedWorker[];
  /** For each machine that has something to do: what would happen if it went away at work. */
  ifVanished: Vanished[];
}

/** Where each worker would go if the run began now, and where it would go on. */
export function planRun(definition: RunDefinition, machines: readonly MachineView[]): RunPlan {
  const plan = new Plan(definition, machines);
  const coordinator = machines.find(({ self }) => self)?.name ?? null;
  const standbys = definition.coordinators.filter((name) => name !== coordinator);
  return {
    name: definition.name,
    coordinator,
    standbys,
    workers: plan.placed.map(({ planned }) => planned),
    ifVanished: machines.flatMap((machine) => {
      const workers = plan.placed.filter(({ at }) => at?.id === machine.id);
      const isCoordinator = machine.name === coordinator;
      if (workers.length === 0 && !isCoordinator) return [];
      return {
        machine: machine.name,
        run: isCoordinator ? takeoverText(standbys, definition.coordinators) : null,
        workers: workers.map((worker) => ({ name: worker.planned.name, ...plan.without(machine, worker) })),
      };
    }),
  };
}

function takeoverText(standbys: readonly string[], voters: readonly string[]): string {
  if (standbys.length === 0) {
    return 'nobody takes over: the run goes on when it is back, and what works elsewhere freezes meanwhile';
  }
  const others = standbys.join(' or ');
  // A vote takes more than half of those that are listed.
  if (standbys.length * 2 > voters.length) return `taken over by ${others}`;
  return `taken over by ${others} only where a gateway of its own votes as well: half of ${voters.length} is no majority`;
}

interface PlacedWorker {
  worker: WorkerDefinition;
  planned: PlannedWorker;
  /** Undefined: nowhere. */
  at: MachineView | undefined;
  /** Which of its placements that is. */
  index: number;
}

class Plan {
  readonly placed: PlacedWorker[] = [];
  readonly #machines: readonly MachineView[];
  readonly #declared: RunDefinition['machines'];

  constructor({ phases, machines: declared }: RunDefinition, machines: readonly MachineView[]) {
    this.#machines = machines;
    this.#declared = declared;
    for (const phase of phases) {
      const load = new Map<string, number>();
      for (const worker of phase.workers) {
        const placed = this.#placed(worker, phase.name, load);
        this.placed.push(placed);
        if (placed.at) load.set(placed.at.id, (load.get(placed.at.id) ?? 0) + 1);
      }
    }
  }

  /** Where a worker goes on when the machine that it is on goes away. */
  without(gone: MachineView, { worker, planned, index }: PlacedWorker): PlannedPlace {
    const stays = (why: string): PlannedPlace => ({ machine: null, model: planned.model, why });
    if (worker.sideEffects === 'external') {
      return stays(`the run pauses and asks, once it was prompted: its side effects are external`);
    }
    if (!worker.failoverOn.includes('offline'))
      return stays(`waits for ${gone.name}: offline is not in its failoverOn`);
    const left = this.#machines.map((machine) => (machine.id === gone.id ? { ...machine, online: false } : machine));
    const reasons: string[] = [];
    for (const { machine, model } of worker.placements.slice(index + 1)) {
      const place = this.#place(machine, left, new Map());
      if ('machine' in place && place.machine.online)
        return { machine: place.machine.name, model: model.alias, why: place.why };
      reasons.push(`${model.alias}: ${'none' in place ? place.none : `${place.machine.name} is offline`}`);
    }
    const why = reasons.length === 0 ? 'it has no other fallback' : `no fallback fits (${reasons.join('; ')})`;
    return stays(`waits for ${gone.name}: ${why}`);
  }

  #placed(worker: WorkerDefinition, phase: string, load: ReadonlyMap<string, number>): PlacedWorker {
    const places = worker.placements.map(({ machine, model }) => ({
      place: this.#place(machine, this.#machines, load),
      model,
    }));
    const canSkip = worker.failoverOn.includes('offline');
    const fits = canSkip
      ? places.findIndex(({ place }) => 'machine' in place)
      : places[0] && 'machine' in places[0].place
        ? 0
        : -1;
    const index = Math.max(0, fits);
    const chosen = places[index];
    const passed = places.slice(0, index).map(({ place }) => ('none' in place ? place.none : ''));
    const planned = places.map(({ place, model }) => ({ ...described(place), model: model.alias }));
    const own = planned[index] ?? { machine: null, model: '', why: 'it has no placement' };
    return {
      worker,
      index,
      at: chosen && 'machine' in chosen.place ? chosen.place.machine : undefined,
      planned: {
        name: worker.name,
        phase,
        needs: worker.needs,
        ...own,
        why: [own.why, ...passed].join('; '),
        fallback: planned.slice(index + 1),
      },
    };
  }

  #place(choice: MachineChoice, machines: readonly MachineView[], load: ReadonlyMap<string, number>): Placed {
    const placed = place(choice, machines, load, this.#declared);
    if (!('machine' in placed) || choice?.by !== 'labels' || choice.has.length === 0) return placed;
    if (placed.machine.lacks !== undefined) return placed;
    return { ...placed, why: `${placed.why} (for ${choice.has.join(', ')} it is asked when the run starts)` };
  }
}

function described(placed: Placed): { machine: string | null; why: string } {
  return 'machine' in placed ? { machine: placed.machine.name, why: placed.why } : { machine: null, why: placed.none };
}
