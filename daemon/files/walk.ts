import type { Stats } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { comparePaths } from './names.ts';

export const slash = Buffer.from('/');
/** Entries of a folder that are looked at together. */
const lookedAtOnce = 64;

export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  return Buffer.concat([folder, slash, name]);
}

/** A step of a walk; `error`: what is there could not be looked at or listed. */
export interface Step {
  /** Names below the root; none for the root itself. */
  path: Buffer[];
  file: Buffer;
  kind: 'enter' | 'leave' | 'entry' | 'error';
  stats: Stats | undefined;
  error?: unknown;
}

/**
 * What is at `root` and below it, in the order of `comparePaths`, so that a walk can be taken up after a place: then
 * only what comes behind that, and the ends of the folders that it is in. A link at the root is followed, others not.
 */
export async function* walk(root: Buffer, after?: readonly Buffer[]): AsyncGenerator<Step> {
  let stats: Stats;
  try {
    stats = await stat(root);
  } catch (error) {
    yield { path: [], file: root, kind: 'error', stats: undefined, error };
    return;
  }
  yield* below({ path: [], file: root, stats }, after);
}

interface Place {
  path: Buffer[];
  file: Buffer;
  stats: Stats;
}

async function* below({ path, file, stats }: Place, after: readonly Buffer[] | undefined): AsyncGenerator<Step> {
  const passed = after !== undefined && comparePaths(path, after) <= 0;
  if (!stats.isDirectory()) {
    if (!passed) yield { path, file, kind: 'entry', stats };
    return;
  }
  const within = passed && path.every((name, at) => after[at] !== undefined && name.equals(after[at]));
  if (passed && !within) return;
  if (!passed) yield { path, file, kind: 'enter', stats };
  let names: Buffer[];
  try {
    names = (await readdir(file, { encoding: 'buffer' })).sort(Buffer.compare);
  } catch (error) {
    yield { path, file, kind: 'error', stats, error };
    names = [];
  }
  for (let from = 0; from < names.length; from += lookedAtOnce) {
    const some = names.slice(from, from + lookedAtOnce).map((name) => ({
      path: [...path, name],
      file: joinPath(file, name),
    }));
    const looks = await Promise.allSettled(some.map((child) => lstat(child.file)));
    for (const [at, child] of some.entries()) {
      const its = looks[at];
      if (its?.status === 'fulfilled') yield* below({ ...child, stats: its.value }, after);
      else if (after === undefined || comparePaths(child.path, after) > 0) {
        yield { ...child, kind: 'error', stats: undefined, error: its?.reason };
      }
    }
  }
  yield { path, file, kind: 'leave', stats };
}
