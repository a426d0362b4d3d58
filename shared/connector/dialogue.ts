import { defaultRounds } from './defaults.ts';
import type { DraftWorker, PromptPart } from './draft.ts';
import type { FileParticipant, FilePhase } from './file-schema.ts';
import { Names, slug } from './names.ts';
import type { Problems } from './problems.ts';
import type { Level } from './settings.ts';
import { Settings } from './settings.ts';
import type { Path } from './source.ts';
import { literal } from './templates.ts';

/** Each turn is told all earlier ones: more of them would fill every model's memory. */
const maxTurns = 200;

export interface DialogueContext {
  /** The levels above the participants: the phase first. */
  above: readonly Level[];
  path: Path;
  /** What it is about; undefined: the roles say. */
  subject: PromptPart | undefined;
  names: Names;
  problems: Problems;
}

/**
 * A dialogue as the chain of its turns: `PARTICIPANT.ROUND`, each after the one before and with all that was said until
 * then as data. Nothing that runs workers needs to know of dialogues.
 */
export function turnsOf(
  { participants = [], rounds = defaultRounds }: Pick<FilePhase, 'participants' | 'rounds'>,
  context: DialogueContext,
): DraftWorker[] {
  const { above, path, subject, problems } = context;
  if (participants.length === 0) {
    problems.at(path, 'a dialogue needs participants: [{"model": …, "role": …}, …]');
    return [];
  }
  if (participants.length * rounds > maxTurns) {
    problems.at([...path, 'rounds'], `a dialogue has at most ${maxTurns} turns, not ${participants.length * rounds}`);
    return [];
  }
  const speakers = named(participants, path, problems);
  const turns: DraftWorker[] = [];
  const said: Array<{ speaker: string; worker: string }> = [];
  for (let round = 1; round <= rounds; round++) {
    for (const { name: speaker, participant, path: at } of speakers) {
      const settings = new Settings([{ settings: participant, path: at }, ...above], problems);
      const worker = context.names.next(`${speaker}.${round}`);
      const role = roleOf(participant, at);
      const template = [
        `This is a dialogue of ${listed(speakers.map(({ name }) => literal(name)))}. You are ${literal(speaker)}.`,
        ...(role === undefined ? [] : [`Your part: ${role.text}`]),
        ...(subject === undefined ? [] : [`What it is about: ${subject.text}`]),
        ...(said.length === 0 ? ['You speak first.'] : ['What was said so far, in this order:', ...said.map(quoted)]),
        `This is round ${round} of ${rounds}. Answer with what you say now, and nothing else.`,
      ].join('\n\n');
      const parts = [role, subject].filter((part) => part !== undefined);
      const last = said.at(-1);
      turns.push({
        name: worker,
        settings,
        needs: last === undefined ? [] : [{ name: last.worker, path: at }],
        prompt: role === undefined && subject === undefined ? undefined : { template, parts },
      });
      said.push({ speaker, worker });
    }
  }
  return turns;
}

function quoted({ speaker, worker }: { speaker: string; worker: string }): string {
  return `${literal(speaker)}:\n{{workers.${worker}.output.text}}`;
}

function roleOf(participant: FileParticipant, path: Path): PromptPart | undefined {
  if (participant.role !== undefined) return { text: participant.role, path: [...path, 'role'] };
  return participant.prompt === undefined ? undefined : { text: participant.prompt, path: [...path, 'prompt'] };
}

interface Speaker {
  name: string;
  participant: FileParticipant;
  path: Path;
}

function named(participants: readonly FileParticipant[], path: Path, problems: Problems): Speaker[] {
  const names = new Names([]);
  return participants.map((participant, index) => {
    const at = [...path, 'participants', index];
    const given = participant.id ?? participant.name;
    const name = names.next(given ?? slug(participant.model ?? `participant-${index + 1}`));
    if (given !== undefined && name !== given) {
      problems.at([...at, participant.id === undefined ? 'name' : 'id'], `"${given}" takes part already`);
    }
    return { name, participant, path: at };
  });
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
