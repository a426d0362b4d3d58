import { numberedChoice } from './choices.ts';
import { answerBlock } from './drawn-answer.ts';
import type { Driver } from './driver.ts';
import { boxAtCursor } from './input-box.ts';

/** OpenAI Codex. */
export const codex: Driver = {
  name: 'codex',
  start: {
    program: 'codex',
    args: [
      // Its background server would outlive the session.
      { words: ['--no-daemon'], unless: ['--remote'] },
      { words: ['-c', 'check_for_update_on_startup=false'], unless: [] },
      {
        words: ['--ask-for-approval', 'on-request'],
        unless: [
          ...['-a', '--ask-for-approval', '--approve-for-me', '-p', '--profile', '--full-auto', '--yolo'],
          '--dangerously-bypass-approvals-and-sandbox',
        ],
      },
    ],
    env: {},
    // A list or a string of JSON is one of TOML, too.
    mcp: ({ name, command, args, variables }) =>
      Object.entries({ command, args, env_vars: variables }).flatMap(([key, value]) => [
        '-c',
        `mcp_servers.${name}.${key}=${JSON.stringify(value)}`,
      ]),
    install: 'Get it with: npm install --global @openai/codex',
  },
  submit: {
    enter: '\r',
    enterAfterMs: 80,
    hasBox: true,
    unbracketed: 'single',
    local: /^\/[a-z]/,
    seenBy: 'state',
    settleMs: 250,
  },
  inputBox: (look) => boxAtCursor(look, /^› ?/, /^ {2}/),
  question: ({ rows }) =>
    numberedChoice(rows, {
      option: /^\s*(?<mark>›)?\s*(?<number>\d+)\. (?<label>\S.*)$/,
      bare: (row) => row,
      top: /^[•■✔✗⚠─]|^› /,
      command: (above) => commandAfter(above, /^\s*\$ /),
    }),
  interrupt: '\x1b',
  leave: '/quit',
  transcript: 'codex',
  answer: (rows, prompt, cols) =>
    answerBlock(rows, prompt, cols, {
      prompt: /^› /,
      answer: /^• /,
      other:
        /^• (Working|Running|Ran|Explored|Exploring|Edited|Added|Updated|Called|Calling|Searched|Searching|Waited|Viewed)\b/,
      end: /^(\s*Worked for |\s+└ Tip: |› |■ |✔ |⚠ |─)/,
      margin: 0,
    }),
};

/** The row after a prompt sign, with the rows that a long command goes on in; none are guessed at. */
export function commandAfter(rows: readonly string[], sign: RegExp): string | null {
  const at = rows.findIndex((row) => sign.test(row));
  if (at < 0) return null;
  const command = [(rows[at] ?? '').replace(sign, '')];
  for (const row of rows.slice(at + 1)) {
    if (row.trim() === '') break;
    command.push(row.trim());
  }
  return command.join('\n').trim();
}
