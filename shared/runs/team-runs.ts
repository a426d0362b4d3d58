import type { MachineAnswers, MissingMachine } from '../ask-machines.ts';
import { askMachines } from '../ask-machines.ts';
import { NiiaError } from '../errors.ts';
import type { RunInfo } from '../protocol/run-methods.ts';

/** `at`: the id of the machine that told of it; undefined: this one. */
export type FoundRun = RunInfo & { at: string | undefined };

export interface TeamRuns {
  /** Newest first, each as its coordinator tells it, or else as a standby does. */
  runs: FoundRun[];
  /** Machines that could not be asked, and why. */
  missing: MissingMachine[];
}

/** The runs that any of `machines` coordinates or stands by for; asked as by `askMachines`. */
export async function teamRuns(
  machines: Parameters<typeof askMachines>[0],
  ask: (machine: string | undefined) => Promise<{ runs: RunInfo[] }>,
): Promise<TeamRuns> {
  const { answers, missing } = await askMachines(machines, async (machine) => {
    try {
      return await ask(machine);
    } catch (error) {
      // One of an earlier version has no runs.
      if (error instanceof NiiaError && error.code === 'unknown_method') return { runs: [] };
      throw error;
    }
  });
  return { runs: mergedRuns(answers), missing };
}

/** Each run once: the word of the machine that coordinates it counts, else that of the first that told of it. */
export function mergedRuns(answers: MachineAnswers<{ runs: RunInfo[] }>['answers']): FoundRun[] {
  const best = new Map<string, { run: FoundRun; byCoordinator: boolean }>();
  for (const { machine, at, answer } of answers) {
    for (const run of answer.runs) {
      const byCoordinator = machine === run.coordinator;
      const known = best.get(run.run);
      if (!known || (byCoordinator && !known.byCoordinator)) best.set(run.run, { run: { ...run, at }, byCoordinator });
    }
  }
  return newestFirst([...best.values()].map(({ run }) => run));
}

export function newestFirst<R extends Pick<RunInfo, 'startedAt'>>(runs: readonly R[]): R[] {
  return [...runs].sort((a, b) => b.startedAt.localeCompare(a.startedAt));
}
