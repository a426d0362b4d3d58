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

/** The error for a question that does not wait on any machine that could be asked. */
export function noSuchQuestion(id: string, missing: WaitingQuestions['missing'], hint: string): NiiaError {
  const unasked = missing.map(({ machine }) => machine).join(', ');
  const where = unasked ? ` on a machine that can be reached (not asked: ${unasked})` : '';
  return new NiiaError('fenced', `no question ${id} waits${where}: it was answered, or its screen has changed`, hint);
}
