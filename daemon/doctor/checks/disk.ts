import { existsSync, rmSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno, writeAtomically } from '../../home/files.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, quote, skip, warn } from '../check.ts';

export interface DiskFacts {
  root: string;
  freeBytes: number;
  /** Null where the file system has no such bound. */
  freeInodes: number | null;
  /** Why a small file could not be written; null where it could. */
  writeError: string | null;
}

/** One session's log. */
const littleBytes = 64 << 20;
const scarceBytes = 1 << 30;
const fewInodes = 1_000;

export function judgeDisk({ root, freeBytes, freeInodes, writeError }: DiskFacts): Finding {
  const mend = `Make room; the logs of ended sessions go with: niia down --sessions; see: du -sh ${quote(root)}`;
  const left = `${megabytes(freeBytes)} MB free`;
  if (writeError !== null) return fail(`nothing can be written to ${root}: ${writeError} (${left})`, mend);
  if (freeInodes !== null && freeInodes < fewInodes) return fail(`${freeInodes} inodes are free for ${root}`, mend);
  if (freeBytes < littleBytes) return fail(`${left} for ${root}: less than the log of one session`, mend);
  if (freeBytes < scarceBytes) return warn(`${left} for ${root}`, mend);
  return pass(`${left}${freeInodes === null ? '' : `, ${freeInodes} inodes`}`);
}

function megabytes(bytes: number): number {
  return Math.floor(bytes / (1 << 20));
}

export const checkDisk: Check = async ({ home }) => {
  const { root } = home;
  if (!existsSync(root)) return skip(`${root} is not there yet; see ${dirname(root)}`, 'niia up');
  const { bavail, bsize, files, ffree } = await statfs(root);
  const freeInodes = files === 0 ? null : ffree;
  return judgeDisk({ root, freeBytes: bavail * bsize, freeInodes, writeError: tryToWrite(home.path('.doctor')) });
};

function tryToWrite(path: string): string | null {
  try {
    writeAtomically(path, Buffer.alloc(4_096));
    rmSync(path, { force: true });
    return null;
  } catch (error) {
    if (isErrno(error) && error instanceof Error) return error.message;
    throw error;
  }
}
