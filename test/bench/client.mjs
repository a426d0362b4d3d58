import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { spawn as spawnPty } from 'node-pty';

/** How long anything awaited of a client may take. */
const patienceMs = 60_000;
const forceAfterMs = 2000;
/** How much of what was shown is kept for messages and for `until`. */
const keptBytes = 64 << 10;

/** A client program whose output the bench watches. */
class Client {
  /** @type {(bytes: Buffer) => void} */
  #listener = () => undefined;
  /** @type {(error: Error) => void} */
  #lost = () => undefined;
  #recent = Buffer.alloc(0);
  /** @type {string | undefined} */
  #ended;

  /** @param {string} name for messages */
  constructor(name) {
    this.name = name;
  }

  /** @param {Buffer} bytes */
  receive(bytes) {
    this.#listener(bytes);
  }

  /** @param {string} how */
  ended(how) {
    this.#ended = how;
    this.#lost(this.#endedError());
  }

  #endedError() {
    return new Error(
      `${this.name} ended (${this.#ended}); it last said: ${JSON.stringify(this.#recent.toString().slice(-500))}`,
    );
  }

  /**
   * Calls `listen` with each chunk until it calls its second argument, whose argument is then the result.
   * @template T
   * @param {string} what is awaited, for messages
   * @param {(bytes: Buffer, done: (value: T) => void) => void} listen
   * @returns {Promise<T>}
   */
  watch(what, listen) {
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(limit);
        this.#listener = () => undefined;
        this.#lost = () => undefined;
      };
      const fail = (/** @type {Error} */ error) => {
        stop();
        reject(error);
      };
      const limit = setTimeout(
        () => fail(new Error(`${this.name}: ${what} did not come in ${patienceMs} ms`)),
        patienceMs,
      );
      const done = (/** @type {T} */ value) => {
        stop();
        resolve(value);
      };
      this.#lost = fail;
      this.#listener = (bytes) => listen(bytes, done);
      if (this.#ended !== undefined) fail(this.#endedError());
    });
  }

  /**
   * Waits until `text` has been shown.
   * @param {string} text
   */
  async until(text) {
    await this.watch(JSON.stringify(text), (bytes, /** @type {(value: void) => void} */ done) => {
      this.#recent = Buffer.concat([this.#recent, bytes]).subarray(-keptBytes);
      if (this.#recent.includes(text)) done();
    });
  }

  /**
   * All that comes, up to and including `marker`.
   * @param {string} marker
   */
  async collectUntil(marker) {
    /** @type {Buffer[]} */
    const chunks = [];
    let tail = Buffer.alloc(0);
    return await this.watch(JSON.stringify(marker), (bytes, /** @type {(value: Buffer[]) => void} */ done) => {
      chunks.push(bytes);
      tail = Buffer.concat([tail, bytes]);
      if (tail.includes(marker)) done(chunks);
      // The marker may lie across two chunks.
      else tail = tail.subarray(-marker.length);
    });
  }
}

/** A program in a terminal of the bench's own, as a person would run it. */
export class TerminalClient extends Client {
  #pty;
  #exited;

  /**
   * @param {string} name
   * @param {string[]} command
   * @param {{ env: NodeJS.ProcessEnv, cwd: string }} options
   */
  constructor(name, [file = '', ...args], { env, cwd }) {
    super(name);
    this.#pty = spawnPty(file, args, { name: 'xterm-256color', cols: 80, rows: 24, cwd, env, encoding: null });
    this.pid = this.#pty.pid;
    // Declared as string, but bytes where the encoding is null.
    this.#pty.onData((data) => this.receive(/** @type {Buffer} */ (/** @type {unknown} */ (data))));
    this.#exited = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => {
        this.ended(signal ? `signal ${signal}` : `exit code ${exitCode}`);
        resolve(undefined);
      });
    });
  }

  /** @param {string} text */
  write(text) {
    this.#pty.write(text);
  }

  async close() {
    await end(this.pid, this.#exited);
  }
}

/** A program that writes into a pipe. */
export class PipeClient extends Client {
  #child;
  #exited;
  /** How much it has written. */
  bytes = 0;

  /**
   * @param {string} name
   * @param {string[]} command
   * @param {{ env: NodeJS.ProcessEnv, cwd: string }} options
   */
  constructor(name, [file = '', ...args], { env, cwd }) {
    super(name);
    this.#child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.pid = this.#child.pid ?? 0;
    let errors = '';
    this.#child.stdout.on('data', (bytes) => {
      this.bytes += bytes.length;
      this.receive(bytes);
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text;
    });
    this.#exited = once(this.#child, 'close').then(([code, signal]) => {
      this.ended(`${signal ?? `exit code ${code}`}${errors && `, saying ${errors.trim()}`}`);
    });
  }

  /**
   * Waits until it has written so much in all.
   * @param {number} count
   */
  async received(count) {
    await this.watch(`${count} bytes`, (_, /** @type {(value: void) => void} */ done) => {
      if (this.bytes >= count) done();
    });
  }

  async close() {
    await end(this.pid, this.#exited);
  }
}

/**
 * Ends a process as a closed window does, and by force where that is not enough.
 * @param {number} pid
 * @param {Promise<unknown>} exited
 */
async function end(pid, exited) {
  signal(pid, 'SIGHUP');
  const force = setTimeout(() => signal(pid, 'SIGKILL'), forceAfterMs);
  await exited;
  clearTimeout(force);
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} name
 */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}
