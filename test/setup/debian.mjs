// Programs that tests need and npm does not carry (chromium, sshd, tmux), from Debian's own packages.

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** The program by which a package counts as present, where its name is not the package's. @type {Record<string, string>} */
const PROGRAM_OF = {
  'openssh-server': 'sshd',
  coturn: 'turnserver',
  bubblewrap: 'bwrap',
  'openssh-client': 'ssh',
  iproute2: 'ip',
  nftables: 'nft',
  'python3-minimal': 'python3',
  'libplist-utils': 'plistutil',
  'libxml2-utils': 'xmllint',
  systemd: 'systemctl',
};

/** sshd and its like live where a plain user's PATH does not look. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/**
 * Absolute path of a program, or undefined where there is none.
 * @param {string} name
 * @returns {string | undefined}
 */
export function findProgram(name) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean).concat(SYSTEM_FOLDERS);
  return folders.map((folder) => path.join(folder, name)).find(isExecutable);
}

/**
 * Installs those of the packages whose program is missing; does nothing, and starts no process, where all are present.
 * @param {string[]} packages Debian package names
 * @returns {Promise<Record<string, string>>} the program's absolute path by package name
 * @throws {Error} with the command that a person should run, where this process may not or cannot install
 */
export async function ensureDebianPackages(packages) {
  const missing = packages.filter((name) => programOf(name) === undefined);
  if (missing.length > 0) await install(missing);
  return Object.fromEntries(
    packages.map((name) => {
      const program = programOf(name);
      if (program === undefined)
        throw new Error(`package ${name} is installed but has no program ${PROGRAM_OF[name] ?? name}`);
      return [name, program];
    }),
  );
}

/** @param {string} packageName */
function programOf(packageName) {
  return findProgram(PROGRAM_OF[packageName] ?? packageName);
}

/** @param {string[]} packages */
async function install(packages) {
  const script = `apt-get update -q && apt-get install -q -y --no-install-recommends ${packages.join(' ')}`;
  const byHand = `install them with: sudo sh -c '${script}'`;
  if (findProgram('apt-get') === undefined) {
    throw new Error(
      `tests need ${packages.join(', ')}, and this system has no apt-get: install them with its package manager`,
    );
  }
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && findProgram('sudo') === undefined) {
    throw new Error(`tests need ${packages.join(', ')}, and this user may not install packages; ${byHand}`);
  }
  // flock, because `apt-get update` fails at once where another one runs; on a folder, so that no lock file is left behind.
  const locked = ['flock', '/var/lib/apt', 'env', 'DEBIAN_FRONTEND=noninteractive', 'sh', '-c', script];
  const [command, ...args] = isRoot ? locked : ['sudo', '-n', ...locked];
  const code = await run(/** @type {string} */ (command), args);
  if (code !== 0) throw new Error(`installing ${packages.join(', ')} failed with code ${code}; ${byHand}`);
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<number | NodeJS.Signals | null>}
 */
function run(command, args) {
  return new Promise((resolve, reject) => {
    // stdout is for programs; what apt says is progress.
    const child = spawn(command, args, { stdio: ['ignore', process.stderr, process.stderr] });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // absent or not ours to run: both mean "look further"
  }
}
