import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import { processStart } from '../home/process-identity.ts';
import { installationToStart } from '../process/installation.ts';
import { spawnDetached } from '../process/spawn.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { Deadline } from './deadline.ts';
import { pause } from './retry.ts';

/** Between looks at a daemon that starts or stops: short beside the start of a process. */
const pollMs = 10;
/** A start that takes longer has gone wrong somewhere. */
const startTimeoutMs = 60_000;
const longestLogTail = 64 << 10;

export interface StartOptions {
  home: Home;
  daemon: DaemonClient;
  deadline: Deadline;
  /** Words after `niia daemon`. */
  flags: readonly string[];
}

/** The status of this machine's daemon where it runs; undefined where none does. */
export async function runningDaemon(daemon: DaemonClient): Promise<DaemonStatus | undefined> {
  try {
    return await daemon.ask('daemon.status', {});
  } catch (error) {
    if (error instanceof NiiaError && error.code === 'daemon_not_running') return undefined;
    throw error;
  }
}

/** Starts the daemon in the background and waits until it answers. Rejects with the reason that its log gives. */
export async function startDaemon({ home, daemon, deadline, flags }: StartOptions): Promise<DaemonStatus> {
  home.prepare();
  const logFile = home.path('daemon.log');
  const before = sizeOf(logFile);
  const giveUpAt = performance.now() + startTimeoutMs;
  // Another `niia up` may have been quicker: its daemon holds the lock and will answer soon.
  let pid = lockHolder(home.path('daemon.lock')) ?? spawnDaemon(home, flags, logFile);
  for (;;) {
    const status = await runningDaemon(daemon);
    if (status) return status;
    if (processStart(pid) === undefined) {
      const other = lockHolder(home.path('daemon.lock'));
      if (other === undefined) throw whyItEnded(logFile, before);
      pid = other;
    }
    if (performance.now() > giveUpAt) {
      throw new NiiaError('timeout', `the daemon (pid ${pid}) runs but does not answer`, `See ${logFile}`);
    }
    await pause(Math.min(pollMs, deadline.leftMs ?? pollMs));
  }
}

function spawnDaemon(home: Home, flags: readonly string[], logFile: string): number {
  // Its last words come as JSON, so that code and hint survive.
  const { entry } = installationToStart(home, 'user');
  return spawnDetached(['daemon', '--json', ...flags], logFile, { ...process.env, NIIA_HOME: home.root }, entry);
}

const lastWordsSchema = v.object({ error: v.unknown() });

function whyItEnded(logFile: string, since: number): NiiaError {
  const hint = `See ${logFile}`;
  const lines = tailOf(logFile, since).trimEnd().split('\n').reverse();
  for (const line of lines) {
    const words = lastWords(line);
    if (words) return new NiiaError(words.code, `the daemon did not start: ${words.message}`, words.hint ?? hint);
  }
  const line = lines.find((one) => / error /.test(one)) ?? lines[0];
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

function sizeOf(file: string): number {
  return withFile(file, (fd) => fstatSync(fd).size) ?? 0;
}

function tailOf(file: string, since: number): string {
  const tail = withFile(file, (fd) => {
    const { size } = fstatSync(fd);
    const from = Math.max(since, size - longestLogTail);
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

/** Resolves when no process `pid` is left. */
export async function processGone(pid: number, deadline: Deadline): Promise<void> {
  while (processStart(pid) !== undefined) await pause(Math.min(pollMs, deadline.leftMs ?? pollMs));
}
