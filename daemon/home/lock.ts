import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno, readIfThere } from './files.ts';
import { processStart } from './process-identity.ts';

export interface Lock {
  readonly path: string;
  /** Gives the lock back; does nothing when it was given back before. */
  release(): void;
}

interface Holder {
  pid: number;
  started: string;
}

/**
 * Takes the lock at `path` for this process, or says who holds it. The file names its process by id and start time, so
 * one that a killed process left behind is recognised and replaced; of any number of processes that try at once, one
 * gets it.
 */
export async function acquireLock(path: string): Promise<Lock | { heldBy: number }> {
  const mine = JSON.stringify({
    pid: process.pid,
    started: processStart(process.pid) ?? '',
    token: randomBytes(8).toString('hex'),
  });
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  for (let attempt = 0; attempt < 1000; attempt++) {
    if (create(path, mine)) return { path, release: () => release(path, mine) };
    const content = readIfThere(path);
    if (content === undefined) continue;
    const holder = liveHolder(content);
    if (holder) return { heldBy: holder.pid };
    if (!removeStale(path, mine)) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new NiiaError('busy', `the lock ${path} could not be taken: others keep taking and leaving it`, 'Try again.');
}

/** The process that holds the lock at `path` now, if any. */
export function lockHolder(path: string): number | undefined {
  const content = readIfThere(path);
  return content === undefined ? undefined : liveHolder(content)?.pid;
}

/** Creates the lock with its content in one step: a link fails where the name exists, and nobody sees an empty file. */
function create(path: string, content: string): boolean {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(temporary, content, { mode: 0o600, flag: 'wx' });
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Removes a stale lock. Only the holder of a second lock may do so, and it looks again first: otherwise one of two who
 * saw the stale file could remove the fresh one of the other. False when somebody else is at it.
 */
function removeStale(path: string, mine: string): boolean {
  const breaking = `${path}.break`;
  if (!create(breaking, mine)) {
    const content = readIfThere(breaking);
    if (content !== undefined && !liveHolder(content)) removeIfContent(breaking, content);
    return false;
  }
  try {
    const content = readIfThere(path);
    if (content !== undefined && !liveHolder(content)) rmSync(path, { force: true });
    return true;
  } finally {
    rmSync(breaking, { force: true });
  }
}

function release(path: string, mine: string): void {
  removeIfContent(path, mine);
}

/** Removes the file if it is still the one with `content`; a file that took its place is put back. */
function removeIfContent(path: string, content: string): void {
  if (readIfThere(path) !== content) return;
  const aside = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  try {
    if (readIfThere(aside) !== content) linkSync(aside, path);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** Who wrote `content`, while that process lives. A file that is not a lock (torn by a crash) belongs to nobody. */
function liveHolder(content: string): Holder | undefined {
  const holder = parseHolder(content);
  if (!holder) return undefined;
  const started = processStart(holder.pid);
  if (started === undefined) return undefined;
  return started === '' || holder.started === '' || started === holder.started ? holder : undefined;
}

function parseHolder(content: string): Holder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value)) return undefined;
  const { pid, started } = value;
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0 || typeof started !== 'string') return undefined;
  return { pid, started };
}
