import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Entry } from '../../../daemon/connector/core/messages.ts';
import { Journal } from '../../../daemon/connector/journal.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-journal-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = () => join(folder, 'journal.ndjson');
const entry = (term: number, n: number): Entry => ({
  term,
  record: { kind: 'test', at: '2026-01-01T00:00:00.000Z', n, text: 'täxt\n' },
});
const entries = (term: number, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(term, from + i));

async function load(): Promise<{ log: Entry[]; term: number; vote: string | null; dropped: number }> {
  const { journal, saved, dropped } = await Journal.open(folder);
  await journal.close();
  return { ...saved, dropped };
}

async function write(...saves: Parameters<Journal['save']>[0][]): Promise<void> {
  const { journal } = await Journal.open(folder);
  await Promise.all(saves.map((save) => journal.save(save)));
  await journal.close();
}

test('is empty at first', async () => {
  expect(await load()).toEqual({ term: 0, vote: null, log: [], dropped: 0 });
});

test('gives back what was saved, in the order of the saves', async () => {
  await write(
    { ballot: { term: 1, vote: 'a' }, log: { from: 1, entries: entries(1, 1, 2) } },
    { log: { from: 3, entries: entries(1, 3, 3) } },
    { ballot: { term: 2, vote: null } },
  );
  expect(await load()).toEqual({ term: 2, vote: null, log: entries(1, 1, 3), dropped: 0 });
});

test('replaces its end where another leader had other entries', async () => {
  await write({ log: { from: 1, entries: entries(1, 1, 5) } }, { log: { from: 3, entries: entries(2, 3, 3) } });
  expect((await load()).log).toEqual([...entries(1, 1, 2), ...entries(2, 3, 3)]);
  await write({ log: { from: 4, entries: entries(2, 4, 4) } });
  expect((await load()).log).toEqual([...entries(1, 1, 2), ...entries(2, 3, 4)]);
});

describe('after a crash', () => {
  test('has every entry that was written whole, wherever the write broke off', async () => {
    await write({ log: { from: 1, entries: entries(1, 1, 1) } }, { log: { from: 2, entries: entries(1, 2, 2) } });
    const whole = readFileSync(file());
    const ends = [...whole].flatMap((byte, i) => (byte === 10 ? [i + 1] : []));
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(file(), whole.subarray(0, length));
      const count = ends.filter((end) => end <= length).length;
      const { log, dropped } = await load();
      expect(log).toEqual(entries(1, 1, count));
      expect(dropped).toBe(length - (ends[count - 1] ?? 0));
      expect(readFileSync(file()).length).toBe(length - dropped);
    }
  });

  test('drops a write of which a page is missing in the middle', async () => {
    await write({ log: { from: 1, entries: entries(1, 1, 1) } }, { log: { from: 2, entries: entries(1, 2, 5) } });
    const bytes = readFileSync(file());
    const lines = bytes.toString().split('\n');
    const start = Buffer.byteLength(`${lines.slice(0, 2).join('\n')}\n`);
    bytes.fill(0, start, start + 40);
    writeFileSync(file(), bytes);
    expect((await load()).log).toEqual(entries(1, 1, 2));
    await write({ log: { from: 3, entries: entries(1, 3, 3) } });
    expect((await load()).log).toEqual(entries(1, 1, 3));
  });
});

describe('refuses, and leaves as it is,', () => {
  test.each([
    ['a changed byte', (bytes: Buffer) => bytes.writeUInt8((bytes[60] ?? 0) ^ 1, 60)],
    ['a missing line', (bytes: Buffer) => bytes.copy(bytes, 0, bytes.indexOf(10) + 1)],
  ])('a journal with %s that later writes follow', async (_, damage) => {
    await write({ log: { from: 1, entries: entries(1, 1, 1) } }, { log: { from: 2, entries: entries(1, 2, 2) } });
    const bytes = readFileSync(file());
    damage(bytes);
    writeFileSync(file(), bytes);
    await expect(Journal.open(folder)).rejects.toMatchObject({ code: 'failed', message: /is damaged: line 1/ });
    expect(readFileSync(file())).toEqual(bytes);
  });

  test('a damaged ballot', async () => {
    writeFileSync(join(folder, 'ballot.json'), '{"term":');
    await expect(Journal.open(folder)).rejects.toMatchObject({ code: 'failed', message: /ballot.json is damaged/ });
  });
});

describe('on a disk that is full', () => {
  /** Opens files that hold `room` bytes. */
  const limited = (room: number): typeof open => {
    return async (...args) => {
      const handle = await open(...args);
      const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<{ bytesWritten: number }>;
      const full = (bytes: Buffer, offset: number, length: number, position: number) => {
        const most = Math.min(length, room - position);
        if (most > 0) return write(bytes, offset, most, position);
        const error = Object.assign(new Error('ENOSPC: no space left on device'), { errno: -28, code: 'ENOSPC' });
        return Promise.reject(error);
      };
      return Object.assign(handle, { write: full });
    };
  };

  test('rejects the save and all after it, and has what it had', async () => {
    await write({ log: { from: 1, entries: entries(1, 1, 2) } });
    const room = readFileSync(file()).length + 30;
    const { journal } = await Journal.open(folder, { openFile: limited(room) });
    await expect(journal.save({ log: { from: 3, entries: entries(1, 3, 3) } })).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    await expect(journal.save({ ballot: { term: 9, vote: 'a' } })).rejects.toMatchObject({ code: 'ENOSPC' });
    await journal.close();
    expect(await load()).toEqual({ term: 0, vote: null, log: entries(1, 1, 2), dropped: 0 });
  });
});
