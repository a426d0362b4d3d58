import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from './files.ts';
import { isAlive } from './process-identity.ts';

/** What `writeAtomically` leaves where its process is killed in mid-write: the file's name, its process, a number. */
export const temporaryName = /\.(\d+)\.[0-9a-f]{8}$/;

/** Removes what such writes left in `folder` and `depth` levels below it. What cannot be looked at or removed stays. */
export function removeStranded(folder: string, depth: number): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && depth > 0) removeStranded(path, depth - 1);
      else if (entry.isFile() && isStranded(entry.name)) rmSync(path, { force: true });
    }
  } catch (error) {
    if (!isErrno(error)) throw error;
  }
}

/** Whether a file of this name was left by a process that is gone. */
export function isStranded(name: string): boolean {
  const pid = temporaryName.exec(name)?.[1];
  return pid !== undefined && !isAlive(Number(pid));
}
