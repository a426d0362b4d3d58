import { sessionStates } from '../../../shared/protocol/shapes.ts';
import { command } from '../spec.ts';
import { defaultSession, sessionOption as session } from './session-option.ts';

const creatingRule =
  'Without --session: the session named main; else the only live one; where none lives, a new shell named main.';

/** Commands about sessions. */
export const sessionSpecs = {
  new: command({
    group: 'Sessions',
    summary: "start a session with CMD, or the user's shell; prints its id",
    args: [],
    rest: 'CMD…',
    options: {
      name: { kind: 'text', value: 'N', help: 'a name for it' },
      cwd: {
        kind: 'text',
        value: 'D',
        help: "its folder; this one for a local session, M's home folder for a remote one",
        completes: { from: 'folders' },
      },
      worker: {
        kind: 'text',
        value: 'W',
        help: 'an AI worker: claude, codex, gemini, with CMD as further arguments; or exec, shell or generic, with CMD as its command',
        completes: { from: 'words', words: ['claude', 'codex', 'gemini', 'exec', 'shell', 'generic'] },
      },
      mcp: { kind: 'flag', help: 'with --worker: tell it of niia mcp, so that it can reach the other sessions' },
      env: { kind: 'list', value: 'K=V', help: 'a variable of its environment; may be repeated' },
      cols: { kind: 'text', value: 'C', help: 'width in characters' },
      rows: { kind: 'text', value: 'R', help: 'height in lines' },
      restore: { kind: 'flag', help: 'start it again after a reboot, or a crash of the headless server' },
    },
    notes: [
      'With --restore its command starts anew, in its folder, with its environment (kept in the home until it ends), size and name.',
      'A session that ended by itself, or was ended with kill, is not started again.',
    ],
    examples: ['niia new', 'niia new --name build -- make -j8', 'niia remote new build-box --cwd /srv -- htop'],
    remote: true,
  }),
  list: command({
    group: 'Sessions',
    summary: 'the sessions',
    args: [],
    options: {},
    examples: ['niia list', 'niia remote list build-box --json'],
    remote: true,
  }),
  kill: command({
    group: 'Sessions',
    summary: 'end a session',
    args: ['[S]'],
    argCompletes: [{ from: 'sessions' }],
    options: {
      session,
      signal: { kind: 'text', value: 'SIG', help: 'send this signal only, instead of SIGHUP and then SIGKILL' },
    },
    examples: ['niia kill --session build', 'niia kill --session build --signal SIGINT'],
    remote: true,
  }),
  rename: command({
    group: 'Sessions',
    summary: 'give a session another name',
    args: ['NEW'],
    options: { session },
    examples: ['niia rename --session local-1 build'],
    remote: true,
  }),
  write: command({
    group: 'Sessions',
    summary: 'type exactly these bytes, once',
    args: ['[TEXT]'],
    options: { session, stdin: { kind: 'flag', help: 'type what comes on the input until its end' } },
    examples: ["niia write --session build $'make\\r'", 'niia write --session build --stdin < keys.bin'],
    notes: [
      "No Enter is added: $'make\\r' types make and Enter.",
      creatingRule,
      'A broken connection is retried for 10 s (or --timeout) without typing twice; then exit code 7.',
    ],
    remote: true,
  }),
  read: command({
    group: 'Sessions',
    summary: 'the screen as text, or the raw output',
    args: [],
    options: {
      session,
      scrollback: { kind: 'text', value: 'N', help: 'with up to N lines above the screen' },
      raw: { kind: 'flag', help: 'the raw output, from its oldest byte that is kept' },
      since: { kind: 'text', value: 'OFFSET', help: 'raw output from this byte on' },
      follow: {
        kind: 'flag',
        help: 'raw output as it comes, until the session ends; from now on unless told otherwise',
      },
    },
    examples: ['niia read --session build', 'niia read --session build --raw --since 4096', 'niia read --follow'],
    notes: [
      defaultSession,
      'A gap in raw output is told on stderr. A broken --follow goes on at the same byte.',
      '--follow --json prints {"offset","base64"} for output, {"gap":{"from","to"}}, and at the end {"offset","exitCode","signal"}, a line each.',
    ],
    remote: true,
  }),
  wait: command({
    group: 'Sessions',
    summary: 'wait until a session is idle, shows a text, ends, or is in a state; prints its state',
    args: [],
    options: {
      session,
      idle: { kind: 'text', value: 'MS', help: 'until it was quiet for MS milliseconds' },
      match: { kind: 'text', value: 'REGEX', help: 'until a line matches' },
      since: { kind: 'text', value: 'OFFSET', help: 'with --match: look at the output from this byte on' },
      exit: { kind: 'flag', help: 'until it ends' },
      state: {
        kind: 'text',
        value: 'STATE',
        help: `until it is ${sessionStates.join(', ')}`,
        completes: { from: 'words', words: sessionStates },
      },
    },
    examples: [
      "niia wait --session build --match '^done' --timeout 60",
      'niia wait --session build --exit',
      'niia remote wait build-box --idle 500',
    ],
    notes: [defaultSession, 'Exit code 5 when --timeout passes first.'],
    remote: true,
  }),
  'wait-idle': command({
    group: 'Sessions',
    summary: 'wait --idle 1000',
    args: [],
    options: { session, idle: { kind: 'text', value: 'MS', help: 'how long it must be quiet' } },
    examples: ['niia wait-idle --session build'],
    remote: true,
  }),
  attach: command({
    group: 'Sessions',
    summary: 'the session in this terminal; detach with Ctrl-\\ then d',
    args: ['[S]'],
    argCompletes: [{ from: 'sessions' }],
    options: { session, 'read-only': { kind: 'flag', help: 'watch only' } },
    examples: ['niia attach', 'niia attach build', 'niia attach build-box/local-1', 'niia remote attach build-box'],
    notes: [
      creatingRule,
      'Ctrl-\\ twice sends one Ctrl-\\. A lost connection is taken up again by itself; what is typed meanwhile is kept.',
      'Exits with 0 when detached and when the session ends, whatever its own exit code.',
    ],
    remote: true,
  }),
  record: command({
    group: 'Sessions',
    summary: 'record a session as asciicast v2 until it ends or Ctrl-C',
    args: [],
    options: {
      session,
      out: { kind: 'text', value: 'FILE', help: 'where to; - is stdout', completes: { from: 'files' } },
    },
    examples: ['niia record --session build --out build.cast'],
    notes: [defaultSession],
    remote: true,
  }),
} as const;
