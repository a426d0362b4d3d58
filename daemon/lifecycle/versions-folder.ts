import { constants, cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { Offer } from '../../shared/protocol/upgrade-methods.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { readJsonFile } from '../home/json-file.ts';
import { lockHolder } from '../home/lock.ts';
import { daemonRecordFile } from '../process/daemon-record.ts';
import { type Installation, readPointer, thisInstallation } from '../process/installation.ts';
import { readUpgrade } from '../process/upgrade-journal.ts';
import { fitsMachine, type Here, isWhatWasOffered } from './acceptance.ts';
import { fullDisk, isFull } from './incoming.ts';
import { nativesOf } from './make-bundle.ts';
import { badBundle } from './manifest.ts';
import { syncFolders, unpack } from './open-bundle.ts';
import { anyTarget } from './target.ts';

/** Folders that are being filled start so: whatever is found under such a name was left by a crash. */
const unfinished = '.new-';

/**
 * Unpacks a bundle beside the versions that are there, whole or not at all. `versions/V`, or `versions/V.2` and so on
 * where that folder is taken: one that may be in use is never touched. Throws `bad_bundle`, or `io` on a full disk.
 */
export async function installBundle(home: Home, bundle: string, offer: Offer, here: Here): Promise<Installation> {
  const versions = home.folder('versions');
  const fresh = join(versions, `${unfinished}${process.pid}-${Date.now()}`);
  try {
    mkdirSync(fresh, { mode: 0o755 });
    const manifest = await unpack(bundle, fresh);
    isWhatWasOffered(manifest, offer);
    fitsMachine(manifest, here);
    const [major = 0] = process.versions.node.split('.').map(Number);
    if (major < manifest.node) throw badBundle(`it needs Node ${manifest.node}, and here is ${process.version}`);
    if (manifest.target === anyTarget) copyNatives(fresh);
    await syncFolders(fresh);
    const folder = freeName(versions, manifest.version);
    renameSync(fresh, folder);
    await syncFolders(versions);
    return { entry: join(folder, 'dist', 'niia.js'), version: manifest.version, build: manifest.build };
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (isFull(error)) throw fullDisk(versions, 'the bundle does not fit on it unpacked; nothing was changed', error);
    throw error;
  }
}

/** The native parts that this installation runs with: the bundle counts on exactly these. */
function copyNatives(to: string): void {
  for (const { path, source } of nativesOf(thisInstallation).files) {
    cpSync(source, join(to, path), { mode: constants.COPYFILE_FICLONE });
  }
}

function freeName(versions: string, version: string): string {
  for (let n = 1; n < 10_000; n++) {
    const folder = join(versions, n === 1 ? version : `${version}.${n}`);
    if (!existsSync(folder)) return folder;
  }
  throw new NiiaError('failed', `${versions} holds too many copies of ${version}`, 'Remove those that are not in use.');
}

/** Removes versions that nothing names and no process runs from. Returns their folders. */
export async function removeUnused(home: Home): Promise<string[]> {
  const versions = home.folder('versions');
  const pointer = readPointer(home);
  const upgrade = readUpgrade(home);
  const used = new Set(
    [
      thisInstallation.entry,
      pointer?.entry,
      pointer?.previous?.entry,
      upgrade?.from.entry,
      upgrade?.to.entry,
      ...running(home),
    ].flatMap((entry) => (entry === undefined ? [] : [folderOf(entry)])),
  );
  const removed: string[] = [];
  for (const entry of readdirSync(versions, { withFileTypes: true })) {
    const folder = join(versions, entry.name);
    // One that this process is filling right now is not left over.
    if (entry.name.startsWith(`${unfinished}${process.pid}-`)) continue;
    const isVersion = existsSync(join(folder, 'dist')) || entry.name.startsWith(unfinished);
    if (!entry.isDirectory() || !isVersion || used.has(folder) || (await isRunFrom(folder))) continue;
    await rm(folder, { recursive: true, force: true });
    removed.push(folder);
  }
  return removed;
}

/** `versions/V` of `versions/V/dist/niia.js`. */
function folderOf(entry: string): string {
  return dirname(dirname(entry));
}

const recordSchema = v.object({ entry: v.string(), generation: v.optional(v.string()) });

/** Entry points of the daemon and the headless servers that run. */
function running(home: Home): string[] {
  const servers = home.folder('headless');
  const records = readdirSync(servers).filter((name) => name.endsWith('.json'));
  const files = [daemonRecordFile(home), ...records.map((name) => join(servers, name))];
  return files.flatMap((file) => {
    // One that is torn, or of an older version, is not of something that runs from versions/.
    const record = readJsonFile(file, recordSchema);
    if (!record) return [];
    const lock =
      record.generation === undefined ? home.path('daemon.lock') : join(servers, `${record.generation}.lock`);
    return lockHolder(lock) === undefined ? [] : [record.entry];
  });
}

/**
 * Whether some process has a file of this folder on its command line; where the system does not say, the records must do.
 * The kernel may keep a reader waiting for a process that is dumped or swapped in: the daemon does not wait along.
 */
async function isRunFrom(folder: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if ((await readFile(`/proc/${name}/cmdline`, 'utf8')).includes(`${folder}/`)) return true;
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) throw error;
    }
  }
  return false;
}
