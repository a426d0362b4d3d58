import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { isErrno } from './files.ts';

/** A log and the one before it have at most so much each. */
export const logBytes = 5 << 20;
const copyBytes = 1 << 20;

/**
 * A log that this process's standard error is appended to. Grown to its size, it is copied to `FILE.1` and emptied:
 * whoever else has it open goes on in the same file, so no line is lost.
 */
export class LogFile {
  readonly #path: string;
  readonly #fd: number;
  readonly #mostBytes: number;
  /** Written since the size was last looked at. */
  #written = 0;
  #lost = 0;

  constructor(path: string, fd: number, mostBytes = logBytes) {
    this.#path = path;
    this.#fd = fd;
    this.#mostBytes = mostBytes;
    this.#rotateIfLarge();
  }

  /** `path` as the log of this process, where its standard error goes there; undefined where it goes elsewhere. */
  static ofStderr(path: string): LogFile | undefined {
    const there = statSync(path, { throwIfNoEntry: false });
    const own = fstatSync(2);
    return there && there.ino === own.ino && there.dev === own.dev ? new LogFile(path, 2) : undefined;
  }

  /** Never throws: what a full disk does not take is counted, and told once there is room again. */
  write(line: string): void {
    const lost = this.#lost === 0 ? '' : `${new Date().toISOString()} warn log: ${this.#lost} lines were lost\n`;
    const bytes = Buffer.from(lost + line);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
      this.#lost = 0;
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#lost++;
      return;
    }
    this.#written += bytes.length;
    if (this.#written >= this.#mostBytes / 16) this.#rotateIfLarge();
  }

  #rotateIfLarge(): void {
    this.#written = 0;
    try {
      if (fstatSync(this.#fd).size >= this.#mostBytes) this.#rotate();
    } catch (error) {
      // It is tried again; a disk without room for the copy has none for a longer log either.
      if (!isErrno(error)) throw error;
    }
  }

  #rotate(): void {
    const copy = `${this.#path}.1`;
    const fresh = `${copy}.new`;
    try {
      copyFileSync(this.#path, fresh, constants.COPYFILE_FICLONE);
      // What another process wrote meanwhile.
      copyRest(this.#path, fresh);
      ftruncateSync(this.#fd, 0);
      renameSync(fresh, copy);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw error;
    }
  }
}

/** Appends to `to` what `from` has beyond its length. */
function copyRest(from: string, to: string): void {
  const source = openSync(from, 'r');
  const target = openSync(to, 'a', 0o600);
  try {
    const chunk = Buffer.alloc(copyBytes);
    for (let at = fstatSync(target).size; ; ) {
      const count = readSync(source, chunk, 0, chunk.length, at);
      if (count === 0) return;
      for (let written = 0; written < count; ) written += writeSync(target, chunk, written, count - written);
      at += count;
    }
  } finally {
    closeSync(source);
    closeSync(target);
  }
}
