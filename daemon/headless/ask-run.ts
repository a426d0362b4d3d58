import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { ByteSource } from '../../shared/rpc/byte-stream.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import { withoutPrivate } from '../process/private-descriptors.ts';
import { AskOutput } from './ask-output.ts';
import { shellCommand } from './command.ts';
import { signalGroup } from './pty.ts';

export type AskCall = ServedCall<'machine.ask'>;

const killAfterMs = 2000;
/** Input is acknowledged in steps of so many bytes. */
const inputStep = 64 << 10;

export interface AskRunOptions {
  command: string;
  cwd: string;
  env: Record<string, string>;
  stdin: boolean;
  /** It outlives the calls of its asker. */
  resumable: boolean;
  /** Ended after this time. */
  timeoutMs: number | undefined;
}

/** One command: its process group, its outputs, and the call that takes them now. */
export class AskRun {
  readonly #child: ChildProcess;
  readonly #resumable: boolean;
  readonly #outputs: readonly [AskOutput, AskOutput];
  readonly #startedAt = performance.now();
  readonly #input: InputTaker;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #process: Promise<{ exitCode: number | null; signal: string | null }>;
  /** Replaces or ends the call that is connected. */
  #leave: ((why: NiiaError) => void) | undefined;
  #endedFor: NiiaError | undefined;
  #durationMs = 0;
  #live = true;
  /** Its process has ended and all its output has come: nothing of it is left to signal. */
  #settled = false;
  /** Resolves when the process has ended, however. */
  readonly over: Promise<void>;

  constructor(options: AskRunOptions) {
    this.#resumable = options.resumable;
    this.#child = start(options);
    this.#outputs = [
      new AskOutput(this.#child.stdout, options.resumable),
      new AskOutput(this.#child.stderr, options.resumable),
    ];
    this.#input = new InputTaker(this.#child);
    this.#process = exited(this.#child);
    const done = (): void => {
      this.#live = false;
      this.#durationMs = Math.round(performance.now() - this.#startedAt);
      clearTimeout(this.#timer);
    };
    this.over = this.#process.then(done, done);
    void this.over
      .then(() => Promise.all(this.#outputs.map((output) => output.complete())))
      .then(() => {
        this.#settled = true;
      });
    const { timeoutMs } = options;
    if (timeoutMs !== undefined && timeoutMs < 2 ** 31) {
      this.#timer = setTimeout(
        () => this.end(new NiiaError('timeout', `the command took longer than ${Math.round(timeoutMs)} ms`)),
        timeoutMs,
      );
    }
  }

  get live(): boolean {
    return this.#live;
  }

  get connected(): boolean {
    return this.#leave !== undefined;
  }

  /** Bytes that are held for the asker. */
  get kept(): number {
    return this.#outputs[0].kept + this.#outputs[1].kept;
  }

  /**
   * Takes the command's outputs to the asker, and its input and signals to the command. Resolves when it has ended and
   * all is sent. Rejects when the call breaks off, or another connection of the asker takes its place.
   */
  async serve(call: AskCall, machine: string): Promise<ResultOf<'machine.ask'>> {
    const { signal, params } = call;
    this.#leave?.(new NiiaError('cancelled', 'the asker came back over another connection'));
    const [output, errors] = this.#outputs;
    const sinks = [call.sink(streams.output), call.sink(streams.errors)] as const;
    let aborted: () => void = () => undefined;
    const broken = new Promise<never>((_, reject) => {
      this.#leave = reject;
      aborted = () => reject(NiiaError.from(signal.reason));
      signal.addEventListener('abort', aborted, { once: true });
    });
    const leave = this.#leave;
    broken.catch(() => undefined);
    try {
      if (this.#child.pid !== undefined) {
        const inputOffset = this.#input.offset;
        call.emit({ type: 'started', pid: this.#child.pid, ...(this.#resumable && { resumable: true, inputOffset }) });
      }
      call.onEvent((event) => {
        if (event.type === 'signal') this.#signal(event.signal);
        else if (event.type === 'end') this.end(new NiiaError('cancelled', 'the asker gave up'));
        else {
          output.acknowledge(event.output);
          errors.acknowledge(event.errors);
        }
      });
      // Only now: what the asker said before it left counts.
      if (signal.aborted) throw NiiaError.from(signal.reason);
      this.#input.from(call.source(streams.input), (offset) => {
        if (this.#resumable) call.emit({ type: 'input', offset });
      });
      output.connect(sinks[0], params.resume?.output ?? 0);
      errors.connect(sinks[1], params.resume?.errors ?? 0);
      const { exitCode, signal: name } = await Promise.race([this.#process, broken]);
      await Promise.race([Promise.all([output.allSent(), errors.allSent()]), broken]);
      if (this.#endedFor) throw this.#endedFor;
      return { machine, exitCode, signal: name, durationMs: this.#durationMs };
    } finally {
      signal.removeEventListener('abort', aborted);
      if (this.#leave === leave) this.#leave = undefined;
      output.disconnect(sinks[0]);
      errors.disconnect(sinks[1]);
      call.source(streams.input).discard();
    }
  }

  /** Ends the command: SIGHUP to its group, SIGKILL where any of it is still there after two seconds. */
  end(why: NiiaError): void {
    this.#endedFor ??= why;
    this.#leave?.(this.#endedFor);
    for (const output of this.#outputs) output.destroy();
    this.hangUp();
  }

  hangUp(): void {
    if (this.#settled) return;
    this.#signal('SIGHUP');
    this.#signal('SIGCONT');
    const timer = setTimeout(() => this.#signal('SIGKILL'), killAfterMs);
    void this.over.then(() => {
      // Others of the group may have outlived the shell, which is no reason to spare them.
      if (!this.#signal('SIGCONT')) clearTimeout(timer);
    });
  }

  #signal(signal: NodeJS.Signals): boolean {
    return this.#child.pid !== undefined && signalGroup(this.#child.pid, signal);
  }
}

function start({ command, cwd, env, stdin }: AskRunOptions): ChildProcess {
  const { file, args } = shellCommand(command);
  return withoutPrivate([stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'], (stdio) =>
    spawn(file, args, { cwd, env, stdio, detached: process.platform !== 'win32', windowsHide: true }),
  );
}

function exited(child: ChildProcess): Promise<{ exitCode: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', (cause) => {
      reject(new NiiaError('io', `the command could not be started: ${cause.message}`, undefined, { cause }));
    });
  });
}

/** Passes the asker's input on at the command's pace; what it does not want is dropped. */
class InputTaker {
  readonly #stdin: ChildProcess['stdin'];
  #closed = false;
  #wake: (() => void) | undefined;
  #source: ByteSource | undefined;
  /** Bytes taken. */
  offset = 0;
  #told = 0;

  constructor(child: ChildProcess) {
    this.#stdin = child.stdin;
    const close = (): void => {
      this.#closed = true;
      this.#wake?.();
    };
    this.#stdin?.on('error', close);
    this.#stdin?.on('close', close);
    this.#stdin?.on('drain', () => this.#wake?.());
  }

  /** Takes from this source from now on; `taken` hears how far, now and then. */
  from(source: ByteSource, taken: (offset: number) => void): void {
    this.#source = source;
    const stdin = this.#stdin;
    if (!stdin) {
      source.discard();
      return;
    }
    source.onData((bytes) => {
      // What an old connection still held is sent again over the new one.
      if (this.#source !== source) return undefined;
      this.offset += bytes.length;
      const tell = (): void => {
        if (this.offset - this.#told < inputStep) return;
        this.#told = this.offset;
        taken(this.offset);
      };
      if (this.#closed || stdin.write(bytes)) return tell();
      return new Promise<void>((resolve) => {
        this.#wake = resolve;
      }).then(tell);
    });
    source.done.then(
      () => {
        if (this.#source === source) stdin.end();
      },
      // A connection that broke is not the end of the input, where the asker comes back.
      () => undefined,
    );
  }
}
