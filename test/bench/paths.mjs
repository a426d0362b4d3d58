import { setTimeout as after } from 'node:timers/promises';
import { killAndWait } from './processes.mjs';
import { rotated } from './statistics.mjs';

/** Where two daemons on one computer end up by themselves. */
const best = 'direct';
const patienceMs = 20_000;
const lookMs = 5;

/**
 * Milliseconds by round since the daemon that was started again answered its own machine.
 * @typedef {{ name: string, firstByte: number[], bestPath: number[], seen: string[] }} StartOfLink `seen`: the paths in use on the way, of the last round
 */

/**
 * How soon a machine that starts again is there for another one, with every kind of path allowed.
 * @param {import('./bundles.mjs').Bundles['RpcProbe']} RpcProbe
 * @param {import('./machines.mjs').Pair} pair
 * @param {{ rounds: number }} options
 * @returns {Promise<StartOfLink[]>}
 */
export async function measurePaths(RpcProbe, { near, far }, { rounds }) {
  const ends = [
    { name: 'stopped and started', end: () => far.ok('down') },
    { name: 'killed and started', end: () => killAndWait(far.daemonPid) },
  ];
  const runs = ends.map((run) => ({
    ...{ ...run, firstByte: /** @type {number[]} */ ([]), bestPath: /** @type {number[]} */ ([]) },
    seen: /** @type {string[]} */ ([]),
  }));
  const probe = await RpcProbe.open(near.home);
  try {
    // Its headless server runs from now on, as on a machine in use.
    await probe.firstByteAt(far.name);
    for (let round = 0; round < rounds; round++) {
      for (const run of rotated(runs, round)) {
        await watch(probe, far.name, performance.now());
        await run.end();
        const started = far.ok('up');
        started.catch(() => undefined);
        const itself = await RpcProbe.answering(far.home);
        const answered = performance.now();
        const [firstByteAt, seen] = await Promise.all([
          probe.firstByteAt(far.name),
          watch(itself, near.name, answered),
        ]);
        itself.close();
        await started;
        run.firstByte.push(firstByteAt - answered);
        run.bestPath.push(seen.at(-1)?.at ?? Number.NaN);
        run.seen = seen.map(({ path, at }) => `${path} after ${at.toFixed(0)} ms`);
      }
    }
  } finally {
    probe.close();
  }
  return runs.map(({ name, firstByte, bestPath, seen }) => ({ name, firstByte, bestPath, seen }));
}

/**
 * The paths that a machine's link uses one after the other, until it is the best. `at`: milliseconds since `from`.
 * @param {import('./rpc-probe.ts').RpcProbe} probe
 * @param {string} other
 * @param {number} from
 */
async function watch(probe, other, from) {
  /** @type {Array<{ path: string, at: number }>} */
  const seen = [];
  while (performance.now() - from < patienceMs) {
    const { path, state } = await probe.path(other);
    if (path !== null && state === 'up' && path !== seen.at(-1)?.path)
      seen.push({ path, at: performance.now() - from });
    if (seen.at(-1)?.path === best) return seen;
    await after(lookMs);
  }
  throw new Error(`no ${best} path to ${other} in ${patienceMs} ms, but ${JSON.stringify(seen)}`);
}
