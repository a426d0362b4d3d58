import { NiiaError } from '../../../shared/errors.ts';
import { exitCodeOf, ownFailure, passSignalsOn } from '../ask/as-ssh.ts';
import { HeldOutput } from '../ask/held-output.ts';
import { ResumingAsk } from '../ask/resuming-ask.ts';
import type { Context, Run } from '../context.ts';
import { writeBytes } from '../output.ts';
import type { Specs } from '../specs/all.ts';
import { pairs } from '../values.ts';
import { askAll } from './ask-all.ts';

export const ask: Run<Specs['ask']> = async (invocation, context) => {
  const { args, options, rest, machine } = invocation;
  const command = commandOf(args[0], rest);
  const env = options.env.length > 0 ? pairs(options.env, '--env') : undefined;
  if (options.all) {
    if (machine !== undefined) throw new NiiaError('usage', '--all and a machine exclude each other');
    if (options.stdin) {
      throw new NiiaError('usage', '--stdin goes to one machine, not to --all', 'Copy the input first: niia cp.');
    }
    context.failureCode = ownFailure;
    await askAll({ command, cwd: options.cwd, env }, context);
    return;
  }
  context.failureCode = ownFailure;
  await askOne(command, env, options, context);
};

async function askOne(
  command: string,
  env: Record<string, string> | undefined,
  options: { cwd: string | undefined; stdin: boolean },
  context: Context,
): Promise<void> {
  const { daemon, deadline, out } = context;
  const cwd = options.cwd ?? ((await daemon.isHere()) ? process.cwd() : undefined);
  const stdout = new HeldOutput('stdout');
  const stderr = new HeldOutput('stderr');
  const asked = new ResumingAsk({
    daemon,
    deadline,
    params: { command, cwd, env },
    output: out.json ? (bytes) => stdout.add(bytes) : (bytes) => writeBytes(1, bytes),
    errors: out.json ? (bytes) => stderr.add(bytes) : (bytes) => writeBytes(2, bytes),
    input: options.stdin ? input() : undefined,
  });
  const stopSignals = passSignalsOn([asked]);
  try {
    const result = await asked.run();
    if (out.json) await out.text(`${JSON.stringify({ ...result, stdout: stdout.text, stderr: stderr.text })}\n`);
    context.exitCode = exitCodeOf(result);
  } finally {
    stopSignals();
  }
}

function commandOf(word: string | undefined, rest: readonly string[] | undefined): string {
  const command = rest?.join(' ') ?? word;
  if (!command || (rest && word !== undefined)) {
    throw new NiiaError(
      'usage',
      command ? 'COMMAND is one argument or the words after --, not both' : 'no COMMAND is given',
      'As in: niia remote ask M "git status", or niia remote ask M -- git status',
    );
  }
  return command;
}

/** Our own input; one that cannot be read ends as an empty one does. */
async function* input(): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of process.stdin) yield Buffer.from(chunk);
  } catch (error) {
    await writeBytes(2, Buffer.from(`niia: the input broke off: ${error}\n`));
  }
}
