import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import type { Readable } from 'node:stream';
import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { ByteSink } from '../../shared/rpc/byte-stream.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import { childEnvironment, shellCommand, startFolder } from './command.ts';
import { openMasters, signalGroup } from './pty.ts';

type AskCall = ServedCall<'machine.ask'>;

const killAfterMs = 2000;
/** A background process may keep the command's output open; after the command's end it is given this much silence. */
const silenceAfterExitMs = 1000;
const keysKept = 16_384;

/** Commands that are run for others, without a terminal. */
export class Asks {
  readonly #home: string;
  readonly #running = new Map<ChildProcess, Promise<void>>();
  readonly #keys = new Set<string>();
  /** Called whenever one has ended. */
  onEnd: (() => void) | undefined;

  constructor(home: string) {
    this.#home = home;
  }

  get count(): number {
    return this.#running.size;
  }

  /**
   * Runs the command by the user's shell. When nobody waits any more its process group is ended. Throws `usage` for a
   * folder that is not there, `outcome_unknown` for a key that ran before: its output went to whoever asked first.
   */
  async run(call: AskCall, machine: string, key: string | undefined): Promise<ResultOf<'machine.ask'>> {
    if (key !== undefined) this.#once(key);
    const { params, signal } = call;
    const cwd = startFolder(params.cwd);
    if (signal.aborted) throw NiiaError.from(signal.reason);
    const started = performance.now();
    const child = start(
      params,
      cwd,
      childEnvironment({ NIIA_MACHINE_NAME: machine, NIIA_HOME: this.#home, ...params.env }),
    );
    const exit = exited(child);
    this.#track(child, exit);
    const stop = () => terminate(child, exit);
    signal.addEventListener('abort', stop, { once: true });
    try {
      if (child.pid !== undefined) call.emit({ type: 'started', pid: child.pid });
      call.onEvent((event) => signalGroupOf(child, event.signal));
      feed(child, call);
      const outputs = [
        new Output(child.stdout, call.sink(streams.output)),
        new Output(child.stderr, call.sink(streams.errors)),
      ];
      const { exitCode, signal: name } = await exit;
      await Promise.all(outputs.map((output) => output.finish(signal)));
      if (signal.aborted) throw NiiaError.from(signal.reason);
      return { machine, exitCode, signal: name, durationMs: Math.round(performance.now() - started) };
    } finally {
      signal.removeEventListener('abort', stop);
      call.source(streams.input).discard();
    }
  }

  /** Ends all that run. */
  async endAll(): Promise<void> {
    for (const [child, exit] of this.#running) terminate(child, exit);
    await Promise.all(this.#running.values());
  }

  #once(key: string): void {
    if (this.#keys.has(key)) {
      throw new NiiaError(
        'outcome_unknown',
        'this command was started before, and its output went to an earlier connection',
        'Look at what it did before you run it again.',
      );
    }
    this.#keys.add(key);
    if (this.#keys.size <= keysKept) return;
    const [oldest] = this.#keys;
    if (oldest !== undefined) this.#keys.delete(oldest);
  }

  #track(child: ChildProcess, exit: Promise<unknown>): void {
    const done = () => {
      this.#running.delete(child);
      this.onEnd?.();
    };
    this.#running.set(child, exit.then(done, done));
  }
}

interface Exit {
  exitCode: number | null;
  signal: string | null;
}

function start(params: AskCall['params'], cwd: string, env: Record<string, string>): ChildProcess {
  const { file, args } = shellCommand(params.command);
  const masters = openMasters();
  const nothing = openSync(devNull, 'r+');
  try {
    const stdio: Array<'pipe' | 'ignore' | number> = [params.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'];
    // The terminals of sessions are inherited unless something takes their numbers.
    for (let fd = 3; fd <= Math.max(0, ...masters); fd++) stdio.push(masters.has(fd) ? nothing : 'ignore');
    return spawn(file, args, { cwd, env, stdio, detached: process.platform !== 'win32', windowsHide: true });
  } finally {
    closeSync(nothing);
  }
}

function exited(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', (cause) => {
      reject(new NiiaError('io', `the command could not be started: ${cause.message}`, undefined, { cause }));
    });
  });
}

function signalGroupOf(child: ChildProcess, signal: NodeJS.Signals): boolean {
  return child.pid !== undefined && signalGroup(child.pid, signal);
}

/** SIGHUP to the group, SIGKILL where any of it is still there after two seconds. */
function terminate(child: ChildProcess, exit: Promise<unknown>): void {
  signalGroupOf(child, 'SIGHUP');
  signalGroupOf(child, 'SIGCONT');
  const timer = setTimeout(() => signalGroupOf(child, 'SIGKILL'), killAfterMs);
  const gone = () => {
    // Others of the group may have outlived the shell, which is no reason to spare them.
    if (!signalGroupOf(child, 'SIGCONT')) clearTimeout(timer);
  };
  exit.then(gone, gone);
}

/** Passes the caller's input on at the command's pace; what it does not want is dropped. */
function feed(child: ChildProcess, call: AskCall): void {
  const source = call.source(streams.input);
  const stdin = child.stdin;
  if (!stdin) {
    source.discard();
    return;
  }
  let closed = false;
  let wake: (() => void) | undefined;
  const close = () => {
    closed = true;
    wake?.();
  };
  stdin.on('error', close);
  stdin.on('close', close);
  stdin.on('drain', () => wake?.());
  source.onData((bytes) => {
    if (closed || stdin.write(bytes)) return undefined;
    return new Promise<void>((resolve) => {
      wake = resolve;
    });
  });
  const end = () => stdin.end();
  source.done.then(end, end);
}

/** One output of the command on its way to the caller, at the caller's pace: the pipe waits while there is no room. */
class Output {
  readonly #pipe: Readable | null;
  readonly #sink: ByteSink;
  #closed: Promise<void>;
  #lastByteAt = performance.now();

  constructor(pipe: Readable | null, sink: ByteSink) {
    this.#pipe = pipe;
    this.#sink = sink;
    this.#closed = new Promise((resolve) => {
      if (pipe) pipe.once('close', resolve);
      else resolve();
    });
    pipe?.on('error', () => undefined);
    pipe?.on('data', (bytes: Uint8Array) => {
      this.#lastByteAt = performance.now();
      if (!sink.write(bytes)) pipe.pause();
    });
    sink.onRoom = () => {
      this.#lastByteAt = performance.now();
      pipe?.resume();
    };
  }

  /** Resolves when the pipe has ended, or when nothing has come for a while after the command's end. */
  async finish(signal: AbortSignal): Promise<void> {
    this.#lastByteAt = performance.now();
    const pipe = this.#pipe;
    const timer = setInterval(() => {
      const silent = performance.now() - this.#lastByteAt >= silenceAfterExitMs;
      // Without room the silence is the caller's, not the command's.
      if (signal.aborted || (silent && this.#sink.room > 0)) pipe?.destroy();
    }, silenceAfterExitMs / 10);
    try {
      await this.#closed;
    } finally {
      clearInterval(timer);
      this.#sink.onRoom = undefined;
    }
  }
}
