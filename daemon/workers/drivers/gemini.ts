import { numberedChoice } from './choices.ts';
import { answerBlock } from './drawn-answer.ts';
import type { Driver } from './driver.ts';
import { boxAtCursor } from './input-box.ts';
import { chosenBy } from './permissions.ts';

/** What stands in an empty box; it is drawn in a colour, not faint. */
const placeholder = /^Type your message( or @path\/to\/file)?$/;

/** Gemini CLI. */
export const gemini: Driver = {
  name: 'gemini',
  start: {
    program: 'gemini',
    args: [{ words: ['--approval-mode', 'default'], unless: ['--approval-mode', '-y', '--yolo', '-p', '--prompt'] }],
    env: {},
    // Settings that only a file of root's may have, or the user's own: those are the user's to change.
    mcp: { byHand: 'Tell it once, for all of your sessions with it: gemini mcp add --scope user niia niia mcp' },
    permissions: chosenBy('--approval-mode', ['default', 'auto_edit', 'yolo', 'plan']),
    install: 'Get it with: npm install --global @google/gemini-cli',
  },
  submit: {
    enter: '\r',
    // Enter within 30 ms of a paste, by its own clock, is a line break.
    enterAfterMs: 250,
    hasBox: true,
    unbracketed: 'single',
    local: /^\/[a-z]/,
    seenBy: 'state',
    settleMs: 400,
  },
  inputBox(look) {
    const text = boxAtCursor(look, /^ > ?/, /^ {3}/);
    return text !== undefined && placeholder.test(text) ? '' : text;
  },
  question: ({ rows }) =>
    numberedChoice(rows, {
      option: /^\s*(?<mark>●)?\s*(?<number>\d+)\. (?<label>\S.*?)\s*$/,
      bare: (row) => row.replace(/^\s*│/, '').replace(/│\s*$/, '').trimEnd(),
      top: /^\s*╭─+╮?\s*$|^▄|^✦ /,
      command: boxedCommand,
    }),
  interrupt: '\x1b',
  quota:
    /^\s*[✕│ℹ⚠]?\s*(\[API Error:.*(quota|rate limit|RESOURCE_EXHAUSTED|\b429\b)|Usage limit reached for |You have (exhausted|reached) your .*(quota|capacity|limit))/i,
  transcript: 'gemini',
  answer: (rows, prompt, cols) =>
    answerBlock(rows, prompt, cols, {
      // With NO_COLOR its prompts stand without a box.
      prompt: /^ {0,2}> /,
      // A list begins in the row below its mark.
      answer: /^✦( |$)/,
      other: /^(?!)/,
      broken: /^(✕|ℹ Request cancelled)/,
      end: /^(▄|╭|╰|│|ℹ|✕|⚠|─| {0,2}> |\s+Shift\+Tab| {20,}\? for shortcuts)/,
      margin: 0,
    }),
};

/** Newer versions draw the command in a box of its own; older ones name it behind the tool, in a row like no other. */
function boxedCommand(rows: readonly string[]): string | null {
  const framed = rows
    .filter((row) => /^\s*│ /.test(row))
    .map((row) => row.replace(/^\s*│ ?/, '').replace(/\s*│\s*$/, ''));
  if (framed.length > 0) return framed.join('\n').trim();
  const [tool, another] = rows.flatMap((row) => /^\s*\?\s+Shell\s+(\S.*)$/.exec(row)?.[1] ?? []);
  return another === undefined ? (tool?.trim() ?? null) : null;
}
