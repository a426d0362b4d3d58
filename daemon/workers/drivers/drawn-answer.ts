import type { DrawnRow } from './driver.ts';

/** How a program draws a conversation: prompts and answers as blocks whose first row has a mark and whose others are indented. */
export interface BlockStyle {
  /** Before a prompt's first row. */
  prompt: RegExp;
  /** Before an answer's first row. */
  answer: RegExp;
  /** A block with the answer's mark that is none: a tool that was used, progress. */
  other: RegExp;
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
    if (mark) {
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

/**
 * Rows as the lines that they were wrapped from. Whoever wraps at blanks breaks a row only where the next word does not
 * fit; so where it would have fitted, the line ended there.
 */
export function rejoined(rows: readonly DrawnRow[], width: number): string {
  const lines: string[] = [];
  let lastRow = '';
  for (const { text, continues } of rows) {
    const row = text.trimEnd();
    const word = /^\S+/.exec(row)?.[0];
    if (continues && lines.length > 0) lines[lines.length - 1] += row;
    else if (
      lines.length > 0 &&
      lastRow !== '' &&
      word &&
      lastRow.length + 1 + word.length > width &&
      isText(lastRow)
    ) {
      lines[lines.length - 1] += lastRow.length >= width && !/\s/.test(lastRow) ? row : ` ${row}`;
    } else lines.push(row);
    lastRow = row;
  }
  while (lines.at(-1) === '') lines.pop();
  while (lines[0] === '') lines.shift();
  return lines.join('\n');
}

/** A rule or the edge of a table is as wide as the screen without having been wrapped. */
function isText(row: string): boolean {
  return /[\p{L}\p{N}]/u.test(row);
}

function squeezed(text: string): string {
  return text.replace(/\s+/g, '');
}
