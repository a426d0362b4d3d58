import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import { builtInRules } from '../workers/state/built-in-rules.ts';
import type { OwnFile } from '../workers/state/rule-book.ts';
import { RuleBook } from '../workers/state/rule-book.ts';

/** A rule file is small; what is larger is something else. */
const longestFile = 256 << 10;
const mostFiles = 100;
const lookEveryMs = 3000;

const log = new Log('rules');

/** The rules that are in force: those that niia brings and those in `home/rules/*.json`, also when these change. */
export class RuleFiles {
  readonly #folder: string;
  readonly #builtIn = builtInRules();
  readonly #listeners = new Set<(book: RuleBook) => void>();
  #book: RuleBook;
  #seen = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(home: Home) {
    this.#folder = home.path('rules');
    this.#book = new RuleBook(this.#builtIn);
    this.refresh();
    this.#timer = setInterval(() => this.refresh(), lookEveryMs);
    this.#timer.unref();
  }

  get book(): RuleBook {
    return this.#book;
  }

  /** Calls `changed` when other rules come into force, until the returned function is called. */
  watch(changed: (book: RuleBook) => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Reads the files again where one of them has changed. */
  refresh(): void {
    const { files, unreadable, seen } = this.#look();
    if (seen === this.#seen) return;
    this.#seen = seen;
    const book = new RuleBook(this.#builtIn, files, unreadable);
    this.#book = book;
    for (const warning of book.warnings) log.warn(warning);
    for (const { set } of book.profiles) {
      set.onBroken = (rule, why) => log.warn(`the rule ${rule.id} is switched off: ${why}`);
    }
    for (const listener of this.#listeners) listener(book);
  }

  #look(): { files: OwnFile[]; unreadable: string[]; seen: string } {
    const files: OwnFile[] = [];
    const unreadable: string[] = [];
    const stamps: string[] = [];
    for (const name of this.#names()) {
      const path = join(this.#folder, name);
      try {
        const { size, mtimeMs, ino } = statSync(path);
        stamps.push(`${name} ${size} ${mtimeMs} ${ino}`);
        if (size > longestFile) unreadable.push(`${path} is left out: it is larger than ${longestFile >> 10} KiB`);
        else files.push({ path, text: '' });
      } catch (error) {
        stamps.push(`${name} ${String(error)}`);
        unreadable.push(`${path} is left out: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    const seen = stamps.join('\n');
    if (seen === this.#seen) return { files: [], unreadable: [], seen };
    const read = files.flatMap(({ path }) => {
      try {
        return [{ path, text: readFileSync(path, 'utf8') }];
      } catch (error) {
        unreadable.push(`${path} is left out: ${error instanceof Error ? error.message : String(error)}`);
        return [];
      }
    });
    return { files: read, unreadable, seen };
  }

  /** In the order of their names, which decides what is added to what. */
  #names(): string[] {
    try {
      return readdirSync(this.#folder)
        .filter((name) => name.endsWith('.json'))
        .sort()
        .slice(0, mostFiles);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) log.warn('the rules of this home cannot be read', { folder: this.#folder, error });
      return [];
    }
  }
}
