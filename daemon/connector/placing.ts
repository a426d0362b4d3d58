import type { MachineChoice, RunDefinition } from '../../shared/connector/definition.ts';
import { place } from '../../shared/connector/placement.ts';
import type { Placed } from './core/decide.ts';
import { Programs } from './programs.ts';
import type { RunTeam } from './run-team.ts';

/** Chooses machines for workers by who is there now, what they are labelled and which programs they have. */
export class Placing {
  readonly #team: RunTeam;
  readonly #programs: Programs;

  /** `answered`: what could not be placed perhaps can be. */
  constructor(team: RunTeam, lacks: (machine: string, programs: string[]) => Promise<string[]>, answered: () => void) {
    this.#team = team;
    this.#programs = new Programs(lacks, answered);
  }

  /** `load`: workers of the run on each machine, by its id; `declared`: what the run's file says of machines. */
  place(
    choice: MachineChoice,
    load: ReadonlyMap<string, number>,
    declared: RunDefinition['machines'] | undefined,
  ): Placed {
    const has = choice?.by === 'labels' ? choice.has : [];
    const programs = this.#programs;
    const machines = this.#team.list().map((machine) => ({
      ...machine,
      // Only whom the labels fit is asked; before it answers it has none of them.
      get lacks() {
        return has.length === 0 ? [] : (programs.lacks(machine.id, has) ?? has);
      },
    }));
    const placed = place(choice, machines, load, declared);
    if ('none' in placed) return placed;
    const { id, name } = placed.machine;
    return { machine: { id, name } };
  }
}
