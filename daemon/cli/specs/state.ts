import { reportedStates } from '../../../shared/protocol/state-methods.ts';
import { command } from '../spec.ts';
import { defaultSession, sessionOption } from './session-option.ts';

/** Commands about what sessions are doing. */
export const stateSpecs = {
  explain: command({
    group: 'Sessions',
    summary: 'why a session is taken to be idle, busy, blocked, …: the rule that fired, and those that did not',
    args: ['[S]'],
    argCompletes: [{ from: 'sessions' }],
    options: {
      session: sessionOption,
    },
    examples: ['niia explain --session build', 'niia remote explain build-box --session codex --json'],
    notes: [
      defaultSession,
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
