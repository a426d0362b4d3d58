import { numberedChoice } from './choices.ts';
import { answerBlock } from './drawn-answer.ts';
import type { Driver } from './driver.ts';
import { boxAtCursor } from './input-box.ts';
import { chosenBy } from './permissions.ts';

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
    permissions: {
      ...chosenBy('--ask-for-approval', ['untrusted', 'on-failure', 'on-request', 'never']),
      ...chosenBy('--sandbox', ['read-only', 'workspace-write', 'danger-full-access']),
    },
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
      command: askedCommand,
    }),
  interrupt: '\x1b',
  quota:
    /^■ .*(hit your usage limit|usage limit (reached|exceeded)|Rate limit reached|exceeded your current quota|\b429\b|insufficient_quota)/i,
  transcript: 'codex',
  answer: (rows, prompt, cols) =>
    answerBlock(rows, prompt, cols, {
      prompt: /^› /,
      answer: /^• /,
      other:
        /^• (Working|Running|Ran|Explored|Exploring|Edited|Added|Updated|Called|Calling|Searched|Searching|Waited|Viewed)\b/,
      broken: /^■ /,
      end: /^(\s*Worked for |\s+└ Tip: |› |■ |✔ |⚠ |─)/,
      margin: 0,
    }),
};

const askedAbove = /^ {2}Would you like to run the following command\?$/;
const sign = /^ {2}\$ /;

/**
 * The command, where it is plain which of the rows it is: the model chooses the words of the reason above it and of the
 * command itself, and could draw a harmless one. Null where a second row has the sign, where anything else stands
 * between it and the options, or where the question's beginning has scrolled off.
 */
export function askedCommand(rows: readonly string[]): string | null {
  const at = rows.findIndex((row) => sign.test(row));
  if (at < 0 || rows.findLastIndex((row) => sign.test(row)) !== at) return null;
  if (!rows.slice(0, at).some((row) => askedAbove.test(row.trimEnd()))) return null;
  const [first = '', ...below] = rows.slice(at);
  const length = below.findIndex((row) => row.trim() === '');
  if (length < 0 || below.slice(length).some((row) => row.trim() !== '')) return null;
  const more = below.slice(0, length).map((row) => row.trim());
  return [first.replace(sign, ''), ...more].join('\n').trim();
}
