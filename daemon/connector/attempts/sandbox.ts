import { execFile } from 'node:child_process';
import { isErrno } from '../../home/files.ts';
import { AttemptFailure } from './failure.ts';

/** What of the computer a sandboxed program sees: it reads what its user may, and little else. All paths are absolute and real. */
export interface SandboxPlan {
  network: boolean;
  /** Folders that it may write. */
  writable: readonly string[];
  /** What it sees as an empty folder: the home of niia, places with sockets of others. */
  hidden: readonly string[];
  /** What stays as it is inside of what it may write. */
  readOnly: readonly string[];
}

const probeMs = 10_000;

/** Words that `bwrap` and its probe have in common. As root all rights are kept unless they are dropped. */
const bubblewrapWords = ['--unshare-pid', '--unshare-ipc', '--die-with-parent', '--cap-drop', 'ALL'];
/** What programs need of /run, which is hidden for its sockets. */
const neededOfRun = [
  '/run/systemd/resolve',
  '/run/resolvconf',
  '/run/NetworkManager/resolv.conf',
  '/run/current-system',
];

/** The command that runs `argv` in the sandbox. */
export function sandboxed(plan: SandboxPlan, argv: readonly string[], platform = process.platform): string[] {
  if (platform === 'darwin') return ['/usr/bin/sandbox-exec', '-p', seatbeltProfile(plan), ...argv];
  return ['/bin/sh', '-c', bubblewrapScript(plan), 'sandbox', ...argv];
}

/** Throws `start_failed` where this machine has no sandbox to offer: then nothing runs. It is tried, not guessed. */
export async function requireSandbox(platform = process.platform): Promise<void> {
  if (platform === 'darwin')
    return await tried('/usr/bin/sandbox-exec', ['-p', '(version 1)(allow default)', '/usr/bin/true'], '');
  if (platform !== 'linux') {
    throw new AttemptFailure('start_failed', `a sandbox was asked for, and there is none for ${platform}`);
  }
  const words = [...bubblewrapWords, '--unshare-net', '--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--'];
  await tried('bwrap', [...words, 'true'], 'Install bubblewrap (Debian, Ubuntu: apt install bubblewrap)');
}

async function tried(file: string, args: string[], install: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    execFile(file, args, { timeout: probeMs }, (error, _, stderr) => {
      if (!error) return resolve();
      const why = isErrno(error, 'ENOENT') ? `${file} is not installed. ${install}` : stderr.trim() || error.message;
      reject(new AttemptFailure('start_failed', `a sandbox was asked for, and this machine has none: ${why}`));
    });
  });
}

/**
 * A shell script that becomes `bwrap`, which runs the script's arguments. A script, since only inside the session is it
 * known where the session's own socket is.
 */
export function bubblewrapScript({ network, writable, hidden, readOnly }: SandboxPlan): string {
  const mounts = [
    { path: '/tmp', words: ['--tmpfs', '/tmp'] },
    { path: '/run', words: ['--tmpfs', '/run'] },
    ...neededOfRun.map((path) => ({ path, words: ['--ro-bind-try', path, path] })),
    ...hidden.map((path) => ({ path, words: ['--tmpfs', path] })),
    ...writable.map((path) => ({ path, words: ['--bind', path, path] })),
    ...readOnly.map((path) => ({ path, words: ['--ro-bind-try', path, path] })),
  ];
  // What lies in another comes after it, and so on top of it.
  const ordered = mounts
    .map((mount, at) => ({ ...mount, at }))
    .sort((a, b) => depth(a.path) - depth(b.path) || a.at - b.at);
  const before = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'];
  const words = [...bubblewrapWords, ...(network ? [] : ['--unshare-net']), ...before];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is for the shell
  const own = '${NIIA_SOCKET:+--ro-bind "${NIIA_SOCKET%/*}" "${NIIA_SOCKET%/*}"}';
  const quoted = [...words, ...ordered.flatMap((mount) => mount.words)].map(quote).join(' ');
  return `exec bwrap ${quoted} --setenv TMPDIR /tmp ${own} -- "$@"`;
}

/** A profile of macOS's sandbox-exec(1). */
export function seatbeltProfile({ network, writable, hidden, readOnly }: SandboxPlan): string {
  const folders = (paths: readonly string[]): string =>
    paths.map((path) => `(subpath ${JSON.stringify(path)})`).join(' ');
  const inHidden = writable.filter((path) => hidden.some((one) => path.startsWith(`${one}/`)));
  return [
    '(version 1)',
    '(allow default)',
    '(deny file-write*)',
    `(allow file-write* ${folders(writable)} (subpath "/private/tmp") (subpath "/private/var/folders") (subpath "/dev"))`,
    ...(network ? [] : ['(deny network*)', '(allow network* (local unix-socket) (remote unix-socket))']),
    ...(hidden.length > 0 ? [`(deny file-read* file-write* network-outbound ${folders(hidden)})`] : []),
    ...(inHidden.length > 0 ? [`(allow file-read* file-write* ${folders(inHidden)})`] : []),
    ...(readOnly.length > 0 ? [`(deny file-write* ${folders(readOnly)})`] : []),
  ].join('\n');
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
