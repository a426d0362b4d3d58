import type { Context } from 'node:vm';
import { createContext, Script } from 'node:vm';

/** A user's pattern gets no longer than this on a screen: nobody may hold up all sessions. */
const longestMs = 25;

const script = new Script(`
  (() => {
    for (let index = 0; index < rows.length; index++) {
      const match = pattern.exec(rows[index]);
      if (match) return [index, match[0]];
    }
    return null;
  })()
`);

export interface Found {
  /** Which of the rows. */
  index: number;
  text: string;
}

/** A regular expression that is searched for in one row after the other. */
export interface RowPattern {
  readonly source: string;
  /** The first row that matches. Throws `PatternTooSlow`. */
  find(rows: readonly string[]): Found | undefined;
}

export class PatternTooSlow extends Error {
  /** So much of its time it had a processor. */
  readonly computedMs: number;

  constructor(source: string, computedMs: number, options?: ErrorOptions) {
    super(`the pattern ${source} takes too long; avoid nested repetitions such as (a+)+`, options);
    this.name = 'PatternTooSlow';
    this.computedMs = computedMs;
  }
}

/** A pattern that niia brings: its tests hold that none of them backtracks without end. Throws where it is none. */
export function trustedPattern(source: string): RowPattern {
  const compiled = new RegExp(source, 'u');
  return {
    source,
    find: (rows) => {
      for (const [index, row] of rows.entries()) {
        const match = compiled.exec(row);
        if (match) return { index, text: match[0] };
      }
      return undefined;
    },
  };
}

let shared: Context | undefined;

/** A pattern from outside, with a bound on its time. Throws where it is none. */
export function boundedPattern(source: string): RowPattern {
  const pattern = new RegExp(source, 'u');
  return {
    source,
    find: (rows) => {
      if (rows.length === 0) return undefined;
      // One for all of them: a context takes a millisecond to make.
      shared ??= createContext({});
      Object.assign(shared, { pattern, rows });
      const before = process.cpuUsage();
      try {
        const found: unknown = script.runInContext(shared, { timeout: longestMs });
        return Array.isArray(found) ? { index: Number(found[0]), text: String(found[1]) } : undefined;
      } catch (cause) {
        if (isTimeout(cause)) throw new PatternTooSlow(source, process.cpuUsage(before).user / 1000, { cause });
        throw cause;
      }
    },
  };
}

/** The error comes from the other context, where `Error` is another class. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}
