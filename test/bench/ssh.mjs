import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { findProgram } from '../setup/debian.mjs';

/** @typedef {import('./scratch.mjs').Scratch} Scratch */

/** @param {string} word */
const quoted = (word) => `'${word.replaceAll("'", `'\\''`)}'`;

/** A server of the bench's own, with keys of its own, and the command lines of clients of it. */
export class Ssh {
  #scratch;
  #client;
  #folder;
  #address;
  #port;
  #prefix;

  /**
   * @param {Scratch} scratch
   * @param {{ client: string, folder: string, address: string, port: number, prefix: readonly string[] }} options
   */
  constructor(scratch, { client, folder, address, port, prefix }) {
    this.#scratch = scratch;
    this.#client = client;
    this.#folder = folder;
    this.#address = address;
    this.#port = port;
    this.#prefix = prefix;
  }

  /**
   * @param {Scratch} scratch
   * @param {Record<string, string>} programs openssh-client and openssh-server: the server's absolute, since it starts itself anew for each connection
   * @param {{ folder: string, address?: string, clientPrefix?: readonly string[], serverPrefix?: readonly string[] }} options words before the commands, such as those that run them in another network namespace
   */
  static async start(scratch, programs, { folder, address = '127.0.0.1', clientPrefix = [], serverPrefix = [] }) {
    const keygen = findProgram('ssh-keygen');
    if (!keygen) throw new Error('ssh-keygen is missing; it comes with openssh-client');
    mkdirSync(scratch.path(folder), { mode: 0o700 });
    for (const key of ['host-key', 'user-key']) {
      const file = scratch.path(folder, key);
      await scratch.run(keygen, ['-q', '-t', 'ed25519', '-N', '', '-C', 'niia-bench', '-f', file]);
    }
    const hostKey = await scratch.run(keygen, ['-y', '-f', scratch.path(folder, 'host-key')]);
    const userKey = await scratch.run(keygen, ['-y', '-f', scratch.path(folder, 'user-key')]);
    writeFileSync(scratch.path(folder, 'authorized-keys'), userKey, { mode: 0o600 });
    const port = await freePort();
    writeFileSync(scratch.path(folder, 'known-hosts'), `[${address}]:${port} ${hostKey}`);
    await startServer(scratch, [...serverPrefix, programs['openssh-server'] ?? ''], { folder, address, port });
    const client = programs['openssh-client'] ?? '';
    return new Ssh(scratch, { client, folder, address, port, prefix: clientPrefix });
  }

  /**
   * A client whose terminal runs `script`. `shared`: over one connection with all others that say so.
   * @param {string} script
   * @param {{ shared?: boolean }} [options]
   */
  command(script, { shared = false } = {}) {
    const options = {
      IdentityFile: this.#scratch.path(this.#folder, 'user-key'),
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: this.#scratch.path(this.#folder, 'known-hosts'),
      StrictHostKeyChecking: 'yes',
      ControlPath: shared ? this.#scratch.path(this.#folder, 'mux') : 'none',
      ControlMaster: shared ? 'auto' : 'no',
      LogLevel: 'ERROR',
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    return [
      ...[...this.#prefix, this.#client, '-F', 'none', '-e', 'none', '-tt', '-p', String(this.#port), ...flags],
      ...[`${userInfo().username}@${this.#address}`, `exec sh -c ${quoted(script)}`],
    ];
  }
}

/**
 * @param {Scratch} scratch
 * @param {string[]} sshd
 * @param {{ folder: string, address: string, port: number }} where
 */
async function startServer(scratch, [file = '', ...args], { folder, address, port }) {
  const settings = {
    Port: port,
    ListenAddress: address,
    HostKey: scratch.path(folder, 'host-key'),
    AuthorizedKeysFile: scratch.path(folder, 'authorized-keys'),
    PidFile: 'none',
    StrictModes: 'no',
    UsePAM: 'no',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    PermitRootLogin: 'prohibit-password',
    PrintMotd: 'no',
    PrintLastLog: 'no',
    UseDNS: 'no',
    // A shell that is started by sshd reads the user's start-up files, which may take their time.
    SetEnv: `HOME=${scratch.root}`,
  };
  const config = scratch.path(folder, 'sshd-config');
  writeFileSync(
    config,
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(''),
  );
  makeSeparationFolder(scratch);
  const server = spawn(file, [...args, '-D', '-e', '-f', config], {
    env: scratch.env(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(server, 'exit');
  scratch.defer(async () => {
    server.kill();
    await exited;
  });
  let said = '';
  await new Promise((resolve, reject) => {
    server.stderr.setEncoding('utf8').on('data', (text) => {
      said = (said + text).slice(-4000);
      if (said.includes('Server listening on')) resolve(undefined);
    });
    exited.then(() => reject(new Error(`sshd did not start: ${said}`)), reject);
  });
}

/**
 * Started by root, sshd wants a folder that Debian's service makes.
 * @param {Scratch} scratch
 */
function makeSeparationFolder(scratch) {
  if (process.getuid?.() !== 0) return;
  try {
    mkdirSync('/run/sshd', { mode: 0o755 });
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return;
    throw error;
  }
  scratch.defer(() => rmdirSync('/run/sshd'));
}

/** A TCP port that nobody listens on just now. @returns {Promise<number>} */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}
