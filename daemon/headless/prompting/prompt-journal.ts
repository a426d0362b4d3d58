import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isErrno } from '../../home/files.ts';
import type { PromptEntry } from '../../workers/prompt/prompt-record.ts';
import { promptEntrySchema } from '../../workers/prompt/prompt-record.ts';

/** A session's prompts, one JSON line for each thing that happened to one, in the order of their happening. */
export class PromptJournal {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();

  constructor(folder: string) {
    this.#path = join(folder, 'prompts.ndjson');
  }

  /** Resolves once the entry is on the disk, after all before it. */
  append(entry: PromptEntry): Promise<void> {
    const written = this.#last.then(() => this.#write(`${JSON.stringify(entry)}\n`));
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

  async #write(line: string): Promise<void> {
    const file = await open(this.#path, 'a', 0o600);
    try {
      await file.appendFile(line);
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
