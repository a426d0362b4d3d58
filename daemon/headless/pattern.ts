import { createContext, Script } from 'node:vm';
import { NiiaError } from '../../shared/errors.ts';

/** A search that takes longer than this is given up: it holds up everybody else. */
const longestSearchMs = 250;

const script = new Script(`
  (() => {
    for (const line of lines) {
      const match = pattern.exec(line);
      if (match) return match[0];
    }
    return null;
  })()
`);

/** A regular expression from outside, searched for line by line and never for long. */
export class Pattern {
  readonly #source: string;
  readonly #context: { lines: readonly string[]; pattern: RegExp };

  /** Throws `usage` where it is not a regular expression. */
  constructor(source: string) {
    this.#source = source;
    this.#context = createContext({ lines: [], pattern: compile(source) }) as { lines: string[]; pattern: RegExp };
  }

  /** What matched first, or null. Throws `usage` when the expression backtracks without end. */
  find(lines: readonly string[]): string | null {
    if (lines.length === 0) return null;
    this.#context.lines = lines;
    try {
      const found: unknown = script.runInContext(this.#context, { timeout: longestSearchMs });
      return typeof found === 'string' ? found : null;
    } catch (cause) {
      if (!isTimeout(cause)) throw cause;
      throw new NiiaError(
        'usage',
        `the regular expression ${this.#source} takes too long on this output`,
        'Avoid nested repetitions such as (a+)+.',
        { cause },
      );
    } finally {
      this.#context.lines = [];
    }
  }
}

/** The error comes from the other context, where `Error` is another class. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}

function compile(source: string): RegExp {
  try {
    return new RegExp(source, 'u');
  } catch {
    // Looser syntax without the flag: `\\-`, say.
  }
  try {
    return new RegExp(source);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NiiaError('usage', why, 'The pattern is a JavaScript regular expression.', { cause });
  }
}
