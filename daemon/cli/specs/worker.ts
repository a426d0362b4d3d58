import { command } from '../spec.ts';
import { sessionOption as session } from './session-option.ts';

const promptOptions = {
  session,
  stdin: { kind: 'flag', help: 'take the text from the input' },
  id: {
    kind: 'text',
    value: 'ID',
    help: 'a name for this prompt: one that was used before is not typed again; without a text, what became of it',
  },
  'no-queue': { kind: 'flag', help: 'exit with 9 rather than wait for a worker that is not ready' },
} as const;

const policyOptions = {
  name: { kind: 'text', value: 'NAME', help: 'its name; one of the same name is replaced (default: a new name)' },
  session: { kind: 'text', value: 'S', help: 'only for the session of this name or id' },
  worker: { kind: 'text', value: 'W', help: 'only for this kind of worker' },
  question: { kind: 'flag', help: "hold PATTERN against the question's text, not the command" },
  team: { kind: 'flag', help: 'on every machine of the team that is online' },
} as const;

const notes = [
  'Exit codes: 6 a question waits for a person (shown); 7 it may or may not have been submitted, and is not typed again; 9 busy, with --no-queue.',
  'A prompt waits while a person types in the session, and while a draft stands in its input box; the draft is kept.',
];

/** Commands about AI workers in sessions. */
export const workerSpecs = {
  prompt: command({
    group: 'Workers',
    summary: 'submit a prompt to a worker, once, and report what became of it',
    args: ['[TEXT]'],
    options: { ...promptOptions, wait: { kind: 'flag', help: "until the worker's turn is over" } },
    examples: [
      'niia prompt --session codex "Run the tests and mend what fails"',
      'niia prompt --session codex --stdin < task.md',
      'niia prompt --session codex --id task-7 --wait',
    ],
    notes: ['Prints submitted, or with --wait finished.', ...notes],
    remote: true,
  }),
  'get-answer': command({
    group: 'Workers',
    summary: "submit a prompt, wait for the turn's end, and print the answer alone",
    args: ['[QUESTION]'],
    options: {
      ...promptOptions,
      'no-transcript': {
        kind: 'flag',
        help: "take the answer from what was drawn, never from the worker's own record of the conversation",
      },
    },
    examples: [
      'niia get-answer --session codex "Which port does the server listen on?"',
      'niia remote get-answer build-box --session gemini "What failed?" --json',
    ],
    notes,
    remote: true,
  }),
  approvals: command({
    group: 'Workers',
    summary: 'questions that wait for a person, on every machine',
    args: [],
    options: { session },
    examples: ['niia approvals', 'niia approvals --json'],
    notes: ['An ID names one question on one screen at one time. Machines that are offline are left out, and named.'],
    remote: true,
  }),
  approve: command({
    group: 'Workers',
    summary: 'answer exactly that question, once',
    args: ['ID', 'OPTION'],
    options: {},
    examples: ['niia approve 3f2a9c01d4e7 1', 'niia approve 3f2a9c01d4e7 deny'],
    notes: [
      'OPTION is its number, the start of its label, or allow or deny for the one that means it this once.',
      'Exit code 8 when the screen has changed since, 4 when it may wait on a machine that cannot be reached: nothing is typed then.',
    ],
    remote: true,
  }),
  interrupt: command({
    group: 'Workers',
    summary: "stop the worker's turn, with the key that does it there",
    args: ['[S]'],
    argCompletes: [{ from: 'sessions' }],
    options: { session },
    examples: ['niia interrupt codex'],
    remote: true,
  }),
  'policy list': command({
    group: 'Workers',
    summary: 'what is answered without asking a person',
    args: [],
    options: {},
    examples: ['niia policy list'],
    remote: true,
  }),
  'policy allow': command({
    group: 'Workers',
    summary: 'allow, once each time, what a worker asks for a command that PATTERN matches as a whole',
    args: ['PATTERN'],
    options: policyOptions,
    examples: [
      "niia policy allow 'npm (test|run lint)'",
      "niia policy allow 'git (status|diff)( [\\w./-]+)*' --worker codex --team",
    ],
    notes: [
      'PATTERN is a regular expression. A command that the screen shows cut off or in several lines is left to a person.',
      'Every answer by policy is written into the audit log. What denies goes before what allows.',
    ],
    remote: true,
  }),
  'policy deny': command({
    group: 'Workers',
    summary: 'deny what a worker asks for a command in which PATTERN is found',
    args: ['PATTERN'],
    options: policyOptions,
    examples: ["niia policy deny 'rm -rf|sudo'"],
    remote: true,
  }),
  'policy remove': command({
    group: 'Workers',
    summary: 'take a policy back',
    args: ['NAME'],
    options: { team: policyOptions.team },
    examples: ['niia policy remove policy-3f2a9c01d4'],
    remote: true,
  }),
} as const;
