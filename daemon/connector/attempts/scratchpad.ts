import { createHash } from 'node:crypto';
import { createReadStream, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import { safePath } from '../../files/names.ts';
import { isErrno, writeAtomically } from '../../home/files.ts';
import { readJsonFile } from '../../home/json-file.ts';
import type { Log } from '../../home/log.ts';

/** What is beyond these stays on its machine. */
const mostFiles = 5000;
const largestFile = 256 << 20;

export interface ScratchpadFile {
  /** Names with slashes between them. */
  path: string;
  size: number;
  /** Lower-case hex. */
  sha256: string;
}

/** The run's scratchpad where all of its machines find it. */
export interface ScratchpadRemote {
  list(): Promise<ScratchpadFile[]>;
  /** The file's bytes. */
  get(path: string): Promise<Readable>;
  put(file: ScratchpadFile, bytes: Readable): Promise<void>;
}

export interface ScratchpadOptions {
  folder: string;
  /** A file that keeps what both sides had when they were last the same. */
  index: string;
  log: Log;
}

const indexSchema = v.record(v.string(), v.string());

/** A hash that is known to hold while size and time stay the same. */
interface Known {
  sign: string;
  sha256: string;
}

/**
 * Keeps a folder in step with the run's scratchpad, file by file: the last to write one wins. What is removed on one side
 * comes back from the other.
 */
export class Scratchpad {
  readonly #o: ScratchpadOptions;
  readonly #hashes = new Map<string, Known>();
  /** One at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ScratchpadOptions) {
    this.#o = options;
  }

  /** Brings what others wrote, except over what was written here since. */
  async pull(remote: ScratchpadRemote, signal?: AbortSignal): Promise<void> {
    const { folder } = this.#o;
    await this.#inTurn(async () => {
      const [there, here, base] = [await remote.list(), await this.#local(), this.#base()];
      for (const file of there.slice(0, mostFiles)) {
        signal?.throwIfAborted();
        const own = here.get(file.path)?.sha256;
        const changedHere = own !== undefined && own !== base[file.path];
        if (own !== file.sha256 && !changedHere) await this.#fetch(remote, folder, file);
        if (own === file.sha256 || !changedHere) base[file.path] = file.sha256;
      }
      this.#keep(base);
    });
  }

  /** Sends what was written here. */
  async push(remote: ScratchpadRemote, signal?: AbortSignal): Promise<void> {
    const { folder } = this.#o;
    await this.#inTurn(async () => {
      const [here, base] = [await this.#local(), this.#base()];
      for (const file of here.values()) {
        signal?.throwIfAborted();
        if (base[file.path] === file.sha256) continue;
        await remote.put(file, createReadStream(join(folder, file.path)));
        base[file.path] = file.sha256;
        this.#keep(base);
      }
    });
  }

  /** By path. Links are not followed, and not carried. */
  async #local(): Promise<Map<string, ScratchpadFile>> {
    const files = new Map<string, ScratchpadFile>();
    const visit = async (names: string[]): Promise<void> => {
      for (const entry of readdirSync(join(this.#o.folder, ...names), { withFileTypes: true })) {
        const path = [...names, entry.name];
        if (entry.isDirectory()) await visit(path);
        if (!entry.isFile() || files.size >= mostFiles) continue;
        const file = await this.#described(path.join('/'));
        if (file) files.set(file.path, file);
      }
    };
    await visit([]);
    return files;
  }

  async #described(path: string): Promise<ScratchpadFile | undefined> {
    const whole = join(this.#o.folder, path);
    const status = lstatSync(whole, { throwIfNoEntry: false });
    if (!status?.isFile()) return undefined;
    const { size, mtimeMs, ino } = status;
    if (size > largestFile) {
      this.#o.log.warn('a file is too large for a scratchpad and stays on this machine', { path, size });
      return undefined;
    }
    const sign = `${size} ${mtimeMs} ${ino}`;
    const known = this.#hashes.get(path);
    if (known?.sign === sign) return { path, size, sha256: known.sha256 };
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(whole)) hash.update(chunk as Uint8Array);
    const sha256 = hash.digest('hex');
    this.#hashes.set(path, { sign, sha256 });
    return { path, size, sha256 };
  }

  async #fetch(remote: ScratchpadRemote, folder: string, file: ScratchpadFile): Promise<void> {
    const names = safePath(file.path.split('/')).map((name) => name.toString('utf8'));
    if (file.size > largestFile) return;
    const target = join(folder, ...names);
    madeFolder(folder, names.slice(0, -1));
    const temporary = join(
      folder,
      `.niia-${process.pid}-${createHash('sha256').update(file.path).digest('hex').slice(0, 16)}`,
    );
    try {
      const hash = createHash('sha256');
      let size = 0;
      const handle = await open(temporary, 'wx', 0o600);
      await pipeline(
        await remote.get(file.path),
        async function* (source: AsyncIterable<Uint8Array>) {
          for await (const chunk of source) {
            size += chunk.length;
            if (size > file.size) break;
            hash.update(chunk);
            yield chunk;
          }
        },
        handle.createWriteStream(),
      );
      if (size !== file.size || hash.digest('hex') !== file.sha256) {
        throw new NiiaError('io', `the scratchpad's ${file.path} did not come as it was announced`);
      }
      renameSync(temporary, target);
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  #base(): Record<string, string> {
    return { ...readJsonFile(this.#o.index, indexSchema) };
  }

  #keep(base: Record<string, string>): void {
    writeAtomically(this.#o.index, JSON.stringify(base));
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.catch(() => undefined).then(work);
    this.#turn = turn;
    await turn;
  }
}

/** Folders below `root`, made where they are missing. Throws `denied` where one of them is a link or a file. */
function madeFolder(root: string, names: readonly string[]): void {
  let folder = root;
  for (const name of names) {
    folder = join(folder, name);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    if (!lstatSync(folder).isDirectory())
      throw new NiiaError('denied', `${folder} is no folder: nothing is written there`);
  }
}
