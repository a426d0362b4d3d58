import { createHash, type Hash } from 'node:crypto';
import { constants, fchmodSync, futimesSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';
import type { Lock } from '../home/lock.ts';
import { acquireLock } from '../home/lock.ts';
import type { Folder } from './folder.ts';
import { prefix, type Temporaries } from './temporaries.ts';

export interface FileTimes {
  mode: number;
  mtimeMs: number;
}

/** Permissions only: who may run something as somebody else is not for another machine to say. */
export function fileMode(mode: number): number {
  return mode & 0o777;
}

/** Gives an open file its mode and time, and waits until it is on disk. */
export async function finish(file: FileHandle, { mode, mtimeMs }: FileTimes): Promise<void> {
  // Neither waits for the disk: to hand them to another thread takes longer.
  fchmodSync(file.fd, fileMode(mode));
  futimesSync(file.fd, new Date(), mtimeMs / 1000);
  await file.datasync();
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** As exact as the systems are that keep times at all. */
export function sameTime(one: number, other: number): boolean {
  return Math.abs(one - other) < 1;
}

/** What `read` finds in the file that is there, where that has this size, mode and time; it may be the same. */
async function readAlike<T>(
  path: Buffer,
  size: number,
  times: FileTimes,
  read: (file: FileHandle) => Promise<T>,
): Promise<T | undefined> {
  try {
    const stats = await lstat(path);
    const alike =
      stats.isFile() &&
      stats.size === size &&
      sameTime(stats.mtimeMs, times.mtimeMs) &&
      (stats.mode & 0o7777) === fileMode(times.mode);
    if (!alike) return undefined;
    const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    try {
      return (await file.stat()).isFile() ? await read(file) : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO')) return undefined;
    throw error;
  }
}

/** Whether a small file is there already, the very same. */
export async function isThere(folder: Folder, name: Buffer, bytes: Uint8Array, times: FileTimes): Promise<boolean> {
  const there = await readAlike(folder.child(name), bytes.length, times, (file) => file.readFile());
  return there?.equals(bytes) ?? false;
}

/** Writes a whole small file: beside its place, then there. What was there before stays until then. */
export async function writeSmall(
  folder: Folder,
  name: Buffer,
  bytes: Uint8Array,
  times: FileTimes,
  hash: string,
  temporaries: Temporaries,
): Promise<void> {
  if (sha(bytes) !== hash) throw new NiiaError('io', 'its bytes are not those that were sent');
  const temporary = folder.child(temporaries.next());
  const file = await open(temporary, 'wx', 0o600);
  try {
    try {
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
      await finish(file, times);
    } finally {
      await file.close();
    }
    await rename(temporary, folder.child(name));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * A large file on its way: a partial beside its place, named after the target and this very state of its source, so
 * that a copy that broke off is taken up, and one of a source that was changed is not.
 */
export class IncomingFile {
  readonly #folder: Folder;
  readonly #name: Buffer;
  readonly #partial: Buffer;
  readonly #lock: Lock;
  readonly #size: number;
  readonly #times: FileTimes;
  #file: FileHandle | undefined;
  #hash: Hash = createHash('sha256');
  #written = 0;
  /** What is there already is as large and as old as the source, and only has to be shown to be the same. */
  #there: { hash: Hash } | undefined;

  private constructor(folder: Folder, name: Buffer, id: string, size: number, times: FileTimes, lock: Lock) {
    this.#folder = folder;
    this.#name = name;
    this.#partial = Buffer.from(`${partialsOf(name)}${id}.part`);
    this.#size = size;
    this.#times = times;
    this.#lock = lock;
  }

  /** Throws `busy` where another copy writes this file. */
  static async begin(
    folder: Folder,
    name: Buffer,
    { id, size, ...times }: FileTimes & { id: string; size: number },
    locks: string,
  ): Promise<IncomingFile> {
    const { dev, ino } = await folder.handle.stat();
    const lock = await acquireLock(
      join(locks, `${sha(Buffer.concat([Buffer.from(`${dev}:${ino}:`), name])).slice(0, 32)}.lock`),
    );
    if ('heldBy' in lock) throw new NiiaError('busy', `another copy (pid ${lock.heldBy}) writes this file`);
    try {
      const file = new IncomingFile(folder, name, id, size, times, lock);
      await file.#removeOthers();
      return file;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** What is here of it already: so many bytes from its start, with this hash. Rejects as soon as `signal` is aborted. */
  async have(signal: AbortSignal): Promise<{ offset: number; sha256: string }> {
    const kept = await this.#openKept();
    if (kept) {
      this.#file = kept;
      this.#written = await hashInto(kept, this.#hash, signal);
      if (this.#written > this.#size) await this.#restart();
      return { offset: this.#written, sha256: this.#hash.copy().digest('hex') };
    }
    const there = await this.#hashOfWhatIsThere(signal);
    if (!there) return { offset: 0, sha256: this.#hash.copy().digest('hex') };
    this.#there = { hash: there };
    return { offset: this.#size, sha256: there.copy().digest('hex') };
  }

  /** The bytes that follow begin at `offset`: what `have` said, or 0. */
  async from(offset: number): Promise<void> {
    if (this.#there && offset === this.#size) return;
    this.#there = undefined;
    if (offset !== this.#written) {
      if (offset !== 0) throw new NiiaError('bad_request', 'a file goes on where nothing of it is');
      await this.#restart();
    }
    this.#file ??= await open(
      this.#folder.child(this.#partial),
      constants.O_CREAT | constants.O_EXCL | constants.O_RDWR,
      0o600,
    );
  }

  async write(bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (!file || this.#written + bytes.length > this.#size) {
      throw new NiiaError('bad_request', 'more bytes of a file came than it has');
    }
    for (let at = 0; at < bytes.length; ) {
      at += (await file.write(bytes, at, bytes.length - at, this.#written + at)).bytesWritten;
    }
    this.#hash.update(bytes);
    this.#written += bytes.length;
  }

  /** Puts it in place, where it is what was sent. */
  async end(sha256: string): Promise<void> {
    try {
      if (this.#there) {
        if (this.#there.hash.digest('hex') !== sha256)
          throw new NiiaError('io', 'its bytes are not those that were sent');
        return;
      }
      const file = this.#file;
      if (!file || this.#written !== this.#size || this.#hash.digest('hex') !== sha256) {
        throw new NiiaError('io', 'its bytes are not those that were sent');
      }
      await finish(file, this.#times);
      await file.close();
      this.#file = undefined;
      await rename(this.#folder.child(this.#partial), this.#folder.child(this.#name));
    } catch (error) {
      await this.discard();
      throw error;
    } finally {
      this.#lock.release();
    }
  }

  /** It will not be whole: nothing of it is left. */
  async discard(): Promise<void> {
    try {
      await this.#file?.close();
      this.#file = undefined;
      await rm(this.#folder.child(this.#partial), { force: true });
    } finally {
      this.#lock.release();
    }
  }

  /** The connection broke: what came is kept for the next one. */
  async keep(): Promise<void> {
    try {
      // Not what was written counts: of what was kept before, perhaps nothing was looked at yet.
      const empty = (await this.#file?.stat())?.size === 0;
      await this.#file?.close();
      this.#file = undefined;
      if (empty) await rm(this.#folder.child(this.#partial), { force: true });
    } finally {
      this.#lock.release();
    }
  }

  async #restart(): Promise<void> {
    await this.#file?.truncate(0);
    this.#written = 0;
    this.#hash = createHash('sha256');
  }

  async #openKept(): Promise<FileHandle | undefined> {
    try {
      const file = await open(this.#folder.child(this.#partial), constants.O_RDWR | (constants.O_NOFOLLOW ?? 0));
      if ((await file.stat()).isFile()) return file;
      await file.close();
      throw new NiiaError('io', 'something that is no file has the name of its partial copy');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async #hashOfWhatIsThere(signal: AbortSignal): Promise<Hash | undefined> {
    return await readAlike(this.#folder.child(this.#name), this.#size, this.#times, async (file) => {
      const hash = createHash('sha256');
      return (await hashInto(file, hash, signal)) === this.#size ? hash : undefined;
    });
  }

  /** Partial copies of other states of the source are of no use any more. */
  async #removeOthers(): Promise<void> {
    const mine = partialsOf(this.#name);
    const names = await readdir(this.#folder.child(Buffer.from('.')), { encoding: 'buffer' });
    for (const name of names) {
      if (name.toString('latin1').startsWith(mine) && !name.equals(this.#partial)) {
        await rm(this.#folder.child(name), { force: true });
      }
    }
  }
}

/** How the names of partial copies of a file begin. */
function partialsOf(name: Buffer): string {
  return `${prefix}${sha(name).slice(0, 16)}-`;
}

async function hashInto(file: FileHandle, hash: Hash, signal: AbortSignal): Promise<number> {
  const piece = Buffer.alloc(256 << 10);
  let at = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return at;
    hash.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
}
