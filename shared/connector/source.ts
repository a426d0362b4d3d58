// The package's main file loads its parts in a way that bundlers cannot follow; this one is the same code.
import type { Node, ParseError } from 'jsonc-parser/lib/esm/main.js';
import { createScanner, findNodeAtLocation, parseTree, printParseErrorCode } from 'jsonc-parser/lib/esm/main.js';

/** In characters of UTF-16, both counted from 1, as editors do. */
export interface Place {
  line: number;
  column: number;
}

/** Keys and indices from the top of a file to a value in it. */
export type Path = ReadonlyArray<string | number>;

export interface Problem extends Place {
  message: string;
}

/** More than any file that people write; deeper ones would exhaust the stack of whoever reads them. */
const maxDepth = 64;
export const maxFileCharacters = 4 << 20;

/** A file's JSON with the place of everything in it. Comments and trailing commas are taken as well. */
export class Source {
  readonly #text: string;
  readonly #lines: readonly number[];
  readonly #root: Node | undefined;
  /** What it says; objects have no prototype. Undefined where there are problems. */
  readonly value: unknown;
  readonly problems: readonly Problem[];

  constructor(text: string) {
    // A byte order mark is no part of the text, and of no column.
    this.#text = text.startsWith('\ufeff') ? text.slice(1) : text;
    this.#lines = lineStarts(this.#text);
    const unreadable = this.#unreadable();
    if (unreadable !== undefined) {
      this.problems = [unreadable];
      return;
    }
    const errors: ParseError[] = [];
    this.#root = parseTree(this.#text, errors, { allowTrailingComma: true });
    const problems = errors.map(
      ({ error, offset }): Problem => ({ ...this.#placeOf(offset), message: syntaxText(printParseErrorCode(error)) }),
    );
    if (this.#root && problems.length === 0) this.value = this.#valueOf(this.#root, problems);
    this.problems = problems;
  }

  /** Where the value at `path` begins, or its key; of the nearest thing above where there is none. */
  place(path: Path, part: 'key' | 'value' = 'value'): Place {
    const node = this.#nodeAt(path);
    const key = part === 'key' && node?.parent?.type === 'property' ? node.parent.children?.[0] : undefined;
    return this.#placeOf((key ?? node)?.offset ?? 0);
  }

  /** Where a character of the text at `path` stands. */
  placeInside(path: Path, index: number): Place {
    const node = this.#nodeAt(path);
    if (node?.type !== 'string') return this.place(path);
    let offset = node.offset + 1;
    for (let at = 0; at < index; at++) {
      if (this.#text[offset] !== '\\') offset += 1;
      else offset += this.#text[offset + 1] === 'u' ? 6 : 2;
    }
    return this.#placeOf(offset);
  }

  #nodeAt(path: Path): Node | undefined {
    if (!this.#root) return undefined;
    for (let length = path.length; length > 0; length--) {
      const node = findNodeAtLocation(this.#root, path.slice(0, length));
      if (node) return node;
    }
    return this.#root;
  }

  #placeOf(offset: number): Place {
    let line = 0;
    let above = this.#lines.length;
    while (above - line > 1) {
      const middle = (line + above) >> 1;
      if ((this.#lines[middle] ?? 0) <= offset) line = middle;
      else above = middle;
    }
    return { line: line + 1, column: offset - (this.#lines[line] ?? 0) + 1 };
  }

  #unreadable(): Problem | undefined {
    if (this.#text.length > maxFileCharacters) {
      return { line: 1, column: 1, message: `longer than ${maxFileCharacters >> 20} Mi characters` };
    }
    const scanner = createScanner(this.#text, true);
    let depth = 0;
    // 1 and 3 open, 2 and 4 close, 17 is the end: the enum is not there at run time.
    for (let token: number = scanner.scan(); token !== 17; token = scanner.scan()) {
      if (token === 1 || token === 3) depth += 1;
      else if (token === 2 || token === 4) depth -= 1;
      if (depth > maxDepth) {
        return { ...this.#placeOf(scanner.getTokenOffset()), message: `nested deeper than ${maxDepth} levels` };
      }
    }
    return undefined;
  }

  #valueOf(node: Node, problems: Problem[]): unknown {
    if (node.type === 'array') return (node.children ?? []).map((child) => this.#valueOf(child, problems));
    if (node.type !== 'object') return node.value;
    const value: Record<string, unknown> = Object.create(null);
    for (const { children } of node.children ?? []) {
      const [key, child] = children ?? [];
      if (!key || !child) continue;
      const name = String(key.value);
      if (Object.hasOwn(value, name)) {
        problems.push({ ...this.#placeOf(key.offset), message: `the key "${name}" is there twice` });
      } else if (unsafeKeys.has(name)) {
        problems.push({ ...this.#placeOf(key.offset), message: `nothing may be called "${name}"` });
      } else {
        value[name] = this.#valueOf(child, problems);
      }
    }
    return value;
  }
}

/** Programs that build objects from keys trip over them. */
const unsafeKeys = new Set(['__proto__', 'constructor', 'prototype']);

function lineStarts(text: string): number[] {
  const starts = [0];
  for (const { index, 0: end } of text.matchAll(/\r\n|\n|\r/g)) starts.push(index + end.length);
  return starts;
}

/** `CommaExpected` → `a comma is missing here`. */
function syntaxText(code: string): string {
  const texts: Record<string, string> = {
    InvalidSymbol: 'this is not JSON: texts stand in double quotes',
    InvalidNumberFormat: 'this is not a number',
    PropertyNameExpected: 'a key in double quotes is missing here',
    ValueExpected: 'a value is missing here',
    ColonExpected: 'a colon is missing here',
    CommaExpected: 'a comma is missing here',
    CloseBraceExpected: 'a closing } is missing here',
    CloseBracketExpected: 'a closing ] is missing here',
    EndOfFileExpected: 'the file should end here',
    InvalidCommentToken: 'this is not JSON',
    UnexpectedEndOfComment: 'this comment does not end',
    UnexpectedEndOfString: 'this text does not end on its line; a line break in it is written \\n',
    UnexpectedEndOfNumber: 'this number does not end',
    InvalidUnicode: 'this is not \\u and four digits',
    InvalidEscapeCharacter: 'a backslash stands before one of " \\ / b f n r t u only',
    InvalidCharacter: 'a control character in a text is written as \\u and four digits',
  };
  return texts[code] ?? 'this is not JSON';
}
