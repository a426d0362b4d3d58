import { TerminalClient } from './client.mjs';
import { CpuMeter } from './processes.mjs';
import { median, medianRatio, quantile, rotated } from './statistics.mjs';

/**
 * A program that shows what is typed, as a shell's line editor does: the terminal itself echoes nothing.
 */
export const echoScript = "stty raw -echo; printf 'ready\\r\\n'; exec cat";

/** Letters that end no escape sequence, so that only an echo can show them. */
const letters = 'eiovwyz';
/** Before the first round: processes that run for days are not judged by their first seconds. */
const firstWarmUp = 1600;
/** The first of these are told apart, since a terminal that has just been opened is as slow as this. */
const fresh = 200;
/** Before each round. */
const warmUp = 50;

/**
 * One way to a program in a terminal.
 * @typedef {{ name: string, command: string[], env: NodeJS.ProcessEnv, processes?: import('./processes.mjs').Watched[] }} Way
 * @typedef {{ name: string, fresh: number, p50: number[], p95: number[], cpu: Record<string, number> }} EchoResult microseconds: p50 of a fresh client, p50 and p95 by round; CPU time a keystroke by process
 */

/**
 * Types letters and awaits the echo of each; the times in microseconds.
 * @param {TerminalClient | import('./rpc-probe.ts').AttachProbe} client
 * @param {number} count
 */
export async function typeAndAwait(client, count) {
  const times = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const letter = letters.charAt(index % letters.length);
    const code = letter.charCodeAt(0);
    /** @type {Promise<number>} */
    const echo = client.watch('an echo', (bytes, done) => {
      if (bytes.includes(code)) done(performance.now());
    });
    const typed = performance.now();
    client.write(letter);
    times[index] = ((await echo) - typed) * 1000;
  }
  return times;
}

/**
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {Way[]} ways
 * @param {{ rounds: number, keystrokes: number }} options
 * @returns {Promise<EchoResult[]>}
 */
export async function measureEcho(scratch, ways, { rounds, keystrokes }) {
  const runs = [];
  for (const way of ways) {
    scratch.check();
    const client = new TerminalClient(way.name, way.command, { env: way.env, cwd: scratch.root });
    scratch.defer(() => client.close());
    await client.until('ready');
    runs.push({
      way,
      client,
      meter: new CpuMeter(),
      fresh: Number.NaN,
      p50: /** @type {number[]} */ ([]),
      p95: /** @type {number[]} */ ([]),
    });
  }
  for (const run of runs) {
    run.fresh = quantile(await typeAndAwait(run.client, fresh), 0.5);
    await typeAndAwait(run.client, firstWarmUp - fresh);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { way, client, meter, p50, p95 } of rotated(runs, round)) {
      await typeAndAwait(client, warmUp);
      meter.start([{ label: 'client', pid: client.pid }, ...(way.processes ?? [])]);
      const times = await typeAndAwait(client, keystrokes);
      meter.stop();
      p50.push(quantile(times, 0.5));
      p95.push(quantile(times, 0.95));
    }
  }
  for (const { client } of runs) await client.close();
  return runs.map(({ way, meter, fresh, p50, p95 }) => {
    const cpu = [...meter.used].map(([label, micros]) => [label, micros / (rounds * keystrokes)]);
    return { name: way.name, fresh, p50, p95, cpu: Object.fromEntries(cpu) };
  });
}

/**
 * @param {EchoResult[]} results
 * @param {string} name
 * @param {string} yardstick
 */
export function echoRatio(results, name, yardstick) {
  const of = (/** @type {string} */ which) => results.find((one) => one.name === which)?.p50 ?? [];
  return medianRatio(of(name), of(yardstick));
}

/** @param {EchoResult} result */
export function echoMedians({ p50, p95 }) {
  return { p50: median(p50), p95: median(p95) };
}
