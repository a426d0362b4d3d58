import * as v from 'valibot';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { Excerpt } from '../excerpt.ts';
import { onMachine, timeout } from '../inputs.ts';
import { tool } from '../tool.ts';

export const runCommand = tool({
  name: 'run_command',
  title: 'Run a command',
  description:
    "Runs a command by the machine's shell, without a terminal, and answers with its exit code and outputs. Of a long output the beginning and the end are kept.",
  right: 'write',
  waiting: 'the command runs',
  input: {
    ...onMachine,
    command: v.pipe(v.string(), v.minLength(1)),
    cwd: v.optional(v.string()),
    stdin: v.optional(v.string()),
    ...timeout(600),
  },
  run: async ({ machine, command, cwd, stdin, timeoutSeconds }, { machines, signal }) => {
    const call = await machines.call(
      'machine.ask',
      { command, cwd, stdin: stdin !== undefined },
      { machine, signal, deadlineMs: timeoutSeconds * 1_000 },
    );
    const stdout = new Excerpt();
    const stderr = new Excerpt();
    call.source(streams.output).onData((bytes) => stdout.add(bytes));
    call.source(streams.errors).onData((bytes) => stderr.add(bytes));
    if (stdin !== undefined) {
      const sink = call.sink(streams.input);
      // A command that ends before it has read its input is no failure of its own.
      void sink.writeAll(Buffer.from(stdin)).then(
        () => sink.end(),
        () => undefined,
      );
    }
    const result = await call.result;
    await Promise.all([call.source(streams.output).done, call.source(streams.errors).done]);
    return { ...result, stdout: stdout.text, stderr: stderr.text };
  },
});
