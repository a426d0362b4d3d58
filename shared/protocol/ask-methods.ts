import * as v from 'valibot';
import { method } from './method.ts';
import { offsetSchema } from './shapes.ts';

const exit = { exitCode: v.nullable(v.number()), signal: v.nullable(v.string()) };

export const askSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGKILL'] as const;

/** Commands that are run for others, without a terminal. */
export const askMethods = {
  /**
   * Runs a command by the user's shell: its input, output and errors on streams 0, 1 and 2. The process belongs to the
   * headless server, in its own process group. Without `resume` it ends with its call. With `resume` and a key it lives
   * on when the call breaks off, and the same request, sent again under the same key, takes it up where that broke.
   */
  'machine.ask': method({
    at: 'headless',
    access: 'special',
    changes: true,
    params: v.object({
      command: v.pipe(v.string(), v.minLength(1)),
      cwd: v.optional(v.string()),
      env: v.optional(v.record(v.string(), v.string())),
      /** Whether stream 0 carries input; otherwise the command's input is empty. */
      stdin: v.optional(v.boolean()),
      /**
       * The asker will come back after a break. How many bytes of each output it has, none at first, and whether it knows
       * that the command was started: then it is not to be started again.
       */
      resume: v.optional(v.object({ output: offsetSchema, errors: offsetSchema, started: v.optional(v.boolean()) })),
      /** The command is ended after so many milliseconds, whether anybody waits or not. */
      timeoutMs: v.optional(v.pipe(v.number(), v.minValue(0))),
    }),
    result: v.object({ machine: v.string(), ...exit, durationMs: v.number() }),
    down: v.variant('type', [
      v.object({
        type: v.literal('started'),
        pid: v.number(),
        /** Whether the command outlives its call, and the events beside `signal` are understood. */
        resumable: v.optional(v.boolean()),
        /** Input is expected from this byte on. */
        inputOffset: v.optional(offsetSchema),
      }),
      /** Input before `offset` has been taken. */
      v.object({ type: v.literal('input'), offset: offsetSchema }),
    ]),
    up: v.variant('type', [
      v.object({ type: v.literal('signal'), signal: v.picklist(askSignals) }),
      /** The asker has so many bytes of each output for good. */
      v.object({ type: v.literal('have'), output: offsetSchema, errors: offsetSchema }),
      /** The asker gives up: the command is ended now. */
      v.object({ type: v.literal('end') }),
    ]),
  }),
  /** Whether the asker's command with this key is held here; daemons ask it where several headless servers run. */
  'headless.holdsAsk': method({
    at: 'headless',
    access: 'viewer',
    changes: false,
    params: v.object({ key: v.string() }),
    result: v.object({ holds: v.boolean() }),
    down: v.never(),
    up: v.never(),
  }),
} as const;
