import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno, readIfThere, writeAtomically } from '../home/files.ts';
import { parseJsonAs } from '../home/json-file.ts';
import { ballotSchema, type Entry, entrySchema } from './core/messages.ts';
import type { Save, SavedReplica } from './core/replica.ts';

/** A line of the journal, behind its checksum. `batch`: index of the first entry that was written together with it. */
const lineSchema = v.object({ index: v.number(), batch: v.number(), ...entrySchema.entries });
type Line = v.InferOutput<typeof lineSchema>;

const sumStart = '{"sum":"';
const sumDigits = 16;
const headLength = sumStart.length + sumDigits + '",'.length;

export interface JournalOptions {
  /** How files are opened: a test's way to a disk that fails. */
  openFile?: typeof open;
}

/** What was there. `dropped`: bytes of a write that a crash had cut short; nothing had been promised of them. */
export interface OpenedJournal {
  journal: Journal;
  saved: SavedReplica;
  dropped: number;
}

/**
 * A run's journal on disk, at one of its voters: `journal.ndjson`, a checksummed JSON line an entry, and `ballot.json`.
 * What `save` was resolved for is there after a crash. After a save that failed nothing more is saved: the journal, and
 * the replica that goes with it, are to be opened anew.
 */
export class Journal {
  readonly #folder: string;
  readonly #file: FileHandle;
  /** Where each entry ends in the file; the one at index i is at i - 1. */
  readonly #ends: number[];
  #last: Promise<void> = Promise.resolve();
  #failure: unknown;

  private constructor(folder: string, file: FileHandle, ends: number[]) {
    this.#folder = folder;
    this.#file = file;
    this.#ends = ends;
  }

  /** Errors: `failed` where what is there was damaged by something else than a crash; it is left as it is. */
  static async open(folder: string, { openFile = open }: JournalOptions = {}): Promise<OpenedJournal> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, 'journal.ndjson');
    const ballot = readBallot(folder);
    const file = await openFile(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      const bytes = await file.readFile();
      const { log, ends } = readEntries(bytes, path);
      const length = ends.at(-1) ?? 0;
      if (length < bytes.length) await file.truncate(length);
      // Also what an earlier process wrote and did not see to the disk: from now on it is built upon.
      await file.sync();
      await syncFolder(folder);
      const journal = new Journal(folder, file, ends);
      return { journal, saved: { ...ballot, log }, dropped: bytes.length - length };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Resolves once it is on the disk. Saves are carried out one after the other. */
  save(save: Save): Promise<void> {
    const saved = this.#last.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      try {
        if (save.ballot) await this.#saveBallot(save.ballot);
        if (save.log) await this.#saveLog(save.log);
      } catch (error) {
        this.#failure = error;
        throw error;
      }
    });
    this.#last = saved.catch(() => undefined);
    return saved;
  }

  /** After the saves that are under way. */
  async close(): Promise<void> {
    await this.#last;
    this.#failure ??= new NiiaError('internal', 'the journal was closed');
    await this.#file.close();
  }

  async #saveBallot(ballot: NonNullable<Save['ballot']>): Promise<void> {
    writeAtomically(join(this.#folder, 'ballot.json'), JSON.stringify(ballot));
    await syncFolder(this.#folder);
  }

  async #saveLog({ from, entries }: NonNullable<Save['log']>): Promise<void> {
    const before = this.#ends.at(-1) ?? 0;
    const start = from > 1 ? this.#ends[from - 2] : 0;
    if (start === undefined)
      throw new NiiaError('internal', `entry ${from} would leave a gap behind ${this.#ends.length}`);
    const lines = entries.map((entry, i) => Buffer.from(lineOf({ index: from + i, batch: from, ...entry })));
    try {
      if (start < before) await this.#file.truncate(start);
      await this.#write(Buffer.concat(lines), start);
      await this.#file.sync();
    } catch (error) {
      // What may have come to the disk was not promised; where it cannot be taken back, opening it again sorts it out.
      await this.#file.truncate(start).catch(() => undefined);
      throw error;
    }
    this.#ends.length = from - 1;
    let end = start;
    for (const { length } of lines) {
      end += length;
      this.#ends.push(end);
    }
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    }
  }
}

function lineOf(line: Line): string {
  const text = JSON.stringify(line).slice(1);
  return `${sumStart}${sumOf(text)}",${text}\n`;
}

function sumOf(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex').slice(0, sumDigits);
}

/** The entry of this line, without its newline; undefined where it is none, or not whole. */
function readLine(bytes: Uint8Array): Line | undefined {
  const head = Buffer.from(bytes.subarray(0, headLength)).toString('latin1');
  const rest = bytes.subarray(headLength);
  if (head !== `${sumStart}${sumOf(rest)}",`) return undefined;
  return parseJsonAs(`{${Buffer.from(rest).toString()}`, lineSchema);
}

/**
 * The entries from the start on, and where each ends. The first line that is not whole ends them, if it belongs to the
 * write that a crash cut short: then no later write follows. Else the file was damaged, and nobody can say what is lost.
 */
function readEntries(bytes: Uint8Array, path: string): { log: Entry[]; ends: number[] } {
  const log: Entry[] = [];
  const ends: number[] = [];
  let torn = false;
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(10, start);
    if (newline < 0) break;
    const line = readLine(bytes.subarray(start, newline));
    start = newline + 1;
    const next = log.length + 1;
    if (!torn && line?.index === next) {
      log.push({ term: line.term, record: line.record });
      ends.push(start);
    } else if (line && line.batch > next) {
      throw new NiiaError(
        'failed',
        `${path} is damaged: line ${next} is not as it was written, and line ${line.index} behind it is`,
        'The file was left as it is. Put a copy of it back, or start the run anew.',
      );
    } else torn = true;
  }
  return { log, ends };
}

function readBallot(folder: string): v.InferOutput<typeof ballotSchema> {
  const path = join(folder, 'ballot.json');
  const text = readIfThere(path);
  if (text === undefined) return { term: 0, vote: null };
  const ballot = parseJsonAs(text, ballotSchema);
  if (ballot) return ballot;
  throw new NiiaError(
    'failed',
    `${path} is damaged`,
    'The file was left as it is. Put a copy of it back, or start the run anew.',
  );
}

/** Sees to the disk which files a folder has. Where folders cannot be opened (Windows), there is no need. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, constants.O_RDONLY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    if (!isErrno(error, 'EISDIR', 'EPERM', 'EINVAL')) throw error;
  }
}
