import { line } from './interactive.mjs';
import { say, table, times } from './report.mjs';
import { median, medianRatio } from './statistics.mjs';

/**
 * @typedef {import('./report.mjs').Aim} Aim
 * @typedef {{ paths?: import('./paths.mjs').StartOfLink[], failover?: import('./failover.mjs').FailoverResult, interactive?: import('./interactive.mjs').InteractiveResult[], flood?: import('./flood.mjs').FloodResult[] }} LinkResults
 */

const whole = (/** @type {number} */ ms) => `${ms.toFixed(0)} ms`;
const fine = (/** @type {number} */ ms) => (Number.isNaN(ms) ? '-' : `${ms.toFixed(1)} ms`);
const worst = (/** @type {number[]} */ values) => Math.max(...values);

/** @param {import('./paths.mjs').StartOfLink[]} paths */
export function reportPaths(paths) {
  say(
    `\nA machine starts again (every kind of path allowed, on one computer; from its daemon's first answer, medians of ${paths[0]?.firstByte.length} rounds)`,
  );
  table(
    ['', "first byte of a command's output", 'worst', 'best path in use', 'worst'],
    paths.map(({ name, firstByte, bestPath }) => [
      name,
      ...[firstByte, bestPath].flatMap((values) => [whole(median(values)), whole(worst(values))]),
    ]),
  );
  for (const { name, seen } of paths) say(`  ${name}, the last time: ${seen.join(', ')}`);
}

/** @param {import('./failover.mjs').FailoverResult} failover */
export function reportFailover({ switches, lines, moves, resent }) {
  say(
    `\nThe path under a stream is lost (numbered lines there and back, four every 5 ms; the longest time without a byte, ${switches[0]?.gaps.length} rounds)`,
  );
  table(
    ['', 'median', 'worst', 'path before', 'round trip', 'path after', 'round trip'],
    switches.map(({ name, gaps, left, taken }) => [
      ...[name, whole(median(gaps)), whole(worst(gaps))],
      ...[left, taken].flatMap((path) => [path?.path ?? '-', fine(path?.rttMs ?? Number.NaN)]),
    ]),
  );
  say(
    `  ${lines} lines came back, each once and in order (0 bytes lost, 0 doubled: checked); ${moves} moves between paths,`,
  );
  say(`  ${resent} frames sent again.`);
}

/** @param {import('./interactive.mjs').InteractiveResult[]} ways */
export function reportInteractive(ways) {
  const { delayMs, bitsPerSecond, queueBytes } = line;
  say(
    `\nKeystroke echo beside a flood of the same link (${bitsPerSecond / 1e6} Mbit/s, ${2 * delayMs} ms there and back, a queue of ${queueBytes >> 10} KiB; medians of ${ways[0]?.rate.length} rounds)`,
  );
  table(
    ['', 'quiet p50', 'quiet p95', 'loaded p50', 'loaded p95', 'p50 ratio', 'p95 ratio', "the flood's rate"],
    ways.map(({ name, quiet, loaded, rate }) => [
      name,
      ...[quiet, loaded].flatMap(({ p50, p95 }) => [fine(median(p50)), fine(median(p95))]),
      ...[times(medianRatio(loaded.p50, quiet.p50)), times(medianRatio(loaded.p95, quiet.p95))],
      `${((median(rate) * 8) / 1e6).toFixed(1)} Mbit/s`,
    ]),
  );
  say(
    "  The flood is `yes` in another session's terminal, of which every byte is read; ssh has both in one connection.",
  );
}

/** @param {import('./flood.mjs').FloodResult[]} flood */
export function reportFlood(flood) {
  const rounds = flood[0]?.quiet.length;
  say(`\nKeystroke echo between two machines while a third member harms one of them (medians of ${rounds} rounds)`);
  table(
    ['', 'quiet p50', 'harmed p50', 'as busy elsewhere', 'of quiet', 'of busy elsewhere', 'used by the third'],
    flood.map(({ name, quiet, harmed, busyElsewhere, busy }) => [
      name,
      ...[quiet, harmed, busyElsewhere].map((values) => `${median(values).toFixed(0)} µs`),
      ...[times(medianRatio(harmed, quiet)), times(medianRatio(harmed, busyElsewhere))],
      `${(median(busy) * 100).toFixed(0)} %`,
    ]),
  );
  say(
    '  All three share this computer. As busy elsewhere: threads that compute for the same share of the time as the third',
  );
  say('  machine did, and talk to nobody; the rest is what the harm does to the machine that it is aimed at.');
}

/**
 * @param {LinkResults} results
 * @returns {Aim[]}
 */
export function aims({ failover, interactive, flood }) {
  /** @type {Aim[]} */
  const all = [];
  const most = (/** @type {string} */ name, /** @type {number} */ value, /** @type {number} */ limit, unit = '×') =>
    all.push({ name, value, limit, unit, met: value <= limit });
  for (const { name, gaps, left, taken } of failover?.switches ?? []) {
    if (name.endsWith('stopped')) most(`switch, ${name}, at worst 2 s`, worst(gaps) / 1000, 2, ' s');
    if (!name.endsWith('killed')) continue;
    const undisturbed = failover?.switches.find(
      (one) => one.name === 'nothing happens' && one.left?.path === left?.path,
    );
    // A line every 5 ms shows no less than that.
    const limit = (taken?.rttMs ?? Number.NaN) + 5;
    const above = median(gaps) - median(undisturbed?.gaps ?? []);
    most(
      `switch, ${name}, at most one round trip of the next path (${fine(limit)} with the lines' own)`,
      above,
      limit,
      ' ms',
    );
  }
  for (const { name, quiet, loaded } of interactive ?? []) {
    if (!name.startsWith('niia')) continue;
    most(`echo beside a flood, ${name.replace('niia, ', '')}, under 2×`, medianRatio(loaded.p50, quiet.p50), 2);
  }
  for (const { name, harmed, busyElsewhere } of flood ?? []) {
    most(`a member that harms: ${name}, at most 1.1×`, medianRatio(harmed, busyElsewhere), 1.1);
  }
  return all;
}
