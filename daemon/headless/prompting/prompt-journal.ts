import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isErrno } from '../../home/files.ts';
import type { PromptEntry } from '../../workers/prompt/prompt-record.ts';
import { promptEntrySchema } from '../../workers/prompt/prompt-record.ts';

/** It is written anew once it has grown by so much. Bytes. */
const rewrittenAfter = 16 << 20;

/** A session's prompts, one JSON line for each thing that happened to one, in the order of their happening. */
export class PromptJournal {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();
  /** What was written to it since it was written anew. */
  #grown = 0;

  constructor(folder: string) {
    this.#path = join(folder, 'prompts.ndjson');
  }

  /** Resolves once the entry is on the disk, after all before it. */
  append(entry: PromptEntry): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`;
    this.#grown += line.length;
    return this.#inTurn(() => this.#write(this.#path, line, 'a'));
  }

  /** Writes it anew, once it has grown much, with what `entries` says then; after that, all that is appended meanwhile. */
  async shorten(entries: () => readonly PromptEntry[]): Promise<void> {
    if (this.#grown < rewrittenAfter) return;
    this.#grown = 0;
    await this.#inTurn(async () => {
      const text = entries().map((entry) => `${JSON.stringify(entry)}\n`);
      const temporary = `${this.#path}.new`;
      await this.#write(temporary, text.join(''), 'w');
      await rename(temporary, this.#path);
    });
  }

  /** Resolves when all that was appended is written, or could not be. */
  async flushed(): Promise<void> {
    await this.#last;
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    const written = this.#last.then(write);
    this.#last = written.catch(() => undefined);
    return written;
  }

  /** What an earlier server wrote; a torn last line is dropped. */
  async load(): Promise<PromptEntry[]> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
    return text.split('\n').flatMap((line) => parseEntry(line) ?? []);
  }

  async #write(path: string, text: string, flags: 'a' | 'w'): Promise<void> {
    const file = await open(path, flags, 0o600);
    try {
      await file.appendFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
  }
}

function parseEntry(line: string): PromptEntry | undefined {
  if (line === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  const parsed = v.safeParse(promptEntrySchema, value);
  return parsed.success ? parsed.output : undefined;
}
