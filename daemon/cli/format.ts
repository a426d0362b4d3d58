import { span } from '../../shared/duration.ts';
import { mayColour } from './output.ts';

const colours = { dim: 2, bold: 1, red: 31, green: 32, yellow: 33 } as const;
export type Colour = keyof typeof colours;

/** A cell of a table: text, coloured where the output is a terminal. */
export type Cell = string | { text: string; colour: Colour };

/** `text` in a colour, where stdout is a terminal that wants it. */
export function paint(text: string, colour: Colour): string {
  return mayColour(1) ? `\x1b[${colours[colour]}m${text}\x1b[0m` : text;
}

/** Columns as wide as their widest cell, two spaces apart, with a heading. */
export function table(heading: readonly string[], rows: ReadonlyArray<readonly Cell[]>): string {
  const lines = [heading.map((text): Cell => ({ text, colour: 'dim' })), ...rows];
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => width(textOf(line[column])))));
  const text = lines.map((line) =>
    line
      .map((cell, column) => padded(cell, widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${text.join('\n')}\n`;
}

function padded(cell: Cell, to: number): string {
  const text = textOf(cell);
  const shown = typeof cell === 'string' ? text : paint(text, cell.colour);
  return shown + ' '.repeat(Math.max(0, to - width(text)));
}

function textOf(cell: Cell | undefined): string {
  return printable(typeof cell === 'object' ? cell.text : (cell ?? ''));
}

/** What comes from other machines may not steer this terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, '�');
}

const wide = /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}]/u;

/** Characters; a wide one counts twice. */
function width(text: string): number {
  let cells = 0;
  for (const character of text) cells += wide.test(character) ? 2 : 1;
  return cells;
}

/** `3m ago`; `-` for never. */
export function ago(time: string | null, now = Date.now()): string {
  return time === null ? '-' : `${span(now - Date.parse(time))} ago`;
}

export function roundTrip(ms: number | null): string {
  return ms === null ? '-' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(0)} MB`;
}

export function count(n: number, one: string): string {
  return `${n} ${one}${n === 1 ? '' : 's'}`;
}
