import { numberedChoice } from './choices.ts';
import type { AskedQuestion, ScreenLook } from './driver.ts';
import { lineQuestion } from './shell.ts';

/** A question of a program whose ways are not known: a numbered list with a mark before one, or a yes or no. */
export function anyQuestion(look: ScreenLook): AskedQuestion | undefined {
  const choice = numberedChoice(look.rows, {
    option: /^\s*(?<mark>[›❯●▶→>])?\s*(?<number>\d+)[.)] (?<label>\S.*?)\s*$/,
    bare: (row) => row.replace(/^\s*│/, '').replace(/│\s*$/, '').trimEnd(),
    top: /^[\s─━╭╰▄▀]*[─━╭╰▄▀]{10}|^\S\s/,
    command: () => null,
  });
  return choice ?? lineQuestion(look);
}
