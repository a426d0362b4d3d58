import { spawn } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NiiaError } from '../../../shared/errors.ts';
import { isErrno } from '../../home/files.ts';
import { Log } from '../../home/log.ts';
import { withoutPrivate } from '../../process/private-descriptors.ts';
import { signalGroup } from '../pty.ts';
import type { Session, StartedCommand } from '../session.ts';
import type { TurnEnd, TurnEvents } from './terminal-turn.ts';

/** The largest answer that is kept. */
const longestAnswer = 16 << 20;
const killAfterMs = 2000;
const shownPrompt = 500;
const longestError = 2000;

const log = new Log('exec');

/** Where the answer to a prompt is kept. */
export function answerFile(session: Session, id: string): string {
  return join(session.folder.path, `answer-${Buffer.from(id).toString('base64url')}.txt`);
}

export function dropAnswer(session: Session, id: string): void {
  rm(answerFile(session, id), { force: true }).catch((error: unknown) => {
    log.warn('an old answer could not be removed', { session: session.id, id, error });
  });
}

/** Runs the command once: the prompt is its input, its output the answer, its exit code decides. */
export async function execTurn(
  session: Session,
  command: StartedCommand,
  prompt: { id: string; text: string },
  events: TurnEvents,
  signal: AbortSignal,
): Promise<TurnEnd> {
  if (signal.aborted) throw NiiaError.from(signal.reason);
  const ended: TurnEnd = { is: 'failed', why: 'the session ended before its command was run' };
  if (!session.live) return ended;
  await session.lease.active(signal);
  await events.typing();
  const answer = await open(answerFile(session, prompt.id), 'w', 0o600);
  let answered = false;
  try {
    // Its lease may have run out meanwhile.
    await session.lease.active();
    if (!session.live) return ended;
    show(session, `> ${prompt.text.slice(0, shownPrompt)}\n`);
    session.tracking?.report({ state: 'busy', message: 'its command runs' });
    const child = start(command);
    const group = (name: NodeJS.Signals) => child.pid !== undefined && signalGroup(child.pid, name);
    // The session's end is the command's.
    const unfollow = session.follow({
      ended: () => {
        group('SIGHUP');
        setTimeout(() => group('SIGKILL'), killAfterMs).unref();
      },
    });
    const interrupted = onInterrupt(session, () => group('SIGINT'));
    const exited = new Promise<{ code: number | null; name: string | null }>((resolve, reject) => {
      child.once('close', (code, name) => resolve({ code, name }));
      child.once('error', reject);
    });
    try {
      // At once: what comes before anybody listens is lost when the command has ended.
      const output = new ExecOutput(child, answer, session, () => group('SIGKILL'));
      await events.typed();
      // A command need not read its input to its end.
      child.stdin.on('error', () => undefined);
      child.stdin.end(prompt.text);
      await events.submitted();
      const { code, name } = await exited;
      if (!(await output.kept())) {
        return { is: 'failed', why: `its answer is longer than the ${longestAnswer >> 20} MiB that are kept` };
      }
      answered = code === 0;
      if (answered) return { is: 'finished', answerBytes: output.bytes };
      const how = code === null ? `signal ${name}` : `exit code ${code}`;
      const said = output.errors.trim().split('\n').at(-1);
      return { is: 'failed', why: `its command ended with ${how}${said ? `: ${said}` : ''}` };
    } finally {
      unfollow();
      interrupted();
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return {
      is: 'failed',
      why: isErrno(error) ? `its command could not be run, or its answer not be kept: ${why}` : why,
    };
  } finally {
    session.tracking?.report({ state: 'idle', message: 'it waits for a prompt' });
    await answer.close();
    if (!answered) dropAnswer(session, prompt.id);
  }
}

const interrupts = new WeakMap<Session, Set<() => void>>();

function onInterrupt(session: Session, stop: () => void): () => void {
  const stops = interrupts.get(session) ?? new Set();
  interrupts.set(session, stops);
  stops.add(stop);
  return () => stops.delete(stop);
}

/** SIGINT to the command that runs for a prompt, if any. */
export function interruptExec(session: Session): void {
  for (const stop of interrupts.get(session) ?? []) stop();
}

function start({ file, args, cwd, env }: StartedCommand) {
  const child = withoutPrivate(['pipe', 'pipe', 'pipe'], (stdio) =>
    spawn(file, [...args], { cwd, env, stdio, detached: process.platform !== 'win32', windowsHide: true }),
  );
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new NiiaError('internal', 'a command without pipes');
  return Object.assign(child, { stdin, stdout, stderr });
}

/** What the command writes: its output kept as the answer, at the disk's pace, and both shown. */
class ExecOutput {
  readonly #answer: FileHandle;
  /** The end of what it wrote to its error output. */
  errors = '';
  #bytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #failed: unknown;

  constructor(child: ReturnType<typeof start>, answer: FileHandle, session: Session, tooLong: () => void) {
    this.#answer = answer;
    child.stdout.on('data', (bytes: Uint8Array) => {
      show(session, bytes);
      this.#bytes += bytes.length;
      if (this.#bytes > longestAnswer) {
        tooLong();
        return;
      }
      child.stdout.pause();
      this.#writing = this.#writing.then(() => this.#write(bytes)).finally(() => child.stdout.resume());
    });
    child.stderr.on('data', (bytes: Uint8Array) => {
      show(session, bytes);
      this.errors = (this.errors + Buffer.from(bytes).toString('utf8')).slice(-longestError);
    });
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves when the answer is on the disk; false where it was too long. Rejects where it could not be written. */
  async kept(): Promise<boolean> {
    await this.#writing;
    if (this.#failed) throw this.#failed;
    await this.#answer.datasync();
    return this.#bytes <= longestAnswer;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      if (!this.#failed) await this.#answer.appendFile(bytes);
    } catch (error) {
      this.#failed = error;
    }
  }
}

/** In the session's terminal, for those who watch. */
function show(session: Session, text: string | Uint8Array): void {
  session.show(Buffer.from(Buffer.from(text).toString('latin1').replaceAll(/\r?\n/g, '\r\n'), 'latin1'));
}
