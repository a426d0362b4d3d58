import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Machine } from './machines.mjs';
import { say, table } from './report.mjs';
import { median, quantile } from './statistics.mjs';

const worker = fileURLToPath(new URL('./prompt-worker.mjs', import.meta.url));
const sessions = 4;
/** Every so many-th prompt is asked for twice at once, under one id. */
const repeatEvery = 10;

/**
 * `lost`, `doubled`: prompts that the workers did not get, or got more often than once. `unsure`: that ended with an
 * outcome that niia itself called unknown. `ms`: from asking to the end of the worker's turn.
 * @typedef {{ prompts: number, lost: number, doubled: number, unsure: number, ms: number[] }} PromptsResult
 */

/**
 * Prompts to several workers at once while twice as many busy loops run as there are processors.
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {typeof import('./rpc-probe.ts').RpcProbe} RpcProbe
 * @param {{ prompts: number }} options
 * @returns {Promise<PromptsResult>}
 */
export async function measurePrompts(scratch, RpcProbe, { prompts }) {
  const machine = new Machine(scratch, 'P');
  await machine.ok('up');
  await machine.ok('start');
  const probe = await RpcProbe.open(machine.home);
  const load = cpus().flatMap(() =>
    [0, 1].map(() => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })),
  );
  try {
    const each = Math.ceil(prompts / sessions);
    const results = await Promise.all(
      Array.from({ length: sessions }, async (_, place) => {
        const file = scratch.path(`prompts-${place}`);
        writeFileSync(file, '');
        const session = await probe.newProgram([process.execPath, worker, file], 'codex');
        return await inTurn(scratch, probe, session, file, each);
      }),
    );
    const total = (/** @type {'lost' | 'doubled' | 'unsure'} */ what) =>
      results.reduce((sum, result) => sum + result[what], 0);
    return {
      ...{ prompts: each * sessions, lost: total('lost'), doubled: total('doubled'), unsure: total('unsure') },
      ms: results.flatMap((result) => result.ms),
    };
  } finally {
    for (const one of load) one.kill('SIGKILL');
    probe.close();
    await machine.ok('down', '--sessions');
  }
}

/**
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {import('./rpc-probe.ts').RpcProbe} probe
 * @param {string} session
 * @param {string} file where the worker writes what it gets
 * @param {number} count
 */
async function inTurn(scratch, probe, session, file, count) {
  const ms = [];
  const finished = new Set();
  let unsure = 0;
  const texts = Array.from(
    { length: count },
    (_, n) => `${session}: prompt ${n}${n % 3 === 0 ? '\nof two lines' : ''}`,
  );
  for (const [n, text] of texts.entries()) {
    scratch.check();
    const started = performance.now();
    const ask = () => probe.prompt(session, `p-${n}`, text);
    const states = await Promise.all(n % repeatEvery === 0 ? [ask(), ask()] : [ask()]);
    ms.push(performance.now() - started);
    if (states.every((state) => state === 'finished')) finished.add(text);
    else unsure += 1;
  }
  const got = readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => String(JSON.parse(line)));
  const times = new Map(texts.map((text) => [text, 0]));
  let strange = 0;
  for (const text of got) {
    const before = times.get(text);
    if (before === undefined) strange += 1;
    else times.set(text, before + 1);
  }
  const lost = texts.filter((text) => finished.has(text) && times.get(text) === 0).length;
  const doubled = texts.filter((text) => (times.get(text) ?? 0) > 1).length;
  // One that is not as it was sent is one that was lost.
  return { lost: lost + strange, doubled, unsure, ms };
}

/** @param {PromptsResult} result */
export function reportPrompts({ prompts, lost, doubled, unsure, ms }) {
  say(`\nPrompts to ${sessions} workers at once, beside two busy loops for each processor`);
  table(
    ['prompts', 'lost', 'doubled', 'unsure', 'p50 to the end of the turn', 'p95'],
    [
      [prompts, lost, doubled, unsure, `${median(ms).toFixed(0)} ms`, `${quantile(ms, 0.95).toFixed(0)} ms`].map(
        String,
      ),
    ],
  );
}
