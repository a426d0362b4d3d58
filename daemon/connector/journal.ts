import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno, readIfThere, writeAtomically } from '../home/files.ts';
import { parseJson } from '../home/json-file.ts';
import type { Entry } from './core/messages.ts';
import { ballotSchema, entrySchema } from './core/messages.ts';
import type { Save, SavedReplica } from './core/replica.ts';

const sumLength = 16;

/**
 * A voter's journal of one run: `journal.ndjson`, an entry a line with the first 16 hex digits of its SHA-256 before it,
 * and `ballot.json`. What is saved is on disk when that resolves. A last line that was cut off was never promised to
 * anybody and is dropped; a line in the middle that is not as it was written is an error, and the file stays.
 */
export class Journal {
  readonly #folder: string;
  #log: Entry[] = [];
  /** Where each entry's line begins in the file, and where the last ends. */
  #offsets: number[] = [0];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Journal> {
    const journal = new Journal(folder);
    await journal.reload();
    return journal;
  }

  get saved(): SavedReplica {
    const parsed = v.safeParse(ballotSchema, parseJson(readIfThere(this.#ballotPath) ?? 'null'));
    if (!parsed.success && this.#log.length > 0) throw this.#damaged(this.#ballotPath, 'it cannot be understood');
    return { ...(parsed.success ? parsed.output : { term: 0, vote: null }), log: [...this.#log] };
  }

  /** Reads it again: after a save failed, what is there is what counts. */
  async reload(): Promise<void> {
    this.#log = [];
    this.#offsets = [0];
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#path);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return;
      throw error;
    }
    for (let start = 0; start < bytes.length; ) {
      const end = bytes.indexOf(0x0a, start);
      const entry = end < 0 ? undefined : entryOf(bytes.subarray(start, end));
      if (!entry) {
        const isLast = end < 0 || end === bytes.length - 1;
        if (isLast) return;
        throw this.#damaged(this.#path, `its line ${this.#log.length + 1} is not as it was written`);
      }
      this.#log.push(entry);
      this.#offsets.push(end + 1);
      start = end + 1;
    }
  }

  async save({ ballot, log }: Save): Promise<void> {
    if (ballot) writeAtomically(this.#ballotPath, `${JSON.stringify(ballot)}\n`);
    if (log) await this.#replaceFrom(log.from, log.entries);
  }

  /** The entries from index `from` (the first is 1) to the end are these now. */
  async #replaceFrom(from: number, entries: readonly Entry[]): Promise<void> {
    const offset = this.#offsets[from - 1];
    if (offset === undefined) throw new NiiaError('internal', 'an entry of a journal would leave a gap before it');
    const lines = entries.map(lineOf);
    const file = await this.#openToWrite();
    try {
      // Whatever stands behind is cut off: also what a write that failed left there.
      await file.truncate(offset);
      const bytes = Buffer.concat(lines);
      for (let at = 0; at < bytes.length; ) {
        at += (await file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
      }
      await file.datasync();
    } finally {
      await file.close();
    }
    this.#log = [...this.#log.slice(0, from - 1), ...entries];
    this.#offsets.length = from;
    let end = offset;
    for (const line of lines) {
      end += line.length;
      this.#offsets.push(end);
    }
  }

  async #openToWrite(): Promise<FileHandle> {
    try {
      return await open(this.#path, 'r+');
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      const file = await open(this.#path, 'wx+', 0o600);
      // The name has to be on disk as well as what it names.
      const folder = await open(this.#folder);
      await folder.sync().finally(() => folder.close());
      return file;
    }
  }

  get #path(): string {
    return join(this.#folder, 'journal.ndjson');
  }

  get #ballotPath(): string {
    return join(this.#folder, 'ballot.json');
  }

  #damaged(path: string, why: string): NiiaError {
    return new NiiaError(
      'failed',
      `the journal ${path} is damaged: ${why}`,
      'It is left as it is; the run does not go on here.',
    );
  }
}

function lineOf(entry: Entry): Buffer {
  const json = JSON.stringify(entry);
  return Buffer.from(`${sumOf(Buffer.from(json))} ${json}\n`);
}

function entryOf(line: Buffer): Entry | undefined {
  const json = line.subarray(sumLength + 1);
  if (line.toString('latin1', 0, sumLength + 1) !== `${sumOf(json)} `) return undefined;
  const parsed = v.safeParse(entrySchema, parseJson(json.toString()));
  return parsed.success ? parsed.output : undefined;
}

function sumOf(json: Uint8Array): string {
  return createHash('sha256').update(json).digest('hex').slice(0, sumLength);
}
