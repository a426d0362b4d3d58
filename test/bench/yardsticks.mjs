import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { ensureDebianPackages, findProgram } from '../setup/debian.mjs';

/** @typedef {import('./scratch.mjs').Scratch} Scratch */

/** @param {string} word */
const quoted = (word) => `'${word.replaceAll("'", `'\\''`)}'`;

/** What niia is compared with: tmux, and ssh to this machine by a server of the bench's own. */
export class Yardsticks {
  #scratch;
  #programs;
  #sshPort;

  /**
   * @param {Scratch} scratch
   * @param {Record<string, string>} programs
   * @param {number} sshPort
   */
  constructor(scratch, programs, sshPort) {
    this.#scratch = scratch;
    this.#programs = programs;
    this.#sshPort = sshPort;
  }

  /** @param {Scratch} scratch */
  static async start(scratch) {
    const programs = await ensureDebianPackages(['tmux', 'openssh-client', 'openssh-server']);
    mkdirSync(scratch.path('tmux'), { mode: 0o700 });
    const port = await startSshServer(scratch, programs['openssh-server'] ?? '');
    const self = new Yardsticks(scratch, programs, port);
    scratch.defer(() => self.#endTmux());
    return self;
  }

  /** Where tmux keeps its socket: everything of the bench lies in its scratch folder. */
  get tmuxEnv() {
    return this.#scratch.env({ TMUX_TMPDIR: this.#scratch.path('tmux') });
  }

  /** @param {string[]} args */
  #tmux(...args) {
    return [this.#programs['tmux'] ?? '', '-u', '-L', 'bench', '-f', '/dev/null', ...args];
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
    const options = {
      IdentityFile: this.#scratch.path('user-key'),
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: this.#scratch.path('known-hosts'),
      StrictHostKeyChecking: 'yes',
      ControlPath: 'none',
      LogLevel: 'ERROR',
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const command = `exec sh -c ${quoted(script)}`;
    return [
      this.#programs['openssh-client'] ?? '',
      ...['-F', 'none', '-e', 'none', '-tt', '-p', String(this.#sshPort), ...flags],
      ...[`${userInfo().username}@127.0.0.1`, command],
    ];
  }

  async #endTmux() {
    const [file = '', ...args] = this.#tmux('kill-server');
    const child = spawn(file, args, { env: this.tmuxEnv, stdio: 'ignore' });
    // Fails where no server runs any more, which is just as well.
    await once(child, 'close');
  }
}

/**
 * @param {Scratch} scratch
 * @param {string} sshd absolute path: sshd starts itself anew for each connection
 */
async function startSshServer(scratch, sshd) {
  const keygen = findProgram('ssh-keygen');
  if (!keygen) throw new Error('ssh-keygen is missing; it comes with openssh-client');
  for (const key of ['host-key', 'user-key']) {
    await scratch.run(keygen, ['-q', '-t', 'ed25519', '-N', '', '-C', 'niia-bench', '-f', scratch.path(key)]);
  }
  const hostKey = await scratch.run(keygen, ['-y', '-f', scratch.path('host-key')]);
  writeFileSync(scratch.path('authorized-keys'), await scratch.run(keygen, ['-y', '-f', scratch.path('user-key')]), {
    mode: 0o600,
  });
  const port = await freePort();
  writeFileSync(scratch.path('known-hosts'), `[127.0.0.1]:${port} ${hostKey}`);
  const settings = {
    Port: port,
    ListenAddress: '127.0.0.1',
    HostKey: scratch.path('host-key'),
    AuthorizedKeysFile: scratch.path('authorized-keys'),
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
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`);
  writeFileSync(scratch.path('sshd-config'), lines.join(''));
  makeSeparationFolder(scratch);
  const server = spawn(sshd, ['-D', '-e', '-f', scratch.path('sshd-config')], {
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
  return port;
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
