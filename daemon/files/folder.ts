import { constants, existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open } from 'node:fs/promises';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';
import { shown } from './names.ts';
import { joinPath } from './walk.ts';

/** Names below an open folder, whatever becomes of its path meanwhile (proc(5)); elsewhere the path has to do. */
const throughHandles = process.platform === 'linux' && existsSync('/proc/self/fd');

/** What an owner needs to make names in a folder. */
const toWrite = 0o300;

/** An open folder that is written into. What is in it is never reached through a link. */
export class Folder {
  readonly path: Buffer;
  readonly handle: FileHandle;
  readonly #writing = new Set<Promise<unknown>>();
  /** The mode that it has again once it is closed. */
  #modeBefore: number | undefined;

  private constructor(path: Buffer, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  /** The folder that the asker named: links on the way to it are its own. */
  static async root(path: Buffer): Promise<Folder> {
    return new Folder(path, await open(path, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0)));
  }

  /** A folder in this one. Throws `denied` where a link, or anything else that is none, has its name. */
  async open(name: Buffer): Promise<Folder> {
    const path = joinPath(this.path, name);
    const within = this.child(name);
    try {
      if (!throughHandles && (await lstat(within)).isSymbolicLink()) throw notThroughLinks(path);
      const flags = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0);
      return new Folder(path, await open(within, flags));
    } catch (error) {
      if (isErrno(error, 'ENOTDIR', 'ELOOP')) throw notThroughLinks(path);
      throw error;
    }
  }

  /** A folder in this one that is written into: one of ours that does not let us is open to us until it is closed. */
  async openToWrite(name: Buffer): Promise<Folder> {
    const folder = await this.open(name);
    try {
      const { mode, uid } = await folder.handle.stat();
      if ((mode & toWrite) !== toWrite && uid === process.geteuid?.()) {
        await folder.handle.chmod((mode & 0o7777) | toWrite);
        folder.#modeBefore = mode & 0o7777;
      }
      return folder;
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  /** What to call the system with for a name in here. */
  child(name: Buffer): Buffer {
    return joinPath(throughHandles ? Buffer.from(`/proc/self/fd/${this.handle.fd}`) : this.path, name);
  }

  /** Keeps the folder open until `work` is done. */
  during<T>(work: Promise<T>): Promise<T> {
    this.#writing.add(work);
    const done = (): void => void this.#writing.delete(work);
    work.then(done, done);
    return work;
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  async close(): Promise<void> {
    await this.settled();
    try {
      if (this.#modeBefore !== undefined) await this.handle.chmod(this.#modeBefore);
    } finally {
      await this.handle.close();
    }
  }
}

function notThroughLinks(path: Buffer): NiiaError {
  return new NiiaError('denied', `${shown(path)} is a link or no folder: nothing is written through it`);
}

/** The folder that is written into now, and those above it, up to the root. */
export class FolderStack {
  readonly #folders: Folder[];
  readonly #entered: (folder: Folder, names: readonly Buffer[]) => Promise<void>;
  #names: Buffer[] = [];

  /** `entered`: what is to be done first in each folder below the root. */
  constructor(root: Folder, entered: (folder: Folder, names: readonly Buffer[]) => Promise<void>) {
    this.#folders = [root];
    this.#entered = entered;
  }

  /** The folder with these names below the root. */
  async enter(names: readonly Buffer[]): Promise<Folder> {
    let same = 0;
    while (same < names.length && this.#names[same] && names[same]?.equals(this.#names[same] ?? Buffer.alloc(0)))
      same++;
    while (this.#names.length > same) {
      this.#names.pop();
      await this.#folders.pop()?.close();
    }
    let folder = this.#folders.at(-1);
    if (!folder) throw new NiiaError('internal', 'the folder of a copy is closed');
    for (const name of names.slice(same)) {
      folder = await folder.openToWrite(name);
      this.#folders.push(folder);
      this.#names.push(name);
      await this.#entered(folder, this.#names);
    }
    return folder;
  }

  async close(): Promise<void> {
    for (const folder of this.#folders.splice(0).reverse()) await folder.close();
    this.#names = [];
  }
}
