import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import { nameSchema, sessionStates } from '../../../shared/protocol/shapes.ts';
import { inSession, onMachine, timeout } from '../inputs.ts';
import { notOwnSession } from '../own-session.ts';
import { tool } from '../tool.ts';

export const listSessions = tool({
  name: 'list_sessions',
  title: 'List sessions',
  description: 'The sessions of one machine: terminals with a program each, their state, and what they run.',
  right: 'read',
  input: { ...onMachine },
  run: ({ machine }, { machines, signal }) => machines.query('session.list', {}, { machine, signal }),
});

export const startSession = tool({
  name: 'start_session',
  title: 'Start a session',
  description:
    "Starts a program in a new terminal session that lives on whatever happens to its viewers. Without a command: the user's shell.",
  right: 'write',
  input: {
    ...onMachine,
    name: v.optional(nameSchema),
    command: v.optional(
      v.pipe(v.array(v.string()), v.description('The program and its arguments, no shell in between')),
    ),
    cwd: v.optional(v.pipe(v.string(), v.description("Folder to start in; the machine's home folder unless given"))),
    env: v.optional(v.record(v.string(), v.string())),
    worker: v.optional(
      v.pipe(
        nameSchema,
        v.description(
          'claude, codex or gemini: an AI worker, with command as further arguments; exec, shell or generic: with command as its program',
        ),
      ),
    ),
  },
  run: ({ machine, command, worker, ...rest }, { machines, signal }) => {
    const program = worker === undefined ? { argv: command } : { worker, args: command };
    return machines.change('session.new', { ...rest, ...program }, { machine, signal });
  },
});

export const readSession = tool({
  name: 'read_session',
  title: 'Read a session',
  description:
    'The screen of a session as lines of text, with its cursor and state; with scrollback, lines above it too.',
  right: 'read',
  input: {
    ...onMachine,
    ...inSession,
    scrollback: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(10_000)), 0),
  },
  run: ({ machine, ...params }, { machines, signal }) => machines.query('session.read', params, { machine, signal }),
});

export const writeSession = tool({
  name: 'write_session',
  title: 'Type into a session',
  description:
    'Types exactly this text into a session, once. Enter is \\r: "make\\r" types make and Enter. To give work to an AI worker use prompt.',
  right: 'write',
  input: { ...onMachine, ...inSession, text: v.pipe(v.string(), v.minLength(1)) },
  run: async ({ machine, session, text }, caller) => {
    const { machines, signal } = caller;
    await notOwnSession(session, machine, caller);
    return await machines.change('session.write', { session }, { machine, signal, body: Buffer.from(text) });
  },
});

export const waitForSession = tool({
  name: 'wait_for_session',
  title: 'Wait for a session',
  description:
    'Waits until a session is in a state, has printed a line that matches, has been silent for a time, or has ended. Exactly one condition. Long waits report progress and can be cancelled.',
  right: 'read',
  waiting: 'waiting for the session',
  input: {
    ...onMachine,
    ...inSession,
    state: v.optional(v.picklist(sessionStates)),
    match: v.optional(v.pipe(v.string(), v.description('A regular expression for one line'))),
    silentMs: v.optional(v.pipe(v.number(), v.minValue(0))),
    exited: v.optional(v.boolean()),
    ...timeout(600),
  },
  run: ({ machine, session, timeoutSeconds, ...conditions }, { machines, signal }) =>
    machines.query(
      'session.wait',
      { session, until: untilOf(conditions) },
      { machine, signal, deadlineMs: timeoutSeconds * 1_000 },
    ),
});

interface Conditions {
  state?: (typeof sessionStates)[number] | undefined;
  match?: string | undefined;
  silentMs?: number | undefined;
  exited?: boolean | undefined;
}

function untilOf({ state, match, silentMs, exited }: Conditions) {
  const given = [
    ...(state === undefined ? [] : [{ type: 'state' as const, state }]),
    ...(match === undefined ? [] : [{ type: 'match' as const, pattern: match }]),
    ...(silentMs === undefined ? [] : [{ type: 'idle' as const, ms: silentMs }]),
    ...(exited ? [{ type: 'exit' as const }] : []),
  ];
  const [only, second] = given;
  if (only === undefined || second !== undefined) {
    throw new NiiaError('usage', 'exactly one of state, match, silentMs and exited is to be given');
  }
  return only;
}
