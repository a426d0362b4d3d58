import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What a log needs of the file system; tests put a failing disk here. */
export interface LogFiles {
  /** Opens a file for reading and writing, made where it is missing; mode 0600. */
  open(path: string): Promise<LogFile>;
  openToRead(path: string): Promise<LogFile>;
  /** Names and sizes of the files in a folder. */
  list(folder: string): Promise<Array<{ name: string; size: number }>>;
  remove(path: string): Promise<void>;
}

export interface LogFile {
  /** Writes at `position`; may write less than given. Returns bytes written. */
  write(bytes: readonly Uint8Array[], position: number): Promise<number>;
  /** Reads at `position`; returns bytes read, 0 at the end. */
  read(into: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

export const diskFiles: LogFiles = {
  open: (path) => openFile(path, 'a+'),
  openToRead: (path) => openFile(path, 'r'),
  async list(folder) {
    const found: Array<{ name: string; size: number }> = [];
    for (const name of await readdir(folder)) found.push({ name, size: (await stat(join(folder, name))).size });
    return found;
  },
  remove: (path) => rm(path, { force: true }),
};

async function openFile(path: string, flags: 'a+' | 'r'): Promise<LogFile> {
  // `a+` would append whatever the position says; it is only there to make the file.
  if (flags === 'a+') await (await open(path, 'a', 0o600)).close();
  const file = await open(path, flags === 'r' ? 'r' : 'r+');
  return {
    write: async (bytes, position) => (await file.writev([...bytes], position)).bytesWritten,
    read: async (into, position) => (await file.read(into, 0, into.length, position)).bytesRead,
    close: () => file.close(),
  };
}
