import { accessSync, constants, statSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';

/** The user's shell: `$SHELL`, else the account's, else the system's. */
export function userShell(env: NodeJS.ProcessEnv = process.env): string {
  if (process.platform === 'win32') return env['ComSpec'] || 'cmd.exe';
  return env['SHELL'] || userInfo().shell || '/bin/sh';
}

/** Words that make the user's shell run one command line. */
export function shellCommand(command: string, env: NodeJS.ProcessEnv = process.env): { file: string; args: string[] } {
  const file = userShell(env);
  return { file, args: process.platform === 'win32' ? ['/d', '/s', '/c', command] : ['-c', command] };
}

/** The folder to start in: `cwd`, else the user's home. Throws `usage` where it is not a folder that can be entered. */
export function startFolder(cwd: string | undefined): string {
  const folder = resolve(homedir(), cwd || '.');
  try {
    if (!statSync(folder).isDirectory())
      throw new NiiaError('usage', `${folder} is not a folder`, 'Name a folder with --cwd.');
    accessSync(folder, constants.X_OK);
    return folder;
  } catch (cause) {
    if (cause instanceof NiiaError) throw cause;
    throw new NiiaError(
      'usage',
      `the folder ${folder} cannot be entered: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Make it, or name another with --cwd.',
      { cause },
    );
  }
}

/** The file that `command` names, looked up on PATH as a shell would. Throws `usage` where nothing can be run. */
export function executable(command: string, env: NodeJS.ProcessEnv, cwd: string): string {
  const windows = process.platform === 'win32';
  const hasFolder = command.includes('/') || (windows && command.includes('\\')) || isAbsolute(command);
  const path = env['PATH'] ?? env['Path'] ?? '/usr/local/bin:/usr/bin:/bin';
  const folders = hasFolder ? [cwd] : path.split(delimiter).map((folder) => folder || '.');
  const endings = windows ? ['', ...(env['PATHEXT'] ?? '.EXE;.CMD;.BAT').split(';')] : [''];
  let refused: string | undefined;
  for (const folder of folders) {
    for (const ending of endings) {
      const file = hasFolder ? resolve(cwd, command + ending) : resolve(cwd, join(folder, command + ending));
      const problem = problemWith(file);
      if (problem === undefined) return file;
      if (problem !== 'missing') refused ??= `${file} ${problem}`;
    }
  }
  if (refused) throw new NiiaError('usage', `${command} cannot be run: ${refused}`, 'Check the file and its mode.');
  throw new NiiaError(
    'usage',
    hasFolder ? `${command}: no such file in ${cwd}` : `${command}: command not found`,
    hasFolder ? 'Check the path.' : `It is not on the PATH of this machine's niia (${path}).`,
  );
}

function problemWith(file: string): string | undefined {
  try {
    if (!statSync(file).isFile()) return 'is not a file';
  } catch {
    return 'missing';
  }
  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch {
    return 'is not executable';
  }
}

/**
 * What describes the terminal, multiplexer, editor or service manager from which the server was started, and is wrong
 * inside a session.
 */
const foreign = new Set([
  ...'TERM_PROGRAM TERM_PROGRAM_VERSION TERMCAP COLUMNS LINES WINDOWID TMUX TMUX_PANE STY WINDOW OLDPWD'.split(' '),
  'ELECTRON_RUN_AS_NODE',
  ...'INVOCATION_ID JOURNAL_STREAM MANAGERPID SYSTEMD_EXEC_PID NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES'.split(
    ' ',
  ),
  ...'MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE XPC_SERVICE_NAME XPC_FLAGS'.split(' '),
]);

/** The environment of a process that the server starts: its own without what concerns niia itself, and what is given. */
export function childEnvironment(given: Record<string, string | undefined>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env)) {
    if (value !== undefined && !key.startsWith('NIIA_') && !foreign.has(key)) env[key] = value;
  }
  for (const [key, value] of Object.entries(given)) {
    if (value !== undefined) env[key] = value;
  }
  return env;
}

/** Names that tell a program that it runs in a CI job, where nobody would answer it. */
const unattended = /^(CI|CI_\w+|CONTINUOUS_INTEGRATION|GITHUB_ACTIONS)$/;

/** The environment of a process at a terminal, where somebody may answer it: wherever the server was started. */
export function terminalEnvironment(): Record<string, string> {
  return Object.fromEntries(Object.entries(childEnvironment({})).filter(([name]) => !unattended.test(name)));
}

/** The command line as one would type it. */
export function commandLine(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
