import { NiiaError } from './errors.ts';
import type { MachineInfo } from './protocol/shapes.ts';

/** A machine that does not answer within this time is left out. */
export const answersWithinMs = 8_000;

type AskedMachine = Pick<MachineInfo, 'name' | 'id' | 'self' | 'online'>;

export interface MissingMachine {
  machine: string;
  why: string;
}

export interface MachineAnswers<T> {
  /** In the order of the machines; `at`: the id of the machine, undefined for this one. */
  answers: Array<{ machine: string; at: string | undefined; answer: T }>;
  /** Machines that could not be asked, and why. */
  missing: MissingMachine[];
}

/**
 * The same question to each of `machines`, all at once. `ask` is called with a machine's id, or undefined for this one,
 * and should not take longer than `answersWithinMs`. Rejects only where this machine cannot answer.
 */
export async function askMachines<T>(
  machines: readonly AskedMachine[],
  ask: (machine: string | undefined) => Promise<T>,
): Promise<MachineAnswers<T>> {
  const told = await Promise.all(
    machines.map(async ({ name, id, self, online }): Promise<MachineAnswers<T>> => {
      if (!self && !online) return { answers: [], missing: [{ machine: name, why: 'it is offline' }] };
      const at = self ? undefined : id;
      try {
        return { answers: [{ machine: name, at, answer: await ask(at) }], missing: [] };
      } catch (error) {
        if (self) throw error;
        return { answers: [], missing: [{ machine: name, why: NiiaError.from(error).message }] };
      }
    }),
  );
  return { answers: told.flatMap(({ answers }) => answers), missing: told.flatMap(({ missing }) => missing) };
}
