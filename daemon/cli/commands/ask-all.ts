import { NiiaError } from '../../../shared/errors.ts';
import type { ParamsOf } from '../../../shared/protocol/methods.ts';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import { exitCodeOf, ownFailure, passSignalsOn } from '../ask/as-ssh.ts';
import { HeldOutput } from '../ask/held-output.ts';
import { LinePrefix } from '../ask/line-prefix.ts';
import { ResumingAsk } from '../ask/resuming-ask.ts';
import type { Context } from '../context.ts';
import { BrokenPipe, type Descriptor, writeBytes } from '../output.ts';

type Command = Pick<ParamsOf<'machine.ask'>, 'command' | 'cwd' | 'env'>;

/** Machines at a time. */
const atATime = 32;

/** What became of it on one machine: what `--json` shows of it, and the exit code. */
interface Asked {
  shown: { machine: string } & Record<string, unknown>;
  code: number;
}

/** Runs a command on every machine that is online, this one included, in each one's home unless a folder is named. */
export async function askAll(command: Command, context: Context): Promise<void> {
  const { daemon, out } = context;
  const { machines } = await daemon.query('machine.list', {});
  const online = machines.filter((machine) => machine.online);
  const offline = machines.filter((machine) => !machine.online);
  if (!out.json) for (const { name } of offline) await out.advice(`niia: ${name} is offline`);
  const lines = new Lines();
  const asks = online.map((machine) => oneOf(machine, command, context, lines));
  const stopSignals = passSignalsOn(asks.map(({ asked }) => asked));
  const results: Asked[] = [];
  const waiting = [...asks];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) results.push(await next.run());
  };
  try {
    await Promise.all(Array.from({ length: atATime }, worker));
  } finally {
    stopSignals();
  }
  context.exitCode = Math.max(0, ...results.map(({ code }) => code));
  if (!out.json) return;
  const away = offline.map(({ name }) => ({ machine: name, error: new NiiaError('offline', `${name} is offline`) }));
  const all = [...results.map(({ shown }) => shown), ...away].sort((a, b) => a.machine.localeCompare(b.machine));
  await out.text(`${JSON.stringify({ machines: all })}\n`);
}

/** The outputs of all, a whole line at a time. */
class Lines {
  #writing: Promise<void> = Promise.resolve();

  write(to: Descriptor, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return this.#writing;
    this.#writing = this.#writing.then(() => writeBytes(to, bytes));
    // Whoever waits for it hears of a failure; so does everybody after them.
    this.#writing.catch(() => undefined);
    return this.#writing;
  }
}

function oneOf(
  { name, id }: MachineInfo,
  params: Command,
  { daemon, deadline, out }: Context,
  lines: Lines,
): { asked: ResumingAsk; run: () => Promise<Asked> } {
  const held = [new HeldOutput('stdout'), new HeldOutput('stderr')] as const;
  const prefixes = [new LinePrefix(`${name}: `), new LinePrefix(`${name}: `)] as const;
  const asked = new ResumingAsk({
    daemon,
    deadline,
    to: id,
    params,
    output: (bytes) => (out.json ? held[0].add(bytes) : lines.write(1, prefixes[0].take(bytes))),
    errors: (bytes) => (out.json ? held[1].add(bytes) : lines.write(2, prefixes[1].take(bytes))),
  });
  const rest = async (): Promise<void> => {
    await lines.write(1, prefixes[0].end());
    await lines.write(2, prefixes[1].end());
  };
  const run = async (): Promise<Asked> => {
    try {
      const result = await asked.run();
      await rest();
      const { exitCode, signal, durationMs } = result;
      const outputs = out.json ? { stdout: held[0].text, stderr: held[1].text } : {};
      return { shown: { machine: name, exitCode, signal, ...outputs, durationMs }, code: exitCodeOf(result) };
    } catch (cause) {
      if (cause instanceof BrokenPipe) throw cause;
      await rest();
      const error = NiiaError.from(cause);
      if (!out.json) await lines.write(2, Buffer.from(`${name}: niia: ${error.message}\n`));
      return { shown: { machine: name, error }, code: ownFailure };
    }
  };
  return { asked, run };
}
