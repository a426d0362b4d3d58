import { reportedStates } from '../../../shared/protocol/state-methods.ts';
import { command } from '../spec.ts';

/** Commands about what sessions are doing. */
export const stateSpecs = {
  explain: command({
    group: 'Sessions',
    summary: 'why a session is taken to be idle, busy, blocked, …: the rule that fired, and those that did not',
    args: ['[S]'],
    argCompletes: [{ from: 'sessions' }],
    options: {
      session: { kind: 'text', value: 'S', help: 'its id, its name, or MACHINE/ID', completes: { from: 'sessions' } },
    },
    examples: ['niia explain --session build', 'niia remote explain build-box --session codex --json'],
    notes: [
      'Without --session: the session named main; else the only live one; else an error that lists the sessions.',
      'Rules of your own: NIIA_HOME/rules/*.json. A file that is wrong is told here, and the others count.',
    ],
    remote: true,
  }),
  report: command({
    group: 'Sessions',
    summary: 'inside a session: say what it is doing, for hooks of a program that niia cannot read',
    args: [],
    options: {
      state: {
        kind: 'text',
        value: 'STATE',
        help: `${reportedStates.join(', ')}; unknown takes back what was reported`,
        completes: { from: 'words', words: reportedStates },
      },
      message: { kind: 'text', value: 'TEXT', help: 'what it waits for, say' },
    },
    examples: ['niia report --state busy', "niia report --state blocked --message 'may I push?'"],
    notes: [
      "It counts for its own session only: the session's environment (NIIA_SESSION, NIIA_SESSION_TOKEN) says which.",
    ],
  }),
} as const;
