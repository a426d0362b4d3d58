import { describe, expect, test } from 'vitest';
import type { Foreground } from '../../../../daemon/workers/state/facts.ts';
import { isInteractiveShell, programNames } from '../../../../daemon/workers/state/program-name.ts';
import { Replay } from './replay.ts';

const bash: Foreground = { group: 10, names: ['bash'], isRoot: true, isShell: true, running: false };
const sleep: Foreground = { group: 11, names: ['sleep'], isRoot: false, isShell: false, running: false };
const htop: Foreground = { group: 12, names: ['htop'], isRoot: false, isShell: false, running: false };
const codex: Foreground = { group: 13, names: ['codex'], isRoot: false, isShell: false, running: false };
const niia: Foreground = { group: 14, names: ['niia'], isRoot: false, isShell: false, running: true };

/** A session with a shell, in which whoever `has` names is in the foreground. */
function shell(argv = ['/bin/bash']) {
  const has = { foreground: bash as Foreground | undefined };
  const replay = new Replay(argv, () => has.foreground);
  const say = (text: string) => replay.hear(Buffer.from(text));
  return { replay, has, say };
}

/** A session whose program is not started from a shell. */
function program(name: string) {
  const replay = new Replay([name]);
  return { replay, say: (text: string) => replay.hear(Buffer.from(text)) };
}

describe('a shell', () => {
  test('that has said nothing is starting, and after long silence nothing is known of it', () => {
    const { replay } = shell();
    expect(replay.after(1000)).toMatchObject({ state: 'starting', why: 'no output yet' });
    expect(replay.after(40_000)).toMatchObject({ state: 'unknown', why: 'no evidence' });
  });

  test('whose line editor reads is idle at once, and is not while a built-in command runs', async () => {
    const { replay, say } = shell();
    await say('\x1b[?2004h$ ');
    expect(replay.after(0)).toMatchObject({ state: 'idle', evidence: { rule: 'foreground.prompt' } });
    await say('while :; do :; done\r\n\x1b[?2004l');
    expect(replay.after(5000)).toMatchObject({ state: 'busy', evidence: { rule: 'foreground.builtin' } });
  });

  test('without a line editor of that kind is idle once it is quiet, with less confidence', async () => {
    const { replay, say } = shell(['dash']);
    await say('$ ');
    expect(replay.after(100).state).toBe('unknown');
    const { state, evidence } = replay.after(300);
    expect(state).toBe('idle');
    expect(evidence).toMatchObject({ rule: 'foreground.quiet', confidence: 0.5 });
  });

  test('is busy while a silent command is in the foreground', async () => {
    const { replay, has, say } = shell();
    await say('\x1b[?2004h$ ');
    replay.after(500);
    await say('sleep 100\r\n\x1b[?2004l');
    has.foreground = sleep;
    const { state, evidence } = replay.after(100);
    expect(state).toBe('busy');
    expect(evidence?.excerpt).toContain('sleep');
    expect(replay.after(60_000).state).toBe('busy');
  });

  test('that runs a program which draws its own screen and is not known is unknown', async () => {
    const { replay, has, say } = shell();
    await say('\x1b[?2004h$ htop\r\n\x1b[?2004l');
    has.foreground = htop;
    await say('\x1b[?1049h\x1b[2J cpu');
    expect(replay.after(1000)).toMatchObject({ state: 'unknown', why: 'no evidence' });
    has.foreground = bash;
    await say('\x1b[?1049l\x1b[?2004h$ ');
    expect(replay.after(100).state).toBe('idle');
  });

  test('says with its marks what it does, whatever is quiet or in the foreground', async () => {
    const { replay, has, say } = shell();
    await say('\x1b]133;A\x07$ \x1b]133;B\x07');
    expect(replay.after(0)).toMatchObject({ state: 'idle', evidence: { rule: 'shell-mark.prompt' } });
    await say('make\r\n\x1b]133;C\x07');
    expect(replay.after(0)).toMatchObject({ state: 'busy', evidence: { rule: 'shell-mark.running' } });
    has.foreground = sleep;
    expect(replay.after(1000).state).toBe('busy');
    has.foreground = bash;
    await say('\x1b]133;D;2\x07');
    expect(replay.after(0)).toMatchObject({
      state: 'idle',
      evidence: { excerpt: expect.stringContaining('exit code 2') },
    });
  });

  test('elsewhere, over ssh, speaks for itself with its marks', async () => {
    const { replay, has, say } = shell();
    await say('\x1b]133;A\x07$ ssh box\r\n\x1b]133;C\x07');
    has.foreground = { ...sleep, names: ['ssh'] };
    expect(replay.after(100).state).toBe('busy');
    await say('\x1b]133;A\x07box$ \x1b[?2004h');
    expect(replay.after(100).state).toBe('idle');
  });

  test.each([
    ['Do you want to continue? [Y/n] ', 'shell.ask-yes-no'],
    ['Are you sure you want to continue connecting (yes/no/[fingerprint])? ', 'shell.ask-yes-no'],
    ['[sudo] password for me: ', 'shell.ask-password'],
    ["Enter passphrase for key '/home/me/.ssh/id_ed25519': ", 'shell.ask-password'],
  ])('whose command asks "%s" is blocked', async (question, rule) => {
    const { replay, has, say } = shell();
    await say('\x1b[?2004h$ go\r\n\x1b[?2004l');
    has.foreground = sleep;
    replay.after(100);
    await say(question);
    expect(replay.after(100)).toMatchObject({ state: 'blocked', evidence: { rule } });
    has.foreground = bash;
    await say('\r\n\x1b[?2004h$ ');
    expect(replay.after(100).state).toBe('idle');
  });

  test('from which a known program was started is what that program says, until it ends', async () => {
    const { replay, has, say } = shell();
    await say('\x1b]133;A\x07\x1b[?2004h$ codex\r\n\x1b[?2004l\x1b]133;C\x07');
    has.foreground = codex;
    await say('\x1b]7501;state=idle:app=codex\x1b\\');
    expect(replay.after(100)).toMatchObject({ state: 'idle', evidence: { rule: 'osc7501' } });
    await say('\x1b]7501;state=working:app=codex\x1b\\');
    expect(replay.after(100).state).toBe('busy');
    // It is killed: what it said last is void.
    has.foreground = bash;
    await say('Killed\r\n\x1b]133;D;137\x07\x1b]133;A\x07\x1b[?2004h$ ');
    expect(replay.after(100)).toMatchObject({ state: 'idle', evidence: { source: 'shell' } });
  });
});

describe('evidence', () => {
  test('that says it works is not believed for ever where its rules know that it forgets to take it back', async () => {
    const ready = '\x1b[2J\x1b[12;1H› \x1b[14;1H  scripted default · /repo\x1b[12;3H';
    const working = '\x1b]7501;state=working:app=codex\x1b\\';
    const failed = program('codex');
    await failed.say(`${working}${ready}\x1b[8;1H■ unexpected status 500\x1b[12;3H`);
    expect(failed.replay.after(4000)).toMatchObject({ state: 'busy', evidence: { rule: 'osc7501' } });
    expect(failed.replay.after(4000)).toMatchObject({ state: 'idle', evidence: { source: 'screen' } });
    await failed.say('\x1b[10;1H• Working (1s • esc to interrupt)\x1b[12;3H');
    expect(failed.replay.after(60_000)).toMatchObject({ state: 'busy', evidence: { rule: 'osc7501' } });
    // Nothing says that a turn has failed: it thinks, and draws nothing of it.
    const quiet = program('codex');
    await quiet.say(`${working}${ready}`);
    expect(quiet.replay.after(60_000)).toMatchObject({ state: 'busy', evidence: { rule: 'osc7501' } });
    // Of another program no rule says that it forgets.
    const other = program('claude');
    await other.say('\x1b]7501;state=working:app=claude\x1b\\\x1b[2J\x1b[8;1H■ failed\x1b[12;1H❯ ');
    expect(other.replay.after(60_000)).toMatchObject({ state: 'busy', evidence: { rule: 'osc7501' } });
  });

  test('of blocked wins over whatever is trusted more', async () => {
    const { replay, say } = program('codex');
    await say('\x1b]7501;state=working:app=codex\x1b\\\x1b]0;[ ! ] Action Required | repo\x07');
    expect(replay.after(0)).toMatchObject({ state: 'blocked', evidence: { rule: 'codex.title-blocked' } });
  });

  test('is remembered of a state that was over before anybody could look', async () => {
    const { replay, say } = program('codex');
    await say('x\x1b]7501;state=working\x07\x1b]7501;state=done\x07');
    expect(replay.after(0).state).toBe('idle');
    expect(replay.tracker.seen('busy')).toEqual({ at: replay.now, offset: replay.offset });
  });

  test('that was withdrawn is none', async () => {
    const { replay, say } = program('something');
    await say('\x1b]7501;state=working:app=x\x07');
    expect(replay.after(0).state).toBe('busy');
    await say('\x1b]7501;state=clear\x07');
    expect(replay.after(0).state).toBe('unknown');
  });

  test('of a burst of states is the last of them, and a hundred thousand of them take less than a second', () => {
    const { replay } = program('codex');
    const burst = '\x1b]7501;state=working\x07\x1b]7501;state=idle\x07\x1b]0;x\x07'.repeat(33_333);
    const { user: before } = process.cpuUsage();
    replay.tracker.heard(Buffer.from(`${burst}\x1b]7501;state=blocked\x07`), 1, ++replay.now);
    expect(replay.after(0).state).toBe('blocked');
    expect((process.cpuUsage().user - before) / 1e6).toBeLessThan(1);
  });
});

describe('a report from inside', () => {
  test('counts until something newer speaks against it', async () => {
    const { replay, say } = program('gemini');
    await say('\x1b]0;✦  Working… (repo)\x07');
    replay.tracker.reported({ state: 'blocked', message: 'may I?' }, replay.now + 1);
    replay.now += 2;
    expect(replay.after(0)).toMatchObject({ state: 'blocked', evidence: { source: 'report' } });
    await say('\x1b]0;x\x07');
    replay.after(1000);
    await say('\x1b]0;✦  Working… (repo)\x07');
    expect(replay.after(0)).toMatchObject({ state: 'busy', evidence: { source: 'title' } });
  });

  test('made at the prompt counts there, and not for the next command', async () => {
    const { replay, has, say } = shell();
    await say('\x1b[?2004h$ ');
    replay.after(500);
    has.foreground = niia;
    replay.tracker.reported({ state: 'busy', message: '' }, ++replay.now);
    has.foreground = bash;
    await say('\x1b[?2004h$ ');
    expect(replay.after(1000)).toMatchObject({ state: 'busy', evidence: { source: 'report' } });
    has.foreground = sleep;
    await say('sleep 9\r\n\x1b[?2004l');
    expect(replay.after(1000)).toMatchObject({ state: 'busy', evidence: { source: 'foreground' } });
  });

  test('is taken back', () => {
    const { replay } = program('anything');
    replay.tracker.reported({ state: 'idle', message: '' }, ++replay.now);
    expect(replay.after(0).state).toBe('idle');
    replay.tracker.reported(undefined, ++replay.now);
    expect(replay.after(0).state).toBe('starting');
  });
});

test('a question whether anybody reads the status is passed on each time it is asked', async () => {
  const { replay, say } = program('claude');
  await say('\x1b]7501;?\x07');
  await say('\x1b]7501;?\x1b\\');
  expect(replay.asked).toBe(2);
});

test('programs are known by the names that they go by', () => {
  expect(programNames(['node', '/x/node_modules/@google/gemini-cli/bundle/gemini.js', '-i'])).toEqual([
    'gemini',
    'gemini-cli',
  ]);
  expect(programNames(['npx', '-y', '@openai/codex@0.169.0'])).toEqual(['codex']);
  expect(programNames(['npm exec codex'])).toEqual(['codex']);
  expect(programNames(['env', 'A=b', '/opt/claude', '--resume'])).toEqual(['claude']);
  expect(programNames(['vim', 'codex'])).toEqual(['vim']);
  expect(programNames(['codex'])).toEqual(['codex']);
});

test.each([
  [['bash'], true],
  [['-zsh'], true],
  [['/usr/bin/fish', '-l'], true],
  [['bash', '--rcfile', '/x', '-i'], true],
  [['sh', '-c', 'sleep 1'], false],
  [['bash', '-lc', 'x'], false],
  [['bash', 'script.sh'], false],
  [['python3'], false],
])('%j is a shell that somebody types into: %s', (argv, is) => {
  expect(isInteractiveShell(argv)).toBe(is);
});
