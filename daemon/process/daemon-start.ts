import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import type { Installation } from './installation.ts';
import { spawnDetached } from './spawn.ts';

const longestLogTail = 64 << 10;

export function daemonLog(home: Home): string {
  return home.path('daemon.log');
}

/** Starts a daemon in the background, from this installation. Its last words come as JSON, so that code and hint survive. */
export function spawnDaemon(
  home: Home,
  { entry }: Installation,
  flags: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): number {
  const whole = { ...process.env, ...env, NIIA_HOME: home.root };
  return spawnDetached(['daemon', '--json', ...flags], daemonLog(home), whole, entry);
}

/**
 * Whether `spawnDaemon`, of whichever version, started this process: with its words, and with a file as its output. One
 * that was started otherwise is somebody else's, and what depends on it is not known: as the first process of a
 * container it takes all others along when it ends.
 */
export function isInBackground(argv: readonly string[] = process.argv): boolean {
  const [, , command, flag] = argv;
  return command === 'daemon' && flag === '--json' && fstatSync(2).isFile();
}

/** How long the daemon's log is now: what follows is the next daemon's. */
export function logEnd(home: Home): number {
  return withFile(daemonLog(home), (fd) => fstatSync(fd).size) ?? 0;
}

const lastWordsSchema = v.object({ error: v.unknown() });

/** Why a daemon that was started when the log was `since` bytes long ended, as the log tells it. */
export function whyItEnded(home: Home, since: number): NiiaError {
  const hint = `See ${daemonLog(home)}`;
  const lines = tailOf(daemonLog(home), since).trimEnd().split('\n').reverse();
  for (const line of lines) {
    const words = lastWords(line);
    if (words) return new NiiaError(words.code, `the daemon did not start: ${words.message}`, words.hint ?? hint);
  }
  const line = lines.find((one) => / error /.test(one) || /^\w*Error: /.test(one)) ?? lines[0];
  return new NiiaError('failed', `the daemon did not start: ${line || 'it ended without a word'}`, hint);
}

function lastWords(line: string): NiiaError | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed = v.safeParse(lastWordsSchema, JSON.parse(line));
    return parsed.success ? NiiaError.fromWire(parsed.output.error) : undefined;
  } catch (error) {
    // A log line that merely looks like JSON.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function tailOf(file: string, since: number): string {
  const tail = withFile(file, (fd) => {
    const { size } = fstatSync(fd);
    // A log that is shorter than it was has been put away meanwhile.
    const from = Math.max(since > size ? 0 : since, size - longestLogTail);
    const bytes = Buffer.alloc(Math.max(0, size - from));
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, from));
  });
  return tail ?? '';
}

function withFile<T>(file: string, use: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
