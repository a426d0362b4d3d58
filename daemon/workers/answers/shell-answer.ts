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

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is taken out
const steering = /\x1b\[[\d;?]*[A-Za-z]/g;
const pastingOn = Buffer.from('\x1b[?2004h');

/**
 * Where the last prompt begins in what a shell wrote: line editors that draw it after they have switched pasting on say
 * so (bash). Undefined where none does.
 */
export function promptStart(output: Uint8Array): number | undefined {
  const at = Buffer.from(output.buffer, output.byteOffset, output.byteLength).lastIndexOf(pastingOn);
  if (at < 0) return undefined;
  const after = Buffer.from(output.subarray(at)).toString('latin1');
  return after.replaceAll(steering, '').trim() === '' ? undefined : at;
}

/** Lines without the prompt at their end, which may stand behind output that did not end its line. */
export function beforePrompt(lines: readonly string[], prompt: string): string[] {
  const last = lines.at(-1) ?? '';
  const rest = prompt !== '' && last.endsWith(prompt) ? last.slice(0, -prompt.length) : '';
  return [...lines.slice(0, -1), rest];
}

/**
 * What a command wrote, from the lines drawn since it was typed and before the next prompt: the first holds the prompt
 * and the echo of its first line. Undefined where the echo is not found.
 */
export function afterEcho(lines: readonly string[], command: string): string | undefined {
  const typed = command.split('\n');
  const echoed = typed.every((line, index) => squeezed(lines[index] ?? '').endsWith(squeezed(line)));
  if (!echoed) return undefined;
  const written = lines.slice(typed.length);
  // The row that the prompt comes to stand in, where the output ended its line.
  if (written.at(-1) === '') written.pop();
  return written.join('\n');
}

function squeezed(text: string): string {
  return text.replace(/\s+/g, '');
}
