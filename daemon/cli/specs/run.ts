import { command } from '../spec.ts';

/** What the commands that read a connector file take. */
export const fileOptions = {
  input: { kind: 'list', value: 'K=V', help: 'a value for an input of the file; may be repeated' },
} as const;

/** Runs of connector files. */
export const runSpecs = {
  'run plan': command({
    group: 'Runs',
    summary: 'check a connector file, and show where each worker would go, why, and what if a machine vanished',
    args: ['FILE'],
    argCompletes: [{ from: 'files' }],
    options: fileOptions,
    examples: ['niia run plan review.connector.json', 'niia run plan build.connector.json --input branch=main --json'],
    notes: [
      'Nothing is started. Whatever is wrong with the file is named as FILE:LINE:COLUMN: what, all of it at once (exit code 2).',
      'That a prompt or an input is missing is a warning here; a run needs them.',
    ],
  }),
} as const;
