import { NiiaError } from '../errors.ts';
import { checkFile } from './check-file.ts';
import type { RunDefinition } from './definition.ts';
import { Problems, problemsError, problemText } from './problems.ts';
import type { MissingInput, ReadOptions } from './resolve.ts';
import { resolve } from './resolve.ts';
import type { Problem } from './source.ts';
import { Source } from './source.ts';

export interface Examined {
  /** Undefined where there are errors, or where it is of a type that cannot be run yet. */
  definition: RunDefinition | undefined;
  /** What the file asks for that cannot be done yet. */
  notYet: string | undefined;
  /** Inputs that must be given and were not, as far as the file could be read; they are among the problems as well. */
  missingInputs: MissingInput[];
  errors: Problem[];
  warnings: Problem[];
}

/** All that can be said of a file; never throws for what is in it. */
export function examineConnector(text: string, options: ReadOptions): Examined {
  const source = new Source(text);
  const problems = new Problems(source);
  const file = problems.any ? undefined : checkFile(source.value, problems);
  const resolved = file && resolve(file, options, problems);
  return {
    definition: problems.any ? undefined : resolved?.definition,
    notYet: resolved?.notYet,
    missingInputs: resolved?.missingInputs ?? [],
    errors: problems.errors,
    warnings: problems.warnings,
  };
}

/**
 * The run that a connector file describes, and warnings as lines. Throws `usage` with every problem on a line of its own,
 * `FILE:LINE:COLUMN: message`; `not_yet` for what is right, and cannot be run yet.
 */
export function readConnector(text: string, options: ReadOptions): { definition: RunDefinition; warnings: string[] } {
  const { definition, notYet, errors, warnings } = examineConnector(text, options);
  if (errors.length > 0) throw problemsError(options.file, errors);
  if (definition === undefined) {
    throw new NiiaError('not_yet', `${options.file}: ${notYet}`, 'What runs: pipelines, and dialogues.');
  }
  return { definition, warnings: warnings.map((problem) => problemText(options.file, problem)) };
}
