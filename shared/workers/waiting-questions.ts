import type { MissingMachine } from '../ask-machines.ts';
import { askMachines } from '../ask-machines.ts';
import { NiiaError } from '../errors.ts';
import type { Question } from '../protocol/worker-methods.ts';

export interface WaitingQuestions {
  /** The longest waiting first. */
  questions: Question[];
  /** Machines that could not be asked, and why. */
  missing: MissingMachine[];
}

/** What waits for a person on any of `machines`; asked as by `askMachines`. */
export async function waitingQuestions(
  machines: Parameters<typeof askMachines>[0],
  ask: (machine: string | undefined) => Promise<{ questions: Question[] }>,
): Promise<WaitingQuestions> {
  const { answers, missing } = await askMachines(machines, ask);
  return {
    questions: answers.flatMap(({ answer }) => answer.questions).sort((a, b) => a.since.localeCompare(b.since)),
    missing,
  };
}

/** The error for a question that does not wait on any machine that could be asked; on others it may. */
export function noSuchQuestion(id: string, missing: WaitingQuestions['missing'], hint: string): NiiaError {
  if (missing.length === 0) {
    return new NiiaError('fenced', `no question ${id} waits: it was answered, or its screen has changed`, hint);
  }
  const unasked = missing.map(({ machine, why }) => `${machine} (${why})`).join(', ');
  const what = 'it was answered, its screen has changed, or it waits on a machine that could not be asked';
  return new NiiaError('offline', `no question ${id} was found: ${what}: ${unasked}`, hint);
}
