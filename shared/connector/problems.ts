import { NiiaError } from '../errors.ts';
import type { Path, Problem, Source } from './source.ts';

/** As many as anybody would read. */
const maxProblems = 100;

/** What is wrong with a file, and what its writer should know about it. */
export class Problems {
  readonly #source: Source;
  readonly #errors: Problem[] = [];
  readonly #warnings: Problem[] = [];

  constructor(source: Source) {
    this.#source = source;
    for (const problem of source.problems) this.#add(this.#errors, problem);
  }

  at(path: Path, message: string, part?: 'key' | 'value'): void {
    this.#add(this.#errors, { ...this.#source.place(path, part), message });
  }

  /** About the character `index` of a text. */
  inside(path: Path, index: number, message: string): void {
    this.#add(this.#errors, { ...this.#source.placeInside(path, index), message });
  }

  warn(path: Path, message: string, part?: 'key' | 'value'): void {
    this.#add(this.#warnings, { ...this.#source.place(path, part), message });
  }

  get any(): boolean {
    return this.#errors.length > 0;
  }

  /** In the order of the file. */
  get errors(): Problem[] {
    return inOrder(this.#errors);
  }

  get warnings(): Problem[] {
    return inOrder(this.#warnings);
  }

  #add(to: Problem[], problem: Problem): void {
    const again = to.some(({ line, column, message }) => {
      return line === problem.line && column === problem.column && message === problem.message;
    });
    if (to.length < maxProblems && !again) to.push(problem);
  }
}

/** `FILE:LINE:COLUMN: message`. */
export function problemText(file: string, { line, column, message }: Problem): string {
  return `${file}:${line}:${column}: ${message}`;
}

/** All of them as one error. */
export function problemsError(file: string, problems: readonly Problem[]): NiiaError {
  return new NiiaError(
    'usage',
    problems.map((problem) => problemText(file, problem)).join('\n'),
    'What may stand in a connector file: README.md, Connector files.',
  );
}

function inOrder(problems: readonly Problem[]): Problem[] {
  return [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
}
