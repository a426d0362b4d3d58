import { isErrno } from '../home/files.ts';
import type { LogFiles } from './log-files.ts';
import { diskFiles } from './log-files.ts';
import { LogMemory } from './log-memory.ts';
import { LogSegments } from './log-segments.ts';

export interface OutputLogOptions {
  /** Where its files are; exists. */
  folder: string;
  files?: LogFiles;
  /** Most that it keeps on disk. */
  capBytes?: number;
  /** Most that it keeps in memory of what is on disk as well. */
  windowBytes?: number;
  /** Most that it keeps in memory while the disk takes nothing. */
  memoryBytes?: number;
  /** First pause after a failed write; doubles up to twenty times as much. */
  retryMs?: number;
}

/** Small output waits this long for company before it is written. */
const batchMs = 20;
const largestWrite = 256 << 10;

/**
 * Everything that a session wrote, addressed by byte offset. Appending is synchronous and never fails: bytes are in
 * memory at once and on disk soon after, in order. What it no longer has shows as `firstOffset`.
 */
export class OutputLog {
  readonly #segments: LogSegments;
  readonly #windowBytes: number;
  readonly #memoryBytes: number;
  readonly #retryMs: number;
  readonly #memory: LogMemory;
  /** Bytes below are on disk, or dropped. */
  #durable: number;
  /** What is on disk no longer joins what is in memory, and is to be removed before anything is written. */
  #diskGivenUp = false;
  #keptFrom = Number.POSITIVE_INFINITY;
  #error: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #stopRetrying = false;
  #wakeRetry: (() => void) | undefined;
  /** Told when the log degrades, recovers, or its backlog shrinks. */
  onChange: (() => void) | undefined;

  constructor(options: OutputLogOptions, end = 0, segments?: LogSegments) {
    this.#segments = segments ?? OutputLog.#segmentsFor(options);
    this.#windowBytes = options.windowBytes ?? 256 << 10;
    this.#memoryBytes = options.memoryBytes ?? 8 << 20;
    this.#retryMs = options.retryMs ?? 250;
    this.#memory = new LogMemory(end);
    this.#durable = end;
  }

  /** The log that an earlier process left in the folder. */
  static async load(options: OutputLogOptions): Promise<OutputLog> {
    const segments = OutputLog.#segmentsFor(options);
    return new OutputLog(options, await segments.load(), segments);
  }

  static #segmentsFor(options: OutputLogOptions): LogSegments {
    return new LogSegments(options.folder, options.files ?? diskFiles, options.capBytes ?? 64 << 20);
  }

  /** Offset of the next byte. */
  get end(): number {
    return this.#memory.end;
  }

  /** Offset of the oldest byte that it still has. */
  get firstOffset(): number {
    const onDisk = this.#diskGivenUp ? undefined : this.#segments.start;
    return onDisk === undefined ? this.#memory.start : Math.min(onDisk, this.#memory.start);
  }

  /** Why bytes are kept from the disk; null while none are. */
  get logError(): string | null {
    return this.#error;
  }

  /** Bytes that a working disk has yet to take: a reason to slow the writer down. 0 while the disk does not work. */
  get backlog(): number {
    return this.#error === null ? this.end - this.#durable : 0;
  }

  append(bytes: Uint8Array): void {
    this.#memory.append(bytes);
    if (this.#error !== null) this.#giveUpOldest();
    if (this.#writing) return;
    if (this.end - this.#durable >= largestWrite) this.#startWriting();
    else this.#timer ??= setTimeout(() => this.#startWriting(), batchMs);
  }

  /** Bytes from `offset` on stay in memory beyond its window: somebody is about to read them. */
  keepFrom(offset: number): void {
    this.#keptFrom = offset;
    this.#trim();
  }

  /** Bytes from `offset` that are at hand, at most `most`: a view, never to be changed. Undefined where the disk has them. */
  peek(offset: number, most: number): Uint8Array | undefined {
    return this.#memory.peek(offset, most);
  }

  /**
   * Bytes from `offset`, at most `most`, none at the end. Where they were dropped, `from` is the oldest offset there is
   * and the bytes are those that follow it. Rejects when the disk cannot be read.
   */
  async read(offset: number, most: number): Promise<{ from: number; bytes: Uint8Array }> {
    let from = offset;
    for (;;) {
      from = Math.max(from, this.firstOffset);
      if (from >= this.end) return { from, bytes: new Uint8Array(0) };
      const bytes =
        this.#memory.peek(from, most) ?? (this.#diskGivenUp ? undefined : await this.#segments.read(from, most));
      if (bytes) return { from, bytes };
      // The file went between the look and the read: what is first has moved. If it has not, the file was cut short.
      if (from >= this.firstOffset && this.#memory.peek(from, 1) === undefined) from = this.#memory.start;
    }
  }

  /** Writes what is in memory, closes the file and leaves the rest to `read`. What the disk refuses stays in memory. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stopRetrying = true;
    this.#wakeRetry?.();
    await this.#writing;
    if (this.#durable < this.end) {
      this.#startWriting();
      await this.#writing;
    }
    if (this.#durable === this.end) this.#memory.clear();
    await this.#segments.close();
  }

  #startWriting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
      // Output that came after the last look.
      if (this.#durable < this.end && !this.#stopRetrying)
        this.#timer ??= setTimeout(() => this.#startWriting(), batchMs);
    });
  }

  async #writeAll(): Promise<void> {
    let pause = this.#retryMs;
    while (this.#durable < this.end) {
      const offset = this.#durable;
      try {
        if (this.#diskGivenUp) {
          await this.#segments.dropAll();
          this.#diskGivenUp = false;
          continue;
        }
        const written = await this.#segments.append(offset, this.#pending(offset));
        if (written === 0) throw new Error('the disk took nothing');
        // Meanwhile the memory may have moved past these bytes.
        if (this.#diskGivenUp) continue;
        this.#durable = offset + written;
        pause = this.#retryMs;
        this.#trim();
        if (this.#error !== null) this.#error = null;
        this.onChange?.();
        // What is less than a whole write waits for company again, and is not written chunk by chunk.
        if (!this.#stopRetrying && this.end - this.#durable < largestWrite) return;
      } catch (error) {
        if (await this.#makeRoom(error)) continue;
        if (this.#stopRetrying) return;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pause);
          this.#wakeRetry = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        pause = Math.min(pause * 2, this.#retryMs * 20);
        if (this.#stopRetrying) return;
      }
    }
  }

  #trim(): void {
    this.#memory.dropBelow(Math.min(this.#durable, this.end - this.#windowBytes, this.#keptFrom));
  }

  /** Notes why writing failed; on a full disk gives up the oldest of its own files. True when it is worth trying again at once. */
  async #makeRoom(error: unknown): Promise<boolean> {
    this.#error = error instanceof Error ? error.message : String(error);
    this.#giveUpOldest();
    this.onChange?.();
    try {
      if (isErrno(error, 'ENOSPC', 'EDQUOT')) return await this.#segments.dropOldest();
    } catch (removal) {
      this.#error = removal instanceof Error ? removal.message : String(removal);
    }
    return false;
  }

  /** Bounds what waits in memory for a disk that takes nothing. What is on disk would leave a hole and is given up too. */
  #giveUpOldest(): void {
    if (this.end - this.#durable <= this.#memoryBytes) return;
    this.#memory.dropBelow(this.end - this.#memoryBytes);
    if (this.#memory.start <= this.#durable) return;
    this.#durable = this.#memory.start;
    this.#diskGivenUp = true;
  }

  #pending(offset: number): Uint8Array[] {
    const most = Math.min(largestWrite, this.#segments.segmentBytes);
    const parts: Uint8Array[] = [];
    let at = offset;
    while (at < this.end && at - offset < most) {
      const part = this.#memory.peek(at, most - (at - offset));
      if (!part) break;
      parts.push(part);
      at += part.length;
    }
    return parts;
  }
}
