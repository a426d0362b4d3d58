import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from './files.ts';
import type { Home } from './home.ts';

/** What a home takes on its disk, in bytes. */
export interface DiskUse {
  total: number;
  sessions: number;
  versions: number;
  /** What the disk still has for this user: for the sessions, where they have one of their own. */
  free: number;
}

/** Sums up the files of a home. What goes meanwhile counts for nothing. */
export async function diskUse(home: Home): Promise<DiskUse> {
  const sums = new Map<string, number>();
  for (const entry of await namesIn(home.root)) {
    const path = home.path(entry.name);
    sums.set(entry.name, entry.isDirectory() ? await bytesBelow(path) : await bytesOf(path));
  }
  const total = [...sums.values()].reduce((sum, bytes) => sum + bytes, 0);
  const { bavail, bsize } = await statfs(sums.has('sessions') ? home.path('sessions') : home.root);
  return { total, sessions: sums.get('sessions') ?? 0, versions: sums.get('versions') ?? 0, free: bavail * bsize };
}

/** Blocks of all files in a folder and below. */
async function bytesBelow(folder: string): Promise<number> {
  let sum = 0;
  for (const entry of await namesIn(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sum += await bytesBelow(path);
    else if (entry.isFile()) sum += await bytesOf(path);
  }
  return sum;
}

async function namesIn(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function bytesOf(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * 512;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
}
