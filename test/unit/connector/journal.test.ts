import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Entry } from '../../../daemon/connector/core/messages.ts';
import { Journal } from '../../../daemon/connector/journal.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function journal(): Promise<{ journal: Journal; folder: string; path: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'niia-journal-'));
  folders.push(folder);
  return { journal: await Journal.open(folder), folder, path: join(folder, 'journal.ndjson') };
}

const entry = (term: number, note: string): Entry => ({ term, record: { kind: 'note', at: 'now', note } });
const entries = ['one', 'two\nlines', 'drei ü', 'four'].map((note) => entry(1, note));
const ballot = { term: 1, vote: 'me' };

describe('the journal of a run', () => {
  test('is what was saved, also for the next one who opens it', async () => {
    const { journal: first, folder } = await journal();
    expect(first.saved).toEqual({ term: 0, vote: null, log: [] });
    await first.save({ ballot, log: { from: 1, entries: entries.slice(0, 2) } });
    await first.save({ log: { from: 3, entries: entries.slice(2) } });
    expect(first.saved).toEqual({ ...ballot, log: entries });
    expect((await Journal.open(folder)).saved).toEqual({ ...ballot, log: entries });
  });

  test('is replaced from where another leader had it otherwise', async () => {
    const { journal: first, folder } = await journal();
    await first.save({ ballot, log: { from: 1, entries } });
    await first.save({ log: { from: 2, entries: [entry(2, 'other')] } });
    expect((await Journal.open(folder)).saved.log).toEqual([entries[0], entry(2, 'other')]);
  });

  test('loses nothing but a last line that was cut off, wherever that was, and goes on behind it', async () => {
    const { journal: first, folder, path } = await journal();
    await first.save({ ballot, log: { from: 1, entries } });
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length++) {
      truncateSync(path, length);
      const lines = whole.subarray(0, length).filter((byte) => byte === 0x0a).length;
      const torn = await Journal.open(folder);
      expect([length, torn.saved.log]).toEqual([length, entries.slice(0, lines)]);
      if (length % 17 === 0) {
        await torn.save({ log: { from: lines + 1, entries: [entry(1, 'after')] } });
        expect((await Journal.open(folder)).saved.log).toEqual([...entries.slice(0, lines), entry(1, 'after')]);
      }
      writeFileSync(path, whole);
    }
  });

  test('with a changed line in its middle is an error, and stays as it is', async () => {
    const { journal: first, folder, path } = await journal();
    await first.save({ ballot, log: { from: 1, entries } });
    const broken = readFileSync(path, 'utf8').replace('lines', 'liars');
    writeFileSync(path, broken);
    await expect(Journal.open(folder)).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringContaining('line 2'),
    });
    expect(readFileSync(path, 'utf8')).toBe(broken);
  });

  test('whose save failed is read again as it is on disk', async () => {
    const { journal: first, folder, path } = await journal();
    await first.save({ ballot, log: { from: 1, entries: entries.slice(0, 2) } });
    // As a full disk leaves it: part of a line that was never promised.
    appendFileSync(path, 'deadbeefdeadbeef {"term":1,"rec');
    await first.reload();
    expect(first.saved.log).toEqual(entries.slice(0, 2));
    await first.save({ log: { from: 3, entries: entries.slice(2) } });
    expect((await Journal.open(folder)).saved.log).toEqual(entries);
  });

  test('of which the ballot is gone is an error: it might vote twice', async () => {
    const { journal: first, folder } = await journal();
    await first.save({ ballot, log: { from: 1, entries } });
    rmSync(join(folder, 'ballot.json'));
    const again = await Journal.open(folder);
    expect(() => again.saved).toThrow(/ballot\.json is damaged/);
  });
});
