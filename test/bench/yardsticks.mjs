import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ensureDebianPackages } from '../setup/debian.mjs';
import { Ssh } from './ssh.mjs';

/** @typedef {import('./scratch.mjs').Scratch} Scratch */

const bareChannel = fileURLToPath(new URL('./bare-channel.mjs', import.meta.url));

/** What niia is compared with: tmux, ssh to this machine by a server of the bench's own, and a bare WebRTC channel. */
export class Yardsticks {
  #scratch;
  #ssh;

  /**
   * @param {Scratch} scratch
   * @param {Record<string, string>} programs
   * @param {Ssh} ssh
   */
  constructor(scratch, programs, ssh) {
    this.#scratch = scratch;
    this.programs = programs;
    this.#ssh = ssh;
  }

  /** @param {Scratch} scratch */
  static async start(scratch) {
    const programs = await ensureDebianPackages(['tmux', 'openssh-client', 'openssh-server']);
    mkdirSync(scratch.path('tmux'), { mode: 0o700 });
    const self = new Yardsticks(scratch, programs, await Ssh.start(scratch, programs, { folder: 'ssh' }));
    scratch.defer(() => self.#endTmux());
    return self;
  }

  /** Where tmux keeps its socket: everything of the bench lies in its scratch folder. */
  get tmuxEnv() {
    return this.#scratch.env({ TMUX_TMPDIR: this.#scratch.path('tmux') });
  }

  /** @param {string[]} args */
  #tmux(...args) {
    return [this.programs['tmux'] ?? '', '-u', '-L', 'bench', '-f', '/dev/null', ...args];
  }

  /** The command line of `tmux ls`. */
  get tmuxList() {
    return this.#tmux('ls');
  }

  /**
   * A new session that this client is attached to. Without the status line, whose clock would come between the echoes.
   * @param {string} script
   */
  tmux(script) {
    return this.#tmux('start-server', ';', 'set', '-g', 'status', 'off', ';', 'new-session', script);
  }

  /** Starts a server with one session, unless it runs. */
  async startTmux() {
    const [file = '', ...args] = this.#tmux('new-session', '-d', 'exec sleep 1000');
    await this.#scratch.run(file, args, { env: this.tmuxEnv });
  }

  /** @param {string} script */
  ssh(script) {
    return this.#ssh.command(script);
  }

  /**
   * A program in a terminal at the other end of a bare WebRTC channel.
   * @param {string} script
   */
  channel(script) {
    return [process.execPath, bareChannel, 'terminal', script];
  }

  /** Two processes with such a channel between them. */
  async openChannel() {
    return await BareChannel.open(this.#scratch);
  }

  async #endTmux() {
    const [file = '', ...args] = this.#tmux('kill-server');
    const child = spawn(file, args, { env: this.tmuxEnv, stdio: 'ignore' });
    // Fails where no server runs any more, which is just as well.
    await once(child, 'close');
  }
}

/** Round trips on a bare WebRTC channel, measured within one of its two processes. */
export class BareChannel {
  #child;

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.#child = child;
  }

  /** @param {Scratch} scratch */
  static async open(scratch) {
    scratch.check();
    const child = fork(bareChannel, ['pings'], { env: scratch.env(), stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const self = new BareChannel(child);
    scratch.defer(() => self.close());
    await self.#answer();
    return self;
  }

  /**
   * So many, one after the other; microseconds.
   * @param {number} count
   * @returns {Promise<number[]>}
   */
  async pings(count) {
    const answer = this.#answer();
    this.#child.send({ count });
    return (await answer).times;
  }

  async close() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill();
    await exited;
  }

  async #answer() {
    const ended = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`the bare WebRTC channel ended with ${code}`);
    });
    // Nobody asks any more when it ends in order.
    ended.catch(() => undefined);
    const [message] = await Promise.race([once(this.#child, 'message'), ended]);
    return message;
  }
}
