import { writeFileSync } from 'node:fs';
import { setTimeout as after } from 'node:timers/promises';
import { Machine } from './machines.mjs';
import { memoryOf } from './processes.mjs';

const sessions = 100;
/** Lines that a terminal keeps above its screen. */
const scrollback = 1000;
const settledWithin = 0.005;
const lookEveryMs = 300;
const longestMs = 8000;

/**
 * @typedef {{ pss: number, rss: number }} Memory bytes
 * @typedef {{ sessions: number, empty: Memory, idle: Memory, full: Memory | undefined }} MemoryResult
 */

/**
 * Memory of a headless server without sessions, with idle shells, and with as many lines in each as a screen keeps.
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {typeof import('./rpc-probe.ts').RpcProbe} RpcProbe
 * @param {{ full: boolean }} options
 * @returns {Promise<MemoryResult>}
 */
export async function measureMemory(scratch, RpcProbe, { full }) {
  const machine = new Machine(scratch, 'M');
  await machine.ok('up');
  await machine.ok('start');
  const { pid } = machine.headless;
  const probe = await RpcProbe.open(machine.home);
  try {
    const empty = await settled(pid);
    const ids = [];
    for (let count = 0; count < sessions; count++) ids.push(await probe.newSession());
    // A shell is idle once it has shown its prompt.
    for (const id of ids) await probe.idle(id, 100);
    const idle = await settled(pid);
    return { sessions, empty, idle, full: full ? await filled(scratch, probe, ids, pid) : undefined };
  } finally {
    probe.close();
    await machine.ok('down', '--sessions');
  }
}

/**
 * @param {import('./scratch.mjs').Scratch} scratch
 * @param {import('./rpc-probe.ts').RpcProbe} probe
 * @param {string[]} ids
 * @param {number} pid
 */
async function filled(scratch, probe, ids, pid) {
  const file = scratch.path('lines');
  const lines = Array.from({ length: scrollback + 24 }, (_, number) => `${number} `.padEnd(78, 'abcdefghi '));
  writeFileSync(file, `${lines.join('\n')}\n`);
  for (const id of ids) await probe.type(id, `cat ${file}\r`);
  for (const id of ids) await probe.idle(id, 100);
  return await settled(pid);
}

/**
 * The memory of a process once it no longer changes, or after a while.
 * @param {number} pid
 */
async function settled(pid) {
  let last = memoryOf(pid);
  const until = performance.now() + longestMs;
  for (let calm = 0; calm < 3 && performance.now() < until; ) {
    await after(lookEveryMs);
    const now = memoryOf(pid);
    calm = Math.abs(now.pss - last.pss) < last.pss * settledWithin ? calm + 1 : 0;
    last = now;
  }
  return last;
}

/**
 * Bytes a session.
 * @param {MemoryResult} result
 * @param {Memory} with_
 * @param {keyof Memory} kind
 */
export function perSession(result, with_, kind) {
  return (with_[kind] - result.empty[kind]) / result.sessions;
}
