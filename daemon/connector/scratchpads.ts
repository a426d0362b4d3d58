import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import type { ScratchFile } from '../../shared/protocol/run-methods.ts';
import { safeName } from '../files/names.ts';
import { isErrno } from '../home/files.ts';

/** The largest file that a scratchpad takes, and how many it holds. */
export const scratchLimits = { file: 64 << 20, files: 4_096, depth: 32 } as const;

/**
 * The coordinator's copy of a run's scratchpad, with which the machines of the run keep theirs in step. Only this class
 * writes into its folder, so that no name in it leads anywhere else.
 */
export class Scratchpad {
  readonly #folder: string;
  /** Hashes of files as they were last seen, by path. */
  readonly #hashes = new Map<string, { mtimeMs: number; size: number; sha256: string }>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** By path. */
  async list(): Promise<ScratchFile[]> {
    const files: ScratchFile[] = [];
    await this.#walk('', files);
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Throws `usage` where there is none of this name. */
  async read(path: string): Promise<AsyncIterable<Uint8Array>> {
    const place = this.#place(path);
    const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);
    try {
      return (await open(place, flags)).createReadStream();
    } catch (cause) {
      if (isErrno(cause, 'ENOENT', 'ENOTDIR', 'ELOOP')) {
        throw new NiiaError('usage', `the scratchpad has no file ${path}`, undefined, { cause });
      }
      throw cause;
    }
  }

  /** Replaces a file by what comes, once it is whole and has this hash. */
  async write({ path, size, sha256 }: ScratchFile, source: AsyncIterable<Uint8Array>): Promise<void> {
    const place = this.#place(path);
    if (size > scratchLimits.file) {
      throw new NiiaError(
        'too_large',
        `${path} is larger than the ${scratchLimits.file >> 20} MiB that a scratchpad takes`,
      );
    }
    await mkdir(dirname(place), { recursive: true, mode: 0o700 });
    const temporary = join(this.#folder, `.niia-${randomBytes(8).toString('hex')}.part`);
    const hash = createHash('sha256');
    let length = 0;
    const file = await open(temporary, 'wx', 0o600);
    try {
      try {
        for await (const bytes of source) {
          length += bytes.length;
          if (length > size) throw new NiiaError('bad_request', `more bytes of ${path} came than it has`);
          hash.update(bytes);
          await file.appendFile(bytes);
        }
        if (length !== size || hash.digest('hex') !== sha256) {
          throw new NiiaError('io', `${path}: its bytes are not those that were sent`);
        }
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(temporary, place);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  #place(path: string): string {
    const names = path.split('/');
    if (names.length > scratchLimits.depth) throw new NiiaError('denied', `${path} is too deep for a scratchpad`);
    for (const name of names) safeName(Buffer.from(name));
    return join(this.#folder, ...names);
  }

  async #walk(below: string, files: ScratchFile[]): Promise<void> {
    let names: string[];
    try {
      names = await readdir(join(this.#folder, below));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return;
      throw error;
    }
    for (const name of names) {
      const path = below === '' ? name : `${below}/${name}`;
      const stats = await lstat(join(this.#folder, path));
      if (stats.isDirectory()) await this.#walk(path, files);
      if (!stats.isFile() || name.endsWith('.part')) continue;
      if (files.length === scratchLimits.files) throw new NiiaError('too_large', 'the scratchpad holds too many files');
      const known = this.#hashes.get(path);
      const { mtimeMs, size } = stats;
      const same = known?.mtimeMs === mtimeMs && known.size === size;
      const sha256 = same ? known.sha256 : await hashOf(join(this.#folder, path));
      this.#hashes.set(path, { mtimeMs, size, sha256 });
      files.push({ path, size, sha256 });
    }
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
