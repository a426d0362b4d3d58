import type { FSWatcher } from 'node:fs';
import { existsSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Disposable } from './emitter.ts';
import type { Log } from './log.ts';

/**
 * Tells when the file at `path` comes into being, without looking for it again and again: by the file system's events
 * in the nearest folder that exists. Where that is not to be had (a named pipe, a network folder) it tells nothing, and
 * whoever waits tries by the clock.
 */
export function watchForFile(path: string, appeared: () => void, log: Log): Disposable {
  let watcher: FSWatcher | undefined;
  let disposed = false;

  const start = (): void => {
    watcher?.close();
    watcher = undefined;
    if (disposed) return;
    const folder = nearestFolder(path);
    if (folder === undefined) return;
    const wanted = childOnTheWay(folder, path);
    try {
      watcher = watch(folder, { persistent: false }, (_, name) => {
        // A folder that is removed says its own name.
        if (name !== null && name !== wanted && name !== basename(folder)) return;
        // One step nearer: the folder in which the file will be may be there now, with the file in it already.
        if (folder !== dirname(path) || !existsSync(folder)) start();
        if (existsSync(path)) appeared();
      });
      watcher.on('error', (error) => log.debug(`${folder} can no longer be watched: ${error.message}`));
    } catch (error) {
      log.debug(`${folder} cannot be watched: ${error instanceof Error ? error.message : String(error)}`);
    }
  };

  start();
  return {
    dispose: () => {
      disposed = true;
      watcher?.close();
    },
  };
}

function nearestFolder(path: string): string | undefined {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (existsSync(folder)) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Name of the entry of `folder` that leads to `path`. */
function childOnTheWay(folder: string, path: string): string {
  let child = path;
  while (dirname(child) !== folder && dirname(child) !== child) child = dirname(child);
  return basename(child);
}
