import { readdirSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LogFiles } from '../../../daemon/headless/log-files.ts';
import { diskFiles } from '../../../daemon/headless/log-files.ts';
import { OutputLog } from '../../../daemon/headless/output-log.ts';
import { temporaryFolder } from './support.ts';

/** A disk that takes at most `room` bytes in all its files, and nothing at all while it is broken. */
class SmallDisk implements LogFiles {
  room: number;
  broken: string | undefined;
  failures = 0;
  readonly #sizes = new Map<string, number>();

  constructor(room = Number.POSITIVE_INFINITY) {
    this.room = room;
  }

  get used(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  async open(path: string) {
    const file = await diskFiles.open(path);
    return {
      ...file,
      write: async (bytes: readonly Uint8Array[], position: number) => {
        if (this.broken) throw this.#fail(this.broken);
        const whole = Buffer.concat(bytes);
        const free = this.room - this.used + Math.max(0, (this.#sizes.get(path) ?? 0) - position);
        if (free <= 0) throw this.#fail('ENOSPC');
        const written = await file.write([whole.subarray(0, free)], position);
        this.#sizes.set(path, position + written);
        return written;
      },
    };
  }
  openToRead = diskFiles.openToRead;
  list = diskFiles.list;
  async remove(path: string) {
    this.#sizes.delete(path);
    await diskFiles.remove(path);
  }

  #fail(code: string): Error {
    this.failures++;
    return Object.assign(new Error(`${code}: the test disk refuses`), { code, errno: -28 });
  }
}

async function readAll(log: OutputLog, from = log.firstOffset): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let offset = from;
  while (offset < log.end) {
    const { from: at, bytes } = await log.read(offset, 30_000);
    expect(at).toBe(offset);
    parts.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat(parts);
}

function pattern(from: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  for (let i = 0; i < count; i++) bytes[i] = (from + i) * 31 + ((from + i) >> 8);
  return bytes;
}

const until = async (log: OutputLog, condition: () => boolean) => {
  while (!condition()) {
    await new Promise<void>((resolve) => {
      log.onChange = resolve;
    });
  }
};

describe('an output log', () => {
  test('gives any reader the bytes from any offset, wherever they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 30 }),
        fc.nat(),
        async (sizes, seed) => {
          const log = new OutputLog({ folder: temporaryFolder(), windowBytes: 20_000, capBytes: 1 << 20 });
          for (const [i, size] of sizes.entries()) {
            log.append(pattern(log.end, size));
            if (i % 3 === seed % 3) await new Promise((resolve) => setImmediate(resolve));
          }
          const from = log.end === 0 ? 0 : log.firstOffset + (seed % (log.end - log.firstOffset + 1));
          expect((await readAll(log, from)).equals(pattern(from, log.end - from))).toBe(true);
          await log.close();
          expect(log.peek(log.firstOffset, 1)).toBeUndefined();
          expect((await readAll(log)).equals(pattern(log.firstOffset, log.end - log.firstOffset))).toBe(true);
        },
      ),
      { numRuns: 15 },
    );
  });

  test('drops whole files from its beginning at the cap, and shows it', async () => {
    const folder = temporaryFolder();
    const log = new OutputLog({ folder, capBytes: 80_000, windowBytes: 4096 });
    for (let i = 0; i < 50; i++) log.append(pattern(log.end, 5000));
    await log.close();
    expect(log.end).toBe(250_000);
    expect(log.firstOffset).toBeGreaterThanOrEqual(250_000 - 80_000);
    expect(log.firstOffset).toBeLessThan(250_000 - 60_000);
    expect((await readAll(log)).equals(pattern(log.firstOffset, log.end - log.firstOffset))).toBe(true);
    expect(await log.read(0, 10)).toEqual({
      from: log.firstOffset,
      bytes: new Uint8Array(pattern(log.firstOffset, 10)),
    });
    const again = await OutputLog.load({ folder });
    expect([again.firstOffset, again.end]).toEqual([log.firstOffset, log.end]);
    expect((await readAll(again)).equals(pattern(log.firstOffset, log.end - log.firstOffset))).toBe(true);
  });

  test('keeps no more in memory than its window once the disk has it', async () => {
    const log = new OutputLog({ folder: temporaryFolder(), windowBytes: 50_000 });
    log.append(pattern(0, 1_000_000));
    await until(log, () => log.backlog === 0);
    expect(log.peek(900_000, 1)).toBeUndefined();
    expect(log.peek(960_000, 1)).toBeDefined();
    await log.close();
  });

  test('does not share what it shows with what comes later', async () => {
    const log = new OutputLog({ folder: temporaryFolder() });
    log.append(Buffer.from('abc'));
    const seen = log.peek(0, 100);
    log.append(Buffer.from('def'));
    expect(Buffer.from(seen!).toString()).toBe('abc');
    await log.close();
  });
});

describe('a full disk', () => {
  test('costs the log its own oldest files first, and nothing of what is new', async () => {
    const disk = new SmallDisk(100_000);
    const log = new OutputLog({
      folder: temporaryFolder(),
      files: disk,
      capBytes: 400_000,
      windowBytes: 1024,
      retryMs: 1,
    });
    for (let i = 0; i < 60; i++) {
      log.append(pattern(log.end, 5000));
      await until(log, () => log.end - 5000 <= log.end - log.backlog);
    }
    await until(log, () => log.logError === null && log.backlog === 0);
    expect(log.firstOffset).toBeGreaterThan(0);
    expect(log.end - log.firstOffset).toBeGreaterThan(40_000);
    expect((await readAll(log)).equals(pattern(log.firstOffset, log.end - log.firstOffset))).toBe(true);
    await log.close();
  });

  test('that takes nothing leaves a bounded part in memory, says why, and ends by itself', async () => {
    const disk = new SmallDisk();
    const folder = temporaryFolder();
    const log = new OutputLog({ folder, files: disk, windowBytes: 1024, memoryBytes: 100_000, retryMs: 1 });
    log.append(pattern(0, 30_000));
    await until(log, () => log.backlog === 0);
    disk.broken = 'ENOSPC';
    log.append(pattern(log.end, 50_000));
    await until(log, () => log.logError !== null);
    expect(log.logError).toContain('ENOSPC');
    // What is on disk and in memory is still one log.
    expect(log.firstOffset).toBe(0);
    expect((await readAll(log)).equals(pattern(0, 80_000))).toBe(true);
    for (let i = 0; i < 100; i++) log.append(pattern(log.end, 10_000));
    // Whole blocks of 16 KiB go.
    expect(log.end - log.firstOffset).toBeLessThanOrEqual(100_000 + (16 << 10));
    expect(log.end - log.firstOffset).toBeGreaterThan(80_000);
    expect((await readAll(log)).equals(pattern(log.firstOffset, log.end - log.firstOffset))).toBe(true);
    disk.broken = undefined;
    await until(log, () => log.logError === null && log.backlog === 0);
    const first = log.firstOffset;
    expect(readdirSync(folder)).toEqual([`output-${String(first).padStart(15, '0')}.log`]);
    log.append(pattern(log.end, 5000));
    await log.close();
    expect((await readAll(log, first)).equals(pattern(first, log.end - first))).toBe(true);
  });

  test('keeps what could not be written readable after the close', async () => {
    const disk = new SmallDisk();
    disk.broken = 'EIO';
    const log = new OutputLog({ folder: temporaryFolder(), files: disk, retryMs: 1 });
    log.append(pattern(0, 5000));
    await until(log, () => log.logError !== null);
    await log.close();
    expect((await readAll(log)).equals(pattern(0, 5000))).toBe(true);
  });
});
