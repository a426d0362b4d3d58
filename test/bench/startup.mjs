import { spawnSync } from 'node:child_process';
import { median, rotated } from './statistics.mjs';

/**
 * A command that is timed from its start to its end.
 * @typedef {{ name: string, command: string[], env: NodeJS.ProcessEnv }} Start
 * @typedef {{ name: string, ms: number, rounds: number[] }} StartResult
 */

/**
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {Start[]} starts
 * @param {{ rounds: number }} options
 * @returns {StartResult[]}
 */
export function measureStartUp(scratch, starts, { rounds }) {
  const runs = starts.map((start) => ({ start, times: /** @type {number[]} */ ([]) }));
  // The first round fills the caches and does not count.
  for (let round = -1; round < rounds; round++) {
    for (const { start, times } of rotated(runs, round + 1)) {
      scratch.check();
      const [file = '', ...args] = start.command;
      const started = performance.now();
      const { status, stderr, error } = spawnSync(file, args, {
        ...{ env: start.env, cwd: scratch.root, stdio: ['ignore', 'pipe', 'pipe'] },
      });
      const ms = performance.now() - started;
      if (error) throw error;
      if (status !== 0) throw new Error(`${start.command.join(' ')} ended with ${status}: ${stderr}`);
      if (round >= 0) times.push(ms);
    }
  }
  return runs.map(({ start, times }) => ({ name: start.name, ms: median(times), rounds: times }));
}
