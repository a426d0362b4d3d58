import { setTimeout as after } from 'node:timers/promises';
import { Machine } from './machines.mjs';
import { cpuMicros } from './processes.mjs';
import { say, table } from './report.mjs';
import { median, quantile } from './statistics.mjs';

const [sessions, redrawing] = [100, 10];
const flood = ['sh', '-c', 'while :; do seq 1 100000; done'];

/** Says a state in one of the three ways each time a line comes. */
const speakers = {
  'OSC 7501': ["printf '\\033]7501;state=working\\007'", "printf '\\033]7501;state=done\\007'"],
  title: ["printf '\\033]0;⠸ repo\\007'", "printf '\\033]0;[ ! ] Action Required | repo\\007'"],
  screen: [
    "printf '\\033[H\\033[2J• Working (1s • esc to interrupt)\\r\\n'",
    "printf '\\033[H\\033[2J› 1. Yes\\r\\nPress enter to confirm\\r\\n'",
  ],
};

/** A screen of forty rows with a spinner and a clock, drawn anew ten times a second, as such programs do. */
const redraw = `
let tick = 0;
setInterval(() => {
  tick++;
  const rows = Array.from({ length: 34 }, (_, row) => 'line ' + row + ' of an answer that fills the screen, as long as such lines are');
  rows.push('', '• Working (' + Math.floor(tick / 10) + 's • esc to interrupt)', '', '› Ask Codex to do anything', '', '  model · /repo');
  process.stdout.write('\\x1b]0;' + '⠋⠙⠹⠸⠼⠴'[tick % 6] + ' repo\\x07\\x1b[H' + rows.join('\\x1b[K\\r\\n'));
}, 100);`;

/**
 * `latency`: milliseconds from the keystroke that makes a program say a state until a watcher is told. `cpu`: processors
 * that the headless server uses while some sessions redraw, with the rules of a known program and without any.
 * @typedef {{ latency: Array<{ name: string, quiet: number[], flooded: number[] }>, cpu: { tracked: number[], plain: number[] } }} StateResult
 */

/**
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {typeof import('./rpc-probe.ts').RpcProbe} RpcProbe
 * @param {{ rounds: number, seconds: number }} options
 * @returns {Promise<StateResult>}
 */
export async function measureState(scratch, RpcProbe, { rounds, seconds }) {
  const machine = new Machine(scratch, 'S');
  await machine.ok('up');
  await machine.ok('start');
  const probe = await RpcProbe.open(machine.home);
  try {
    const latency = await latencies(machine, probe, rounds);
    for (let count = 0; count < sessions - redrawing; count++) await probe.newSession();
    /** @type {StateResult['cpu']} */
    const cpu = { tracked: [], plain: [] };
    for (let round = 0; round < 3; round++) {
      cpu.plain.push(await used(machine, probe, undefined, seconds));
      cpu.tracked.push(await used(machine, probe, 'codex', seconds));
    }
    return { latency, cpu };
  } finally {
    probe.close();
    await machine.ok('down', '--sessions');
  }
}

/**
 * @param {Machine} machine
 * @param {import('./rpc-probe.ts').RpcProbe} probe
 * @param {number} rounds
 */
async function latencies(machine, probe, rounds) {
  /** @type {StateResult['latency']} */
  const results = [];
  for (const [name, [busy, other]] of Object.entries(speakers)) {
    const script = `stty -echo; while read x; do ${busy}; read x; ${other}; done`;
    const session = await probe.newProgram(['sh', '-c', script], 'codex');
    const end = name === 'OSC 7501' ? 'idle' : 'blocked';
    const measured = async () => {
      const values = [];
      for (let round = 0; round < rounds; round++) {
        values.push(await probe.stateAfter(session, 'x\n', round % 2 === 0 ? 'busy' : end));
        await after(30);
      }
      return values;
    };
    await after(300);
    const quiet = await measured();
    const noise = await probe.newProgram(flood);
    await after(300);
    const flooded = await measured();
    results.push({ name, quiet, flooded });
    for (const id of [noise, session]) await machine.ok('kill', '--session', id);
  }
  return results;
}

/**
 * Processors that the headless server uses while ten sessions redraw.
 * @param {Machine} machine
 * @param {import('./rpc-probe.ts').RpcProbe} probe
 * @param {string | undefined} worker
 * @param {number} seconds
 */
async function used(machine, probe, worker, seconds) {
  const ids = [];
  for (let count = 0; count < redrawing; count++) {
    ids.push(await probe.newProgram([process.execPath, '-e', redraw], worker));
  }
  await after(2000);
  const { pid } = machine.headless;
  const [before, started] = [cpuMicros(pid), performance.now()];
  await after(seconds * 1000);
  const cpu = (cpuMicros(pid) - before) / 1000 / (performance.now() - started);
  for (const id of ids) await machine.ok('kill', '--session', id);
  return cpu;
}

/** @param {StateResult} result */
export function reportState({ latency, cpu }) {
  const ms = (/** @type {number} */ value) => `${value.toFixed(1)} ms`;
  say(
    `\nA state reaches a watcher (from the keystroke that makes the program say it; ${latency[0]?.quiet.length} rounds)`,
  );
  table(
    ['', 'quiet p50', 'quiet worst', 'beside a flood p50', 'p95', 'worst'],
    latency.map(({ name, quiet, flooded }) => [
      ...[name, ms(median(quiet)), ms(Math.max(...quiet))],
      ...[ms(median(flooded)), ms(quantile(flooded, 0.95)), ms(Math.max(...flooded))],
    ]),
  );
  const [tracked, plain] = [median(cpu.tracked), median(cpu.plain)];
  say(
    `\nThe headless server with ${sessions} sessions of which ${redrawing} redraw ten times a second: ${(tracked * 100).toFixed(1)} % of a processor with the rules of a known program, ${(plain * 100).toFixed(1)} % without any: ${(tracked / plain).toFixed(2)}×.`,
  );
}
