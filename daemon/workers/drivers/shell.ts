import type { AskedOption, AskedQuestion, Driver, ScreenLook } from './driver.ts';

/** `[Y/n]`, `(yes/no)` and the like at the end of the cursor's row. */
const yesNo = /[[(](y(?:es)?)\/(no?)(?:\/\[?[\w ]+\]?)?[\])]\s?[?:]?\s*$/i;

/** The user's shell, or another that reads lines. */
export const shell: Driver = {
  name: 'shell',
  start: { program: undefined, args: [], env: {}, install: '' },
  submit: {
    enter: '\r',
    enterAfterMs: 0,
    hasBox: false,
    unbracketed: 'lines',
    local: undefined,
    seenBy: 'line',
    settleMs: 300,
  },
  inputBox: () => undefined,
  question: lineQuestion,
  interrupt: '\x03',
  transcript: undefined,
  answer: () => undefined,
};

/** A yes-or-no question of a program that reads a line. */
export function lineQuestion({ rows, cursor }: ScreenLook): AskedQuestion | undefined {
  const row = rows[cursor.y] ?? '';
  const found = yesNo.exec(row);
  if (!found) return undefined;
  const [, yes = 'y', no = 'n'] = found;
  const option = (number: number, word: string, means: AskedOption['means']): AskedOption => ({
    ...{ number, label: word.toLowerCase(), means, selected: word !== word.toLowerCase() },
    keys: `${word.toLowerCase()}\r`,
  });
  const options = [option(1, yes, 'allow'), option(2, no, 'deny')];
  return { question: row.trim(), command: null, options, top: cursor.y };
}
