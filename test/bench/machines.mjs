import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { childrenOf } from './processes.mjs';
import { output } from './scratch.mjs';
import { freePort } from './ssh.mjs';

/** @typedef {import('./scratch.mjs').Scratch} Scratch */
/** @typedef {typeof import('./rpc-probe.ts').RpcProbe} RpcProbe */
/** @typedef {'gateway' | 'direct' | 'p2p'} PathKind */

/** The built product. */
export const entry = process.env['NIIA_TEST_ENTRY'] || fileURLToPath(new URL('../../dist/niia.js', import.meta.url));

/** How long a path that must come may take. */
const pathMs = 20_000;

/** One machine of the bench: a home of its own, driven through the command line as a user would. */
export class Machine {
  #scratch;
  #prefix;
  #ended = false;

  /**
   * @param {Scratch} scratch
   * @param {string} name
   * @param {readonly string[]} [prefix] words before every command, such as those that run it in another network namespace
   */
  constructor(scratch, name, prefix = []) {
    this.#scratch = scratch;
    this.#prefix = prefix;
    this.name = name;
    this.home = scratch.path(name);
    mkdirSync(this.home, { mode: 0o700 });
    this.env = scratch.env({ NIIA_HOME: this.home, NIIA_MACHINE_NAME: name, SHELL: '/bin/sh', NO_COLOR: '1' });
    scratch.defer(() => this.end());
  }

  /** Ends its daemon, its sessions and its headless server. */
  async end() {
    if (this.#ended) return;
    this.#ended = true;
    const [file = '', ...words] = this.command('down', '--sessions');
    await output(file, words, { env: this.env, cwd: this.home });
  }

  /**
   * The command line of a command of this machine.
   * @param {string[]} args
   */
  command(...args) {
    return [...this.#prefix, process.execPath, ...this.#scratch.nodeFlags, entry, ...args];
  }

  /**
   * Runs a command that must succeed; its standard output, trimmed.
   * @param {string[]} args
   */
  async ok(...args) {
    const [file = '', ...words] = this.command(...args);
    const out = await this.#scratch.run(file, words, { env: this.env, cwd: this.home });
    return out.trim();
  }

  /**
   * Starts a command that goes on.
   * @param {readonly string[]} args
   */
  spawn(args) {
    this.#scratch.check();
    const [file = '', ...words] = this.command(...args);
    return spawn(file, words, { env: this.env, cwd: this.home, stdio: 'pipe' });
  }

  /**
   * Starts a session that runs `script`; its id.
   * @param {string} script
   */
  async session(script) {
    return await this.ok('new', '--', 'sh', '-c', script);
  }

  get daemonPid() {
    return Number(record(path.join(this.home, 'daemon.json'))['pid']);
  }

  /** The process in which its daemon has WebRTC; undefined where none runs. */
  get webRtcPid() {
    return childrenOf(this.daemonPid).find(({ command }) => command.includes('webrtc'))?.pid;
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

/** A gateway in a process of its own, on a port that it keeps; killed, stopped and started again at will. */
export class Gateway {
  #scratch;
  #prefix;
  #host;
  #port = 0;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  url = '';

  /**
   * @param {Scratch} scratch
   * @param {string} name of its folder
   * @param {{ host?: string, prefix?: readonly string[] }} [where]
   */
  constructor(scratch, name, { host = '127.0.0.1', prefix = [] } = {}) {
    this.#scratch = scratch;
    this.#prefix = prefix;
    this.#host = host;
    this.state = scratch.path(name);
    mkdirSync(this.state, { mode: 0o700 });
    scratch.defer(() => this.stop());
  }

  get pid() {
    return this.#child?.pid ?? 0;
  }

  async start() {
    this.#port ||= await freePort();
    const words = ['gateway', '--listen', `${this.#host}:${this.#port}`, '--state', this.state];
    this.#scratch.check();
    const line = [...this.#prefix, process.execPath, ...this.#scratch.nodeFlags, entry, ...words];
    const [file = '', ...args] = line;
    const env = this.#scratch.env({ NIIA_HOME: this.state });
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors = (errors + text).slice(-4000);
    });
    const ended = once(child, 'close').then(([code]) => {
      throw new Error(`niia gateway ended with ${code}: ${errors}`);
    });
    const [said] = await Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), ended]);
    // Its later end is nobody's surprise.
    ended.catch(() => undefined);
    this.url = String(said).trim();
  }

  /** @param {NodeJS.Signals} name */
  signal(name) {
    this.#child?.kill(name);
  }

  async kill() {
    await this.#end('SIGKILL');
  }

  async stop() {
    await this.#end('SIGTERM');
  }

  /** @param {NodeJS.Signals} by */
  async #end(by) {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    // One that is stopped would never hear of it.
    child.kill('SIGCONT');
    child.kill(by);
    await exited;
  }
}

/** Two machines of one team, and the gateway between them where it has a process of its own. @typedef {{ near: Machine, far: Machine, gateway: Gateway | undefined }} Pair */

/** What leaves one kind of path, beside the gateway's, which a team always starts over. @type {Record<PathKind | 'all', string[]>} */
const ways = {
  gateway: ['--direct', 'off', '--p2p', 'off', '--lan', 'off'],
  direct: ['--p2p', 'off', '--lan', 'off'],
  p2p: ['--direct', 'off', '--lan', 'off'],
  all: [],
};

/**
 * Two machines whose link goes over one kind of path; over whichever they choose where it is `all`. Without a gateway of
 * its own, the first one's daemon embeds it.
 * @param {Scratch} scratch
 * @param {RpcProbe} RpcProbe
 * @param {[string, string]} names
 * @param {{ kind: PathKind | 'all', gateway?: Gateway, listen?: string, prefixes?: [readonly string[], readonly string[]] }} options `listen`: the first one's address
 * @returns {Promise<Pair>}
 */
export async function makePair(scratch, RpcProbe, names, { kind, gateway, listen, prefixes }) {
  const near = new Machine(scratch, names[0], prefixes?.[0]);
  const far = new Machine(scratch, names[1], prefixes?.[1]);
  const more = [...(gateway ? ['--gateway', gateway.url] : []), ...(listen ? ['--listen', listen] : [])];
  await near.ok('up', ...ways[kind], ...more);
  await admit(near, far, kind);
  if (kind !== 'all') await pin(RpcProbe, near, far, kind);
  return { near, far, gateway };
}

/** Ends a pair that is no longer wanted, so that it disturbs nothing that follows. @param {Pair} pair */
export async function endPair({ near, far, gateway }) {
  for (const machine of [far, near]) await machine.end();
  await gateway?.stop();
}

/**
 * Makes a machine a member of another one's team.
 * @param {Machine} inviter
 * @param {Machine} guest
 * @param {PathKind | 'all'} kind
 */
export async function admit(inviter, guest, kind) {
  await guest.ok('up', ...ways[kind]);
  await guest.ok('join', await inviter.ok('invite'));
}

/**
 * Pins the link between two machines to a kind of path, and resolves once both use it; what was held against that path
 * is forgiven. Throws, with what they say of their paths, where it does not come.
 * @param {RpcProbe} RpcProbe
 * @param {Machine} near
 * @param {Machine} far
 * @param {PathKind} kind
 */
export async function pin(RpcProbe, near, far, kind) {
  for (const wanted of ['auto', kind]) await near.ok('remote', 'path', far.name, '--pin', wanted);
  const probes = [await RpcProbe.open(near.home), await RpcProbe.open(far.home)];
  const [others, until] = [[far.name, near.name], performance.now() + pathMs];
  try {
    for (;;) {
      const reports = await Promise.all(probes.map((probe, index) => probe.path(others[index] ?? '')));
      if (reports.every(({ path: active }) => active === kind)) return;
      if (performance.now() > until) {
        throw new Error(`no ${kind} path after ${pathMs} ms: ${JSON.stringify(reports, undefined, 1)}`);
      }
      await after(20);
    }
  } finally {
    for (const probe of probes) probe.close();
  }
}
