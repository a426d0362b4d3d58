import { numberedChoice } from './choices.ts';
import { answerBlock } from './drawn-answer.ts';
import type { Driver } from './driver.ts';
import { boxAtCursor } from './input-box.ts';
import { chosenBy } from './permissions.ts';

/** Claude Code. */
export const claude: Driver = {
  name: 'claude',
  start: {
    program: 'claude',
    args: [
      {
        // Its automatic mode runs commands unasked.
        words: ['--permission-mode', 'manual'],
        unless: ['--permission-mode', '--dangerously-skip-permissions', '-p', '--print'],
      },
    ],
    env: { DISABLE_AUTOUPDATER: '1' },
    // Its servers have its whole environment.
    mcp: ({ name, command, args }) => [
      '--mcp-config',
      JSON.stringify({ mcpServers: { [name]: { type: 'stdio', command, args } } }),
    ],
    permissions: chosenBy('--permission-mode', [
      ...['default', 'manual', 'acceptEdits', 'plan', 'auto', 'dontAsk', 'bypassPermissions'],
    ]),
    install: 'Get it with: npm install --global @anthropic-ai/claude-code',
  },
  submit: {
    enter: '\r',
    enterAfterMs: 80,
    hasBox: true,
    unbracketed: 'single',
    local: /^\/[a-z]/,
    seenBy: 'state',
    settleMs: 300,
  },
  inputBox: (look) => boxAtCursor(look, /^❯[ \u00a0]?/, /^ {2}/),
  question: ({ rows }) =>
    numberedChoice(rows, {
      option: /^\s*(?<mark>❯)?\s*(?<number>\d+)\. (?<label>\S.*)$/,
      bare: (row) => row,
      top: /^(●|✻|─{10})/,
      command: dashedCommand,
    }),
  interrupt: '\x1b',
  quota:
    /^\s*[●⎿•]?\s*(Claude (AI )?usage limit reached|You've (hit|reached) your .*limit|(5-hour|Session|Weekly|Opus|Usage) limit reached|API Error: (Rate limit reached|429\b)|What do you want to do\?.*limit)/i,
  transcript: 'claude',
  answer: (rows, prompt, cols) =>
    answerBlock(rows, prompt, cols, {
      prompt: /^❯ /,
      answer: /^● /,
      other: /^● (\w+\(|Running|Ran )/,
      broken: /^\s+⎿\s+Interrupted/,
      end: /^(✻|❯|─{10}|\s+⎿|\s{2}(Ran|Did not run) \d+ )/,
      margin: 0,
    }),
};

/** It stands between two dashed rules; where there are more, one of them may be the command's own. */
function dashedCommand(rows: readonly string[]): string | null {
  const rules = rows.flatMap((row, y) => (/^╌{10}/.test(row) ? [y] : []));
  const [top, bottom] = rules;
  if (top === undefined || bottom === undefined || rules.length > 2) return null;
  return (
    rows
      .slice(top + 1, bottom)
      .map((row) => row.trim())
      .join('\n')
      .trim() || null
  );
}
