import { join } from 'node:path';
import { isErrno } from '../home/files.ts';
import type { LogFile, LogFiles } from './log-files.ts';

interface Segment {
  path: string;
  start: number;
  size: number;
}

const nameOf = (start: number) => `output-${String(start).padStart(15, '0')}.log`;
const namePattern = /^output-(\d{15})\.log$/;

/**
 * The part of a log that is on disk: files named by the offset of their first byte, each following the one before. The
 * oldest go as a whole, when the cap is reached or the disk is full.
 */
export class LogSegments {
  readonly #folder: string;
  readonly #files: LogFiles;
  readonly #capBytes: number;
  /** How large a file becomes before the next one starts. */
  readonly segmentBytes: number;
  #segments: Segment[] = [];
  #writing: LogFile | undefined;

  constructor(folder: string, files: LogFiles, capBytes: number) {
    this.#folder = folder;
    this.#files = files;
    this.#capBytes = capBytes;
    this.segmentBytes = Math.max(1, Math.floor(capBytes / 8));
  }

  /** Offset of the oldest byte on disk; undefined when there is none. */
  get start(): number | undefined {
    return this.#segments[0]?.start;
  }

  /** Finds what an earlier process wrote; returns the log's end. A hole leaves what comes after it. */
  async load(): Promise<number> {
    const found: Segment[] = [];
    for (const { name, size } of await this.#files.list(this.#folder)) {
      const start = namePattern.exec(name)?.[1];
      if (start !== undefined) found.push({ path: join(this.#folder, name), start: Number(start), size });
    }
    found.sort((a, b) => a.start - b.start);
    for (const segment of found) {
      const last = this.#segments.at(-1);
      if (last && last.start + last.size !== segment.start) await this.dropAll();
      this.#segments.push(segment);
    }
    const last = this.#segments.at(-1);
    return last ? last.start + last.size : 0;
  }

  /** Writes some of `bytes` at `offset`, the end of what is on disk; returns how many. */
  async append(offset: number, bytes: readonly Uint8Array[]): Promise<number> {
    let last = this.#segments.at(-1);
    if (!last || !this.#writing || last.size >= this.segmentBytes) {
      await this.close();
      if (last?.size === 0) this.#segments.pop();
      last = { path: join(this.#folder, nameOf(offset)), start: offset, size: 0 };
      this.#writing = await this.#files.open(last.path);
      this.#segments.push(last);
    }
    const written = await this.#writing.write(bytes, last.size);
    last.size += written;
    while (this.#total() > this.#capBytes && this.#segments.length > 1) await this.dropOldest();
    return written;
  }

  /** Gives up the oldest file, never the one being written; false when there is no other. */
  async dropOldest(): Promise<boolean> {
    if (this.#segments.length < 2) return false;
    const oldest = this.#segments.shift();
    if (oldest) await this.#files.remove(oldest.path);
    return true;
  }

  async dropAll(): Promise<void> {
    await this.close();
    for (const segment of this.#segments.splice(0)) await this.#files.remove(segment.path);
  }

  /** Reads from `offset`; undefined where no file has it (any more). */
  async read(offset: number, most: number): Promise<Uint8Array | undefined> {
    const segment = this.#segments.findLast((one) => one.start <= offset);
    if (!segment || offset >= segment.start + segment.size) return undefined;
    let file: LogFile;
    try {
      file = await this.#files.openToRead(segment.path);
    } catch (error) {
      // Dropped in the meantime.
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
    try {
      const bytes = new Uint8Array(Math.min(most, segment.start + segment.size - offset));
      const count = await file.read(bytes, offset - segment.start);
      return count > 0 ? bytes.subarray(0, count) : undefined;
    } finally {
      await file.close();
    }
  }

  /** Closes the file being written; what follows goes to a new one. */
  async close(): Promise<void> {
    const writing = this.#writing;
    this.#writing = undefined;
    await writing?.close();
  }

  #total(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.size, 0);
  }
}
