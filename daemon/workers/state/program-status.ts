import type { SessionState } from '../../../shared/protocol/shapes.ts';

/** Program status (OSC 7501): what a program says of itself. */
export interface ProgramStatus {
  state: Extract<SessionState, 'idle' | 'busy' | 'blocked'>;
  /** `codex`, `claude-code`; empty where it does not say. */
  app: string;
  /** What it waits for: `permission`. */
  kind: string;
  /** What it asks, in its own words. */
  message: string;
}

/** A mark of shell integration (OSC 133, or 633 of VS Code). */
export interface ShellMark {
  /** `prompt`: it is drawn or stands; `running`: a command was started; `finished`: it ended. */
  mark: 'prompt' | 'running' | 'finished';
  exitCode: number | undefined;
}

export type Command =
  | { type: 'status'; status: ProgramStatus }
  /** The program no longer says anything: it ends, or says so. */
  | { type: 'clear' }
  /** The program asks whether anybody listens. */
  | { type: 'query' }
  | { type: 'mark'; mark: ShellMark }
  | { type: 'title'; title: string };

/** The answer to `query`, which a terminal that reads the status types. */
export const queryAnswer = '\x1b]7501;?\x1b\\';

const longestMessage = 500;
const longestTitle = 256;

const states = new Map<string, ProgramStatus['state']>([
  ['idle', 'idle'],
  // The turn is over; the program is ready for another.
  ['done', 'idle'],
  ['working', 'busy'],
  ['blocked', 'blocked'],
]);

/** What an operating system command means for a session's state; undefined where it means nothing. */
export function parseCommand(payload: string): Command | undefined {
  const at = payload.indexOf(';');
  const body = payload.slice(at + 1);
  switch (at < 0 ? '' : payload.slice(0, at)) {
    case '0':
    case '2':
      return { type: 'title', title: printable(body, longestTitle) };
    case '133':
    case '633':
      return parseMark(body);
    case '7501':
      return parseStatus(body);
    default:
      return undefined;
  }
}

function parseStatus(body: string): Command | undefined {
  if (body === '?') return { type: 'query' };
  const fields = new Map<string, string>();
  for (const field of body.split(':')) {
    const at = field.indexOf('=');
    if (at > 0) fields.set(field.slice(0, at), field.slice(at + 1));
  }
  const word = fields.get('state') ?? '';
  if (word === 'clear') return { type: 'clear' };
  const state = states.get(word);
  // A state that a later version of the protocol may have says nothing that can be relied on.
  if (!state) return undefined;
  const status = { state, app: name(fields.get('app')), kind: name(fields.get('kind')), message: '' };
  return { type: 'status', status: { ...status, message: decoded(fields.get('msg') ?? '') } };
}

function parseMark(body: string): Command | undefined {
  const [letter, exitCode] = body.split(';');
  switch (letter) {
    case 'A':
    case 'B':
      return { type: 'mark', mark: { mark: 'prompt', exitCode: undefined } };
    case 'C':
      return { type: 'mark', mark: { mark: 'running', exitCode: undefined } };
    case 'D': {
      const code = /^-?\d{1,10}$/.test(exitCode ?? '') ? Number(exitCode) : undefined;
      return { type: 'mark', mark: { mark: 'finished', exitCode: code } };
    }
    default:
      return undefined;
  }
}

function name(text: string | undefined): string {
  return text !== undefined && /^[\w.@/-]{1,64}$/.test(text) ? text : '';
}

/** Text from base64; empty where it is none. */
function decoded(base64: string): string {
  if (base64 === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return '';
  return printable(Buffer.from(base64, 'base64').toString('utf8'), longestMessage);
}

/** One line that steers no terminal. */
export function printable(text: string, longest: number): string {
  return text
    .slice(0, longest)
    .replace(/\s*[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\uFFFD]+\s*/gu, ' ')
    .trim();
}
