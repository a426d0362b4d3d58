import { columnsOf, isWide } from './columns.ts';
import type { DrawnRow } from './driver.ts';

/** How a program draws a conversation: prompts and answers as blocks whose first row has a mark and whose others are indented. */
export interface BlockStyle {
  /** Before a prompt's first row. */
  prompt: RegExp;
  /** Before an answer's first row. */
  answer: RegExp;
  /** A block with the answer's mark that is none: a tool that was used, progress. */
  other: RegExp;
  /** A row that says that the turn was broken off: what was said before it is no answer. */
  broken: RegExp;
  /** Row that ends a block whatever its indentation. */
  end: RegExp;
  /** Columns on the right that the program leaves free. */
  margin: number;
}

const indent = '  ';

/** The last answer after the last time that `prompt` was drawn. */
export function answerBlock(
  rows: readonly DrawnRow[],
  prompt: string,
  cols: number,
  style: BlockStyle,
): string | undefined {
  const start = promptRow(rows, prompt, style);
  if (start < 0) return undefined;
  let block: DrawnRow[] | undefined;
  let answer: DrawnRow[] | undefined;
  const close = () => {
    if (block && block.length > 0) answer = block;
    block = undefined;
  };
  for (const row of rows.slice(start + 1)) {
    const mark = row.continues ? null : style.answer.exec(row.text);
    if (!row.continues && style.broken.test(row.text)) {
      block = undefined;
      answer = undefined;
    } else if (mark) {
      close();
      block = style.other.test(row.text) ? undefined : [{ ...row, text: row.text.slice(mark[0].length) }];
    } else if (!row.continues && style.end.test(row.text)) {
      close();
    } else if (block && (row.continues || row.text.trim() === '')) {
      block.push(row);
    } else if (block && row.text.startsWith(indent)) {
      block.push({ ...row, text: row.text.slice(indent.length) });
    } else {
      close();
    }
  }
  close();
  return answer && rejoined(answer, cols - indent.length - style.margin);
}

function promptRow(rows: readonly DrawnRow[], prompt: string, style: BlockStyle): number {
  const wanted = squeezed(prompt).slice(0, 24);
  return rows.findLastIndex(({ text }) => {
    const mark = style.prompt.exec(text);
    if (!mark) return false;
    const shown = squeezed(text.slice(mark[0].length));
    return shown !== '' && (/^\[Pasted/i.test(shown) || shown.startsWith(wanted) || wanted.startsWith(shown));
  });
}

const fence = /^\s*(```|~~~)/;

/**
 * Rows as the lines that they were wrapped from. Whoever wraps at blanks breaks a row only where the next word does not
 * fit, and between wide characters where the next one does not; so where it would have fitted, the line ended there.
 * Lines of code are left as they are. `width`: columns.
 */
export function rejoined(rows: readonly DrawnRow[], width: number): string {
  const lines: string[] = [];
  let lastRow = '';
  let fenced = false;
  for (const { text, continues } of rows) {
    const row = text.trimEnd();
    const between = continues ? '' : fenced ? undefined : joint(lastRow, row, width);
    if (between !== undefined && lines.length > 0) lines[lines.length - 1] += between + row;
    else lines.push(row);
    if (!continues && fence.test(row)) fenced = !fenced;
    lastRow = row;
  }
  while (lines.at(-1) === '') lines.pop();
  while (lines[0] === '') lines.shift();
  return lines.join('\n');
}

/** What stood between two rows where they were one line; undefined where they were not. */
function joint(last: string, next: string, width: number): string | undefined {
  const word = /^\S+/.exec(next)?.[0];
  if (!word || /^(\s|$)/.test(last) || !isText(last) || fence.test(last) || fence.test(next)) return undefined;
  const taken = columnsOf(last);
  const [first = ''] = word;
  if (isWide(first) && isWide([...last].at(-1) ?? '')) return taken + columnsOf(first) > width ? '' : undefined;
  if (taken + 1 + columnsOf(word) <= width) return undefined;
  return taken >= width && !/\s/.test(last) ? '' : ' ';
}

/** A rule or the edge of a table is as wide as the screen without having been wrapped. */
function isText(row: string): boolean {
  return /[\p{L}\p{N}]/u.test(row);
}

function squeezed(text: string): string {
  return text.replace(/\s+/g, '');
}
