import type { DrawnRow } from '../drivers/driver.ts';

const escapeByte = 0x1b;

/**
 * What a command wrote, by the marks of shell integration (OSC 133 or 633: `C` begins the output, `D` ends it);
 * undefined where they are missing.
 */
export function betweenMarks(output: Uint8Array): Uint8Array | undefined {
  const begin = lastMark(output, 'C', output.length);
  if (!begin) return undefined;
  const rest = output.subarray(begin.end);
  const end = firstMark(rest, 'D');
  return end && rest.subarray(0, end.start);
}

interface Mark {
  start: number;
  end: number;
}

function lastMark(output: Uint8Array, letter: string, from: number): Mark | undefined {
  for (
    let at = output.lastIndexOf(escapeByte, from);
    at >= 0;
    at = at === 0 ? -1 : output.lastIndexOf(escapeByte, at - 1)
  ) {
    const mark = markAt(output, at, letter);
    if (mark) return mark;
  }
  return undefined;
}

function firstMark(output: Uint8Array, letter: string): Mark | undefined {
  for (let at = output.indexOf(escapeByte); at >= 0; at = output.indexOf(escapeByte, at + 1)) {
    const mark = markAt(output, at, letter);
    if (mark) return mark;
  }
  return undefined;
}

function markAt(output: Uint8Array, at: number, letter: string): Mark | undefined {
  const text = Buffer.from(output.subarray(at, at + 512)).toString('latin1');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is an escape sequence
  const found = /^\x1b\](?:133|633);([A-Z])(?:;[^\x07\x1b]*)?(?:\x07|\x1b\\)/.exec(text);
  return found?.[1] === letter ? { start: at, end: at + found[0].length } : undefined;
}

/** Rows as lines, those that the terminal wrapped in one. */
export function linesOf(rows: readonly DrawnRow[]): string[] {
  const lines: string[] = [];
  for (const { text, continues } of rows) {
    if (continues && lines.length > 0) lines[lines.length - 1] += text;
    else lines.push(text);
  }
  return lines.map((line) => line.trimEnd());
}

/**
 * What a command wrote, from the lines drawn since it was typed: the first holds the prompt and the echo of its first
 * line, the last the next prompt. Undefined where the echo is not found.
 */
export function afterEcho(lines: readonly string[], command: string): string | undefined {
  const typed = command.split('\n');
  const echoed = typed.every((line, index) => squeezed(lines[index] ?? '').endsWith(squeezed(line)));
  return echoed ? lines.slice(typed.length, -1).join('\n') : undefined;
}

function squeezed(text: string): string {
  return text.replace(/\s+/g, '');
}
