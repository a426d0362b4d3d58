import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import * as v from 'valibot';
import { writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { readJsonFile } from '../home/json-file.ts';
import { build, version } from '../home/version.ts';
import { entryPoint } from './spawn.ts';
import { supervisorPid } from './upgrade-lock.ts';

export const installationSchema = v.object({
  /** Its `niia.js`, an absolute path. */
  entry: v.pipe(v.string(), v.check(isAbsolute, 'not an absolute path')),
  version: v.string(),
  build: v.string(),
});
/** A copy of the product on this machine: where it is, and which build. */
export type Installation = v.InferOutput<typeof installationSchema>;

const namedSchema = v.object({
  ...installationSchema.entries,
  /** What made it the one to run: an upgrade, or a start by the user. */
  by: v.picklist(['upgrade', 'start']),
  /** Builds that it replaced, the last one first. */
  over: v.array(v.string()),
});

const pointerSchema = v.object({
  ...namedSchema.entries,
  /** What an upgrade replaced, to go back to; null where nothing was named before. */
  previous: v.nullable(namedSchema),
  /** The upgrade that is not decided yet. */
  pending: v.nullable(v.string()),
});
/** Which installation this machine's daemon runs from: `versions/current.json` in the home. */
export type Pointer = v.InferOutput<typeof pointerSchema>;

/** The code that runs here. */
export const thisInstallation: Installation = { entry: entryPoint, version, build };

/** Builds that are remembered as replaced: more than anyone keeps. */
const mostReplaced = 50;

/**
 * Which installation a daemon is to be started from. `restart`: of one that ended by itself, so the newest act is what
 * the pointer names. `user`: somebody starts `own`; then an upgrade counts that replaced this very build, and one that
 * the user installed since counts more. `exists` says whether an entry point is still there.
 */
export function chooseInstallation(
  own: Installation,
  pointer: Pointer | undefined,
  why: 'user' | 'restart',
  exists: (entry: string) => boolean,
): Installation {
  if (!pointer || !exists(pointer.entry)) return own;
  const { entry, version: named, build: of } = pointer;
  const covers = pointer.build === own.build || pointer.over.includes(own.build);
  return why === 'restart' || (pointer.by === 'upgrade' && covers) ? { entry, version: named, build: of } : own;
}

/**
 * What counts of the pointer: while an upgrade is undecided and no supervisor works on it (all was killed, or the
 * computer restarted), what ran before. That is known to start, and sees to it that the upgrade is taken up again.
 */
export function inForce(pointer: Pointer | undefined, supervised: boolean): Pointer | undefined {
  if (!pointer?.previous || pointer.pending === null || supervised) return pointer;
  return { ...pointer.previous, previous: null, pending: pointer.pending };
}

/** The pointer once a daemon runs from `own`; the same one where it says so already, or where an upgrade is undecided. */
export function afterStart(own: Installation, pointer: Pointer | undefined): Pointer {
  if (!pointer) return { ...own, by: 'start', over: [], previous: null, pending: null };
  if (pointer.pending !== null || (pointer.entry === own.entry && pointer.build === own.build)) return pointer;
  return { ...own, by: 'start', over: replaced(own, pointer), previous: null, pending: null };
}

/** The pointer while upgrade `id` to `to` is tried. */
export function whileTried(to: Installation, id: string, pointer: Pointer | undefined, from: Installation): Pointer {
  const before = pointer ?? { ...from, by: 'start', over: [] };
  const { entry, version: old, build: of, by, over } = before;
  const previous = { entry, version: old, build: of, by, over };
  return {
    ...to,
    by: 'upgrade',
    over: replaced(to, { build: from.build, over: replaced(to, previous) }),
    previous,
    pending: id,
  };
}

/**
 * The pointer once the upgrade failed; the same one where it says so already. The upgrade stays undecided until the old
 * version runs: the new one, where it starts late, leaves the pointer alone.
 */
export function afterRollback(pointer: Pointer): Pointer {
  return pointer.previous ? { ...pointer.previous, previous: null, pending: pointer.pending } : pointer;
}

/** Every build that `next` takes the place of. */
function replaced(next: Installation, { build: last, over }: { build: string; over: readonly string[] }): string[] {
  return [...new Set([last, ...over])].filter((one) => one !== next.build).slice(0, mostReplaced);
}

/** The installation to start a daemon of `home` from; its `entry` is for `spawnDetached`. */
export function installationToStart(home: Home, why: 'user' | 'restart', own = thisInstallation): Installation {
  const pointer = inForce(readPointer(home), supervisorPid(home) !== undefined);
  return chooseInstallation(own, pointer, why, isFile);
}

/** Notes that a daemon runs from here, so that whoever starts it again after a crash starts the same one. */
export function noteStart(home: Home, own = thisInstallation): void {
  const before = readPointer(home);
  const after = afterStart(own, before);
  if (after !== before) writePointer(home, after);
}

/** What the pointer names; undefined where there is none. One that is damaged counts as none: each install is whole. */
export function readPointer(home: Home): Pointer | undefined {
  return readJsonFile(pointerFile(home), pointerSchema);
}

export function writePointer(home: Home, pointer: Pointer): void {
  home.folder('versions');
  writeAtomically(pointerFile(home), `${JSON.stringify(pointer, null, 2)}\n`);
}

function pointerFile(home: Home): string {
  return home.path('versions', 'current.json');
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
