import { command } from '../spec.ts';

/** What the commands that read a connector file take. */
const fileOptions = {
  input: { kind: 'list', value: 'K=V', help: 'a value for {{inputs.K}}; may be given several times' },
} as const;

const follow = { kind: 'flag', help: 'go on until it is over or waits for a person' } as const;
const worker = { kind: 'text', value: 'W', help: 'the worker that is meant, where several wait' } as const;
const which = ['RUN is its id, the start of it, or its name; without one, the newest run.'];
const codes = 'Exit codes: 0 it succeeded; 1 it failed or was cancelled; 7 it waits for a person.';

/** Runs of connector files. */
export const runSpecs = {
  run: command({
    group: 'Runs',
    summary: 'carry out a connector file: a team of workers on the machines of the team',
    args: ['FILE'],
    argCompletes: [{ from: 'files' }],
    options: {
      ...fileOptions,
      detach: { kind: 'flag', help: 'print the id of the run and leave it to itself' },
    },
    examples: [
      'niia run review.connector.json',
      'niia run review.connector.json --input branch=main --detach',
      'niia run plan review.connector.json',
    ],
    notes: [
      'The run goes on without this command. The machine that it is started on coordinates it, unless the file names others.',
      codes,
    ],
    remote: true,
  }),
  'run list': command({
    group: 'Runs',
    summary: 'the runs of the team, newest first',
    args: [],
    options: {},
    examples: ['niia run list'],
    remote: true,
  }),
  'run status': command({
    group: 'Runs',
    summary: 'where a run stands: each worker, its machine and its state; with --json the outputs as well',
    args: ['[RUN]'],
    options: { follow },
    examples: ['niia run status', 'niia run status review-3f2a --follow', 'niia run status review --json'],
    notes: [...which, `With --follow: ${codes}`],
    remote: true,
  }),
  'run logs': command({
    group: 'Runs',
    summary: "a run's journal: every grant, commit, failure and decision",
    args: ['[RUN]'],
    options: { follow },
    examples: ['niia run logs review --follow', 'niia run logs review --json'],
    notes: which,
    remote: true,
  }),
  'run report': command({
    group: 'Runs',
    summary: 'who did what where, how long it took, what failed over and why; Markdown, or JSON with --json',
    args: ['[RUN]'],
    options: {},
    examples: ['niia run report review > report.md'],
    notes: which,
    remote: true,
  }),
  'run cancel': command({
    group: 'Runs',
    summary: 'end a run and its workers; what they changed is kept and named',
    args: ['RUN'],
    options: {},
    examples: ['niia run cancel review-3f2a'],
    remote: true,
  }),
  'run resume': command({
    group: 'Runs',
    summary: 'go on with a run that paused, because work may have been done that must not be done twice',
    args: ['RUN'],
    options: {
      worker,
      as: {
        kind: 'text',
        value: 'DECISION',
        help: 'rerun: run the worker once more (default); skip: go on without its output; fail: let it have failed',
        completes: { from: 'words', words: ['rerun', 'skip', 'fail'] },
      },
    },
    examples: ['niia run resume deploy-91c0', 'niia run resume deploy-91c0 --as skip'],
    remote: true,
  }),
  'run approve': command({
    group: 'Runs',
    summary: 'answer what a run waits for: the question of a worker (OPTION, or allow), or whether to run it again',
    args: ['RUN', '[OPTION]'],
    options: { worker },
    examples: ['niia run approve review-3f2a', 'niia run approve review-3f2a deny --worker tester'],
    remote: true,
  }),
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
