import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter } from 'node:path';
import * as v from 'valibot';
import { writeAtomically } from '../home/files.ts';
import { readJsonFile } from '../home/json-file.ts';
import { Log } from '../home/log.ts';
import { withoutPrivate } from '../process/private-descriptors.ts';
import { childEnvironment, userShell } from './command.ts';

/** How old it may be: what somebody adds to a start-up file is found soon. */
const freshMs = 30_000;
/** How long a command waits for it at first, and where an older answer will do: a quick profile is always up to date. */
const firstWaitMs = 3_000;
const laterWaitMs = 200;
/** After this the shell is told to hang up. Not sooner: one that is killed in its profile leaves the locks of others. */
const longestMs = 120_000;
const mostBytes = 256 << 10;

const log = new Log('login-path');

/**
 * The PATH that the user's terminals have: what a login shell makes of the start-up files (nvm, pyenv and the like live
 * there). A shell of its own is asked for it, so that a profile that prints, hangs or fails costs a command nothing but
 * what it would have found there.
 */
export class LoginPath {
  readonly #file: string;
  readonly #env: NodeJS.ProcessEnv;
  #known: string | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  /** `file` keeps the last answer: a first command after a start does not wait for a slow profile. */
  constructor(file: string, env: NodeJS.ProcessEnv = process.env) {
    this.#file = file;
    this.#env = env;
    const kept = readJsonFile(file, keptSchema);
    if (kept?.shell === userShell(env)) this.#known = kept.path;
  }

  /** Where a command is looked for: the login shell's folders, then this process's own. */
  async get(): Promise<string | undefined> {
    const own = this.#env['PATH'];
    if (process.platform === 'win32') return own;
    if (performance.now() - this.#readAt > freshMs) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await within(this.#reading, this.#known === undefined ? firstWaitMs : laterWaitMs);
    }
    return joined(this.#known, own);
  }

  async #read(): Promise<void> {
    const path = await readLoginPath(this.#env);
    this.#readAt = performance.now();
    if (path === undefined || path === this.#known) return;
    this.#known = path;
    try {
      writeAtomically(this.#file, `${JSON.stringify({ shell: userShell(this.#env), path })}\n`);
    } catch (error) {
      log.debug('the login shell is asked again after the next start', { error });
    }
  }
}

const keptSchema = v.object({ shell: v.string(), path: v.string() });

/** Folders of both, each once, those of the first before the others. */
export function joined(first: string | undefined, second: string | undefined): string | undefined {
  if (first === undefined) return second;
  const folders = [...first.split(delimiter), ...(second?.split(delimiter) ?? [])].filter((folder) => folder !== '');
  return [...new Set(folders)].join(delimiter);
}

const mark = '__niia_path__';

/** PATH as an interactive login shell has it; undefined, with a line in the log, where it does not say. */
async function readLoginPath(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const shell = userShell(env);
  const started = performance.now();
  // Interactive too: many a start-up file sets nothing otherwise.
  const args = ['-i', '-l', '-c', `printf '%s' ${mark} "$PATH" ${mark}`];
  const child = withoutPrivate(['ignore', 'pipe', 'ignore'], (stdio) =>
    spawn(shell, args, { cwd: homedir(), env: childEnvironment({ NIIA_READING_PATH: '1' }), stdio, detached: true }),
  );
  child.unref();
  let text = '';
  const why = await new Promise<string>((resolve) => {
    const end = (reason: string): void => {
      clearTimeout(timer);
      resolve(reason);
    };
    const timer = setTimeout(() => {
      hangUp(child.pid);
      end(`no answer in ${longestMs} ms`);
    }, longestMs);
    timer.unref();
    child.once('error', (error) => end(error.message));
    child.once('close', (code) => end(`exit code ${code}`));
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (pathIn(text) !== undefined || text.length > mostBytes) end('more than it should say');
    });
  });
  child.stdout?.destroy();
  const path = pathIn(text);
  const ms = Math.round(performance.now() - started);
  if (path === undefined)
    log.debug('the login shell does not tell its PATH; this process keeps its own', { shell, why, ms });
  else log.debug('the login shell told its PATH', { shell, ms });
  return path;
}

/** What stands between the marks, whatever a profile printed around them. */
export function pathIn(text: string): string | undefined {
  const from = text.indexOf(mark);
  const to = from < 0 ? -1 : text.indexOf(mark, from + mark.length);
  return to < 0 ? undefined : text.slice(from + mark.length, to) || undefined;
}

function hangUp(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGHUP');
  } catch (error) {
    log.debug('the login shell has ended by itself', { error });
  }
}

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    work,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}
