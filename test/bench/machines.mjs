import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { output } from './scratch.mjs';
import { freePort } from './yardsticks.mjs';

/** @typedef {import('./scratch.mjs').Scratch} Scratch */

/** The built product. */
export const entry = fileURLToPath(new URL('../../dist/niia.js', import.meta.url));

/** One machine of the bench: a home of its own, driven through the command line as a user would. */
export class Machine {
  #scratch;

  /**
   * @param {Scratch} scratch
   * @param {string} name
   */
  constructor(scratch, name) {
    this.#scratch = scratch;
    this.name = name;
    this.home = scratch.path(name);
    mkdirSync(this.home, { mode: 0o700 });
    this.env = scratch.env({ NIIA_HOME: this.home, NIIA_MACHINE_NAME: name, SHELL: '/bin/sh', NO_COLOR: '1' });
    const [node = '', ...words] = this.command('down', '--sessions');
    scratch.defer(() => output(node, words, { env: this.env, cwd: this.home }));
  }

  /**
   * The command line of a command of this machine.
   * @param {string[]} args
   */
  command(...args) {
    return [process.execPath, ...this.#scratch.nodeFlags, entry, ...args];
  }

  /**
   * Runs a command that must succeed; its standard output, trimmed.
   * @param {string[]} args
   */
  async run(...args) {
    const [node = '', ...words] = this.command(...args);
    const out = await this.#scratch.run(node, words, { env: this.env, cwd: this.home });
    return out.trim();
  }

  /**
   * Starts a session that runs `script`; its id.
   * @param {string} script
   */
  async session(script) {
    return await this.run('new', '--', 'sh', '-c', script);
  }

  get daemonPid() {
    return Number(record(path.join(this.home, 'daemon.json'))['pid']);
  }

  get headless() {
    const folder = path.join(this.home, 'headless');
    const file = readdirSync(folder).find((name) => name.endsWith('.json'));
    if (!file) throw new Error(`${this.name} has no headless server`);
    const { pid, socket } = record(path.join(folder, file));
    return { pid: Number(pid), socket: String(socket) };
  }
}

/**
 * @param {string} file
 * @returns {Record<string, unknown>}
 */
function record(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** Two machines of one team, and the process in which their gateway runs. @typedef {{ near: Machine, far: Machine, gateway: import('./processes.mjs').Watched | undefined }} Pair */

/**
 * Two machines; the first one's daemon embeds the gateway.
 * @param {Scratch} scratch
 * @returns {Promise<Pair>}
 */
export async function embeddedPair(scratch) {
  const [near, far] = [new Machine(scratch, 'A'), new Machine(scratch, 'B')];
  await near.run('up');
  await far.run('join', await near.run('invite'));
  return { near, far, gateway: undefined };
}

/**
 * Two machines on a gateway in a process of its own.
 * @param {Scratch} scratch
 * @returns {Promise<Pair>}
 */
export async function standalonePair(scratch) {
  const { url, pid } = await startGateway(scratch);
  const [near, far] = [new Machine(scratch, 'C'), new Machine(scratch, 'D')];
  await near.run('up', '--gateway', url);
  await far.run('join', await near.run('invite'));
  return { near, far, gateway: { label: 'gateway', pid } };
}

/** @param {Scratch} scratch */
async function startGateway(scratch) {
  const state = scratch.path('gateway');
  mkdirSync(state, { mode: 0o700 });
  const args = [...scratch.nodeFlags, entry, 'gateway', '--listen', `127.0.0.1:${await freePort()}`, '--state', state];
  scratch.check();
  const child = spawn(process.execPath, args, {
    env: scratch.env({ NIIA_HOME: state }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'close');
  scratch.defer(async () => {
    child.kill();
    await exited;
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-4000);
  });
  const [line] = await Promise.race([
    once(child.stdout.setEncoding('utf8'), 'data'),
    exited.then(([code]) => {
      throw new Error(`niia gateway ended with ${code}: ${errors}`);
    }),
  ]);
  return { url: String(line).trim(), pid: child.pid ?? 0 };
}
