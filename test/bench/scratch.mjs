import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as after } from 'node:timers/promises';

/** How long one clean-up step may take before the next begins; leftovers are killed at the end in any case. */
const stepMs = 15_000;
/** How long processes that were told to end may take to do so. */
const graceMs = 3000;

/** A scratch folder and all that was started for it. Cleaning it ends and removes both, in reverse order. */
export class Scratch {
  root = realpathSync(mkdtempSync(path.join(tmpdir(), 'niia-bench-')));
  /** @type {Array<() => unknown>} */
  #steps = [];
  #closed = false;
  /** Flags of each Node process of niia's that is started here. @type {string[]} */
  nodeFlags = [];

  /** @param {string[]} parts */
  path(...parts) {
    return path.join(this.root, ...parts);
  }

  /**
   * The environment for everything that is started here. It names the scratch folder, by which leftovers are found.
   * @param {NodeJS.ProcessEnv} [extra]
   * @returns {NodeJS.ProcessEnv}
   */
  env(extra = {}) {
    const { NIIA_SESSION: _, NIIA_LOG: __, NIIA_HOME: ___, TMUX: ____, ...outer } = process.env;
    return { ...outer, LANG: 'C.UTF-8', TERM: 'xterm-256color', NIIA_BENCH: this.root, ...extra };
  }

  /**
   * From here on each process of niia's writes a CPU profile into `folder` when it ends.
   * @param {string} folder
   */
  profileInto(folder) {
    this.nodeFlags = ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${folder}`];
  }

  /**
   * Runs `step` at the end. Throws once the end has begun: whoever starts things then would leave them behind.
   * @param {() => unknown} step
   */
  defer(step) {
    this.check();
    this.#steps.push(step);
  }

  /** Throws once the end has begun. */
  check() {
    if (this.#closed) throw new Error('the bench is ending');
  }

  /**
   * Runs a program to its end; its standard output. Throws with its words when it fails.
   * @param {string} file
   * @param {string[]} args
   * @param {{ env?: NodeJS.ProcessEnv, cwd?: string }} [options]
   */
  async run(file, args, { env = this.env(), cwd = this.root } = {}) {
    this.check();
    return await output(file, args, { env, cwd });
  }

  async clean() {
    this.#closed = true;
    for (const step of this.#steps.reverse()) {
      /** @type {NodeJS.Timeout | undefined} */
      let limit;
      const tooLong = new Promise((_, reject) => {
        limit = setTimeout(() => reject(new Error('it took too long')), stepMs);
      });
      try {
        await Promise.race([step(), tooLong]);
      } catch (error) {
        console.error(`bench: a clean-up step failed: ${error instanceof Error ? error.message : error}`);
      } finally {
        clearTimeout(limit);
      }
    }
    const left = await this.#endLeftovers();
    if (left.length > 0) console.error(`bench: ended what was left running:\n  ${left.join('\n  ')}`);
    rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
    return left;
  }

  /** Kills what still runs here after a grace for what is on its way out; returns the command lines. */
  async #endLeftovers() {
    const until = performance.now() + graceMs;
    let running = this.#running();
    while (running.length > 0 && performance.now() < until) {
      await after(20);
      running = this.#running();
    }
    for (const { pid } of running) ignoring(['ESRCH'], () => process.kill(pid, 'SIGKILL'));
    return running.map(({ command }) => command);
  }

  /** The processes with this folder in their environment. */
  #running() {
    if (process.platform !== 'linux') return [];
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.flatMap((name) => {
      if (Number(name) === process.pid) return [];
      // A process may end meanwhile, or belong to somebody else and so be none of ours.
      return (
        ignoring(['ENOENT', 'ESRCH', 'EACCES', 'EPERM'], () => {
          if (!readFileSync(`/proc/${name}/environ`, 'utf8').includes(this.root)) return [];
          return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
        }) ?? []
      );
    });
  }
}

/**
 * The result of `action`, or undefined where it fails for one of these reasons.
 * @template T
 * @param {string[]} codes
 * @param {() => T} action
 */
function ignoring(codes, action) {
  try {
    return action();
  } catch (error) {
    if (codes.includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return undefined;
    throw error;
  }
}

/**
 * @param {string} file
 * @param {string[]} args
 * @param {{ env: NodeJS.ProcessEnv, cwd: string }} options
 */
export async function output(file, args, options) {
  const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${[file, ...args].join(' ')} ended with ${code}: ${errors.trim()}`);
  return out;
}
