import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as after } from 'node:timers/promises';

/** A process whose use of the processor is told apart. @typedef {{ label: string, pid: number }} Watched */

/**
 * Time that all threads of a process have spent on a processor, microseconds; NaN where the system does not tell.
 * @param {number} pid
 */
export function cpuMicros(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const nanos = threads.map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    );
    return nanos.reduce((sum, one) => sum + one, 0) / 1000;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return Number.NaN;
    throw error;
  }
}

/** What some processes used of the processor between `start` and `stop`, added up over all such stretches. */
export class CpuMeter {
  /** Microseconds by label. @type {Map<string, number>} */
  used = new Map();
  /** @type {Array<Watched & { at: number }>} */
  #running = [];

  /** @param {Watched[]} processes */
  start(processes) {
    this.#running = processes.map((one) => ({ ...one, at: cpuMicros(one.pid) }));
  }

  stop() {
    for (const { label, pid, at } of this.#running) {
      this.used.set(label, (this.used.get(label) ?? 0) + cpuMicros(pid) - at);
    }
    this.#running = [];
  }
}

/**
 * Memory of a process in bytes: its own and its share of what it has in common with others (PSS), and all it has in
 * memory (RSS).
 * @param {number} pid
 */
export function memoryOf(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (/** @type {string} */ name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return { pss: field('Pss'), rss: field('Rss') };
}

/**
 * The processes that a process has started and that still run.
 * @param {number} parent
 */
export function childrenOf(parent) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((name) => {
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      if (Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) !== parent || /^State:\s+Z/m.test(status)) return [];
      return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'utf8') }];
    } catch (error) {
      // It ended meanwhile.
      if (['ENOENT', 'ESRCH'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return [];
      throw error;
    }
  });
}

/** Kills a process and waits until it has ended. @param {number} pid */
export async function killAndWait(pid) {
  process.kill(pid, 'SIGKILL');
  while (isAlive(pid)) await after(1);
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    // A zombie has ended; only its parent has not noticed.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return false;
    throw error;
  }
}
