import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { NiiaError } from '../../shared/errors.ts';
import type { ScratchFile } from '../../shared/protocol/run-methods.ts';
import { Folder } from '../files/folder.ts';
import { safePath } from '../files/names.ts';
import { isErrno } from '../home/files.ts';
import type { Log } from '../home/log.ts';
import { isStranded, temporaryName } from '../home/stranded.ts';

/** What is beyond these stays where it is. */
export const scratchLimits = { fileBytes: 64 << 20, files: 4_096, depth: 32 } as const;

/** Never through a link, and never waiting for the other end of a pipe. */
const readSafely = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** A hash that is known to hold while size, time and file stay the same. */
interface Known {
  sign: string;
  sha256: string;
}

/**
 * The folder of a scratchpad, at a run's coordinator or at a machine that works for it. Workers write into it whatever
 * they like, while it is read and written here: nothing in it is reached through a link.
 */
export class ScratchFolder {
  readonly #path: string;
  readonly #log: Pick<Log, 'warn'>;
  readonly #hashes = new Map<string, Known>();

  constructor(path: string, log: Pick<Log, 'warn'>) {
    this.#path = path;
    this.#log = log;
  }

  /** Its files by path, without what is beyond the limits. */
  async list(): Promise<ScratchFile[]> {
    const files: ScratchFile[] = [];
    try {
      await this.#in([], (root) => this.#listed(root, [], files));
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
    if (files.length > scratchLimits.files) this.#leftOut(`what comes after ${scratchLimits.files} files`);
    return files.sort((a, b) => (a.path < b.path ? -1 : 1)).slice(0, scratchLimits.files);
  }

  /** A file's bytes; the caller reads them to their end, or destroys the stream. Throws `usage` where there is no such file. */
  async read(path: string): Promise<Readable> {
    const names = namesOf(path);
    try {
      return await this.#in(names.slice(0, -1), async (folder) => {
        const file = await open(folder.child(last(names)), readSafely);
        if ((await file.stat()).isFile()) return file.createReadStream();
        await file.close();
        throw noSuchFile(path);
      });
    } catch (cause) {
      if (isErrno(cause, 'ENOENT', 'ELOOP', 'ENXIO')) throw noSuchFile(path, cause);
      throw cause;
    }
  }

  /** Replaces a file by what comes, once that is whole and has this hash. `bytes` is called when all is ready for them. */
  async write(
    { path, size, sha256 }: ScratchFile,
    bytes: () => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>,
  ): Promise<void> {
    const names = namesOf(path);
    if (size > scratchLimits.fileBytes) {
      const most = `the ${scratchLimits.fileBytes >> 20} MiB that a scratchpad takes`;
      throw new NiiaError('too_large', `${path} is larger than ${most}`);
    }
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await this.#in(
      names.slice(0, -1),
      async (folder) => {
        const temporary = folder.child(Buffer.from(`.niia.${process.pid}.${randomBytes(4).toString('hex')}`));
        const file = await open(temporary, 'wx', 0o600);
        try {
          await written(file, { path, size, sha256 }, bytes).finally(() => file.close());
          await rename(temporary, folder.child(last(names)));
        } catch (error) {
          await rm(temporary, { force: true });
          throw error;
        }
      },
      'make',
    );
  }

  /** Calls `work` with the folder of these names below the root. Throws `denied` where one of them is a link or a file. */
  async #in<T>(names: readonly Buffer[], work: (folder: Folder) => Promise<T>, make?: 'make'): Promise<T> {
    const entered = [await Folder.root(Buffer.from(this.#path))];
    try {
      for (const name of names) {
        const folder = last(entered);
        if (make) await mkdir(folder.child(name), { mode: 0o700 }).catch(unlessThere);
        entered.push(await folder.open(name));
      }
      return await work(last(entered));
    } finally {
      for (const folder of entered.reverse()) await folder.close();
    }
  }

  async #listed(folder: Folder, above: readonly string[], files: ScratchFile[]): Promise<void> {
    for (const entry of await readdir(folder.child(Buffer.from('.')), { withFileTypes: true })) {
      const names = [...above, entry.name];
      const path = names.join('/');
      const name = Buffer.from(entry.name);
      if (entry.isFile() && temporaryName.test(entry.name)) {
        if (isStranded(entry.name)) await rm(folder.child(name), { force: true });
      } else if (entry.isDirectory()) {
        if (names.length < scratchLimits.depth) await this.#below(folder, name, names, files);
        else this.#leftOut(path);
      } else if (entry.isFile() && files.length <= scratchLimits.files) {
        const file = await this.#described(folder, name, path);
        if (file) files.push(file);
      }
    }
  }

  async #below(folder: Folder, name: Buffer, names: readonly string[], files: ScratchFile[]): Promise<void> {
    let inner: Folder;
    try {
      inner = await folder.open(name);
    } catch (error) {
      // It went, or became something else, after it was seen.
      if (isErrno(error, 'ENOENT', 'EACCES') || (error instanceof NiiaError && error.code === 'denied')) return;
      throw error;
    }
    await this.#listed(inner, names, files).finally(() => inner.close());
  }

  async #described(folder: Folder, name: Buffer, path: string): Promise<ScratchFile | undefined> {
    let file: FileHandle;
    try {
      file = await open(folder.child(name), readSafely);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ELOOP', 'ENXIO', 'EACCES')) return undefined;
      throw error;
    }
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return undefined;
      const { size, mtimeMs, ino } = stats;
      if (size > scratchLimits.fileBytes) {
        this.#leftOut(path);
        return undefined;
      }
      const sign = `${size} ${mtimeMs} ${ino}`;
      const known = this.#hashes.get(path);
      if (known?.sign === sign) return { path, size, sha256: known.sha256 };
      const hash = createHash('sha256');
      let length = 0;
      for await (const chunk of file.createReadStream({ autoClose: false, end: Math.max(0, size - 1) })) {
        hash.update(chunk as Uint8Array);
        length += (chunk as Uint8Array).length;
      }
      // It is being written: the next look finds it whole.
      if (length !== size) return undefined;
      const sha256 = hash.digest('hex');
      this.#hashes.set(path, { sign, sha256 });
      return { path, size, sha256 };
    } finally {
      await file.close();
    }
  }

  #leftOut(path: string): void {
    this.#log.warn('what is too large, too deep or too much for a scratchpad stays on its machine', { path });
  }
}

async function written(
  file: FileHandle,
  { path, size, sha256 }: ScratchFile,
  bytes: () => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>,
): Promise<void> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of await bytes()) {
    length += chunk.length;
    if (length > size) throw new NiiaError('bad_request', `more bytes of ${path} came than it has`);
    hash.update(chunk);
    await file.appendFile(chunk);
  }
  if (length !== size || hash.digest('hex') !== sha256) {
    throw new NiiaError('io', `${path}: its bytes are not those that were announced`);
  }
  await file.datasync();
}

function namesOf(path: string): Buffer[] {
  const names = safePath(path.split('/'));
  if (names.length > scratchLimits.depth) throw new NiiaError('denied', `${path} is too deep for a scratchpad`);
  return names;
}

function last<T>(list: readonly T[]): T {
  const item = list.at(-1);
  if (item === undefined) throw new NiiaError('internal', 'a path of a scratchpad without a name');
  return item;
}

function unlessThere(error: unknown): void {
  if (!isErrno(error, 'EEXIST')) throw error;
}

function noSuchFile(path: string, cause?: unknown): NiiaError {
  return new NiiaError('usage', `the scratchpad has no file ${path}`, undefined, { cause });
}
