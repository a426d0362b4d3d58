import { NiiaError } from '../errors.ts';
import type { MachineInfo } from '../protocol/shapes.ts';
import type { Question } from '../protocol/worker-methods.ts';

/** A machine that does not answer within this time is left out. */
export const answersWithinMs = 8_000;

export interface WaitingQuestions {
  /** The longest waiting first. */
  questions: Question[];
  /** Machines that could not be asked, and why. */
  missing: Array<{ machine: string; why: string }>;
}

/**
 * What waits for a person on any of `machines`. `ask` is called with a machine's id, or undefined for this one, and
 * should not take longer than `answersWithinMs`. Rejects only where this machine cannot answer.
 */
export async function waitingQuestions(
  machines: ReadonlyArray<Pick<MachineInfo, 'name' | 'id' | 'self' | 'online'>>,
  ask: (machine: string | undefined) => Promise<{ questions: Question[] }>,
): Promise<WaitingQuestions> {
  const answers = await Promise.all(
    machines.map(async ({ name, id, self, online }): Promise<WaitingQuestions> => {
      if (!self && !online) return { questions: [], missing: [{ machine: name, why: 'it is offline' }] };
      try {
        return { ...(await ask(self ? undefined : id)), missing: [] };
      } catch (error) {
        if (self) throw error;
        return { questions: [], missing: [{ machine: name, why: NiiaError.from(error).message }] };
      }
    }),
  );
  return {
    questions: answers.flatMap((answer) => answer.questions).sort((a, b) => a.since.localeCompare(b.since)),
    missing: answers.flatMap((answer) => answer.missing),
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
