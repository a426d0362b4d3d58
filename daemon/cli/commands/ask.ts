import { constants } from 'node:os';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { ByteSource } from '../../../shared/rpc/byte-stream.ts';
import type { TypedCall } from '../../../shared/rpc/client.ts';
import type { Run } from '../context.ts';
import { writeBytes } from '../output.ts';
import type { Specs } from '../specs/all.ts';

/** As with ssh: the remote command's own codes stay below. */
const ownFailure = 255;
/** Bytes of each output that `--json` holds. */
const mostHeld = 16 << 20;
/** A second Ctrl-C within this time is meant for us. */
const secondSignalMs = 1_000;

const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Where an output goes as it comes. */
type Consumer = (bytes: Uint8Array) => Promise<void>;

export const ask: Run<Specs['ask']> = async ({ args: [word], options, rest }, context) => {
  const { daemon, out } = context;
  const command = commandOf(word, rest);
  context.failureCode = ownFailure;
  const cwd = options.cwd ?? ((await daemon.isHere()) ? process.cwd() : undefined);
  const call = await daemon.call('machine.ask', { command, cwd, stdin: options.stdin });
  const stdout = new Held('stdout');
  const stderr = new Held('stderr');
  const failures: unknown[] = [];
  const consume = (source: ByteSource, consumer: Consumer): void =>
    source.onData(async (bytes) => {
      try {
        await consumer(bytes);
      } catch (error) {
        // Nobody takes the output any more, so the command has no reason to go on.
        failures.push(error);
        call.cancel();
        throw error;
      }
    });
  consume(call.source(streams.output), out.json ? (bytes) => stdout.add(bytes) : (bytes) => writeBytes(1, bytes));
  consume(call.source(streams.errors), out.json ? (bytes) => stderr.add(bytes) : (bytes) => writeBytes(2, bytes));
  if (options.stdin) void feed(call);
  const stopSignals = passSignalsOn(call);
  try {
    const result = await call.result;
    await Promise.all([call.source(streams.output).done, call.source(streams.errors).done]);
    if (out.json) await out.text(`${JSON.stringify({ ...result, stdout: stdout.text, stderr: stderr.text })}\n`);
    context.exitCode = exitCodeOf(result);
  } catch (error) {
    throw failures[0] ?? asFailure(error);
  } finally {
    stopSignals();
  }
};

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

/** Passes our input on at the command's pace. */
async function feed(call: TypedCall<'machine.ask'>): Promise<void> {
  const sink = call.sink(streams.input);
  try {
    for await (const chunk of process.stdin) await sink.writeAll(Buffer.from(chunk));
  } catch (error) {
    // The call is over, which its result tells; an input that cannot be read ends as an empty one does.
    if (!(error instanceof NiiaError)) await writeBytes(2, Buffer.from(`niia: the input broke off: ${error}\n`));
  }
  sink.end();
}

/** Signals that reach us are meant for the command; a second one of a kind soon after is meant for us. */
function passSignalsOn(call: TypedCall<'machine.ask'>): () => void {
  const last = new Map<string, number>();
  const stops = passedOn.map((signal) => {
    const pass = (): void => {
      const now = performance.now();
      if (now - (last.get(signal) ?? Number.NEGATIVE_INFINITY) < secondSignalMs) {
        call.cancel('cancelled', `${signal} twice: the command was given up`);
        return;
      }
      last.set(signal, now);
      call.emit({ type: 'signal', signal });
    };
    process.on(signal, pass);
    return () => process.off(signal, pass);
  });
  return () => {
    for (const stop of stops) stop();
  };
}

function exitCodeOf({ exitCode, signal }: ResultOf<'machine.ask'>): number {
  if (exitCode !== null) return exitCode;
  const number = Object.entries(constants.signals).find(([name]) => name === signal)?.[1];
  return number === undefined ? ownFailure : 128 + number;
}

/** A connection that breaks under a command says nothing about the command. */
function asFailure(cause: unknown): NiiaError {
  const error = NiiaError.from(cause);
  if (error.code !== 'link_lost') return error;
  return new NiiaError(
    'outcome_unknown',
    `the connection broke while the command ran: ${error.message}`,
    'The command may or may not have done its work; look before you repeat it.',
    { cause },
  );
}

/** An output that is kept for `--json`. */
class Held {
  readonly #name: string;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(name: string) {
    this.#name = name;
  }

  async add(bytes: Uint8Array): Promise<void> {
    this.#bytes += bytes.length;
    if (this.#bytes > mostHeld) {
      throw new NiiaError(
        'too_large',
        `${this.#name} of the command is more than the ${mostHeld >> 20} MiB that --json holds`,
        'Without --json it streams, whatever its length.',
      );
    }
    this.#chunks.push(bytes);
  }

  /** As UTF-8; what is not is replaced. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
