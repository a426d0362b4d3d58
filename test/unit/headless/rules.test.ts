import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseSession } from '../../../daemon/headless/choose-session.ts';
import { commandLine } from '../../../daemon/headless/command.ts';
import { InputQueue } from '../../../daemon/headless/input-queue.ts';
import { LineText } from '../../../daemon/headless/line-text.ts';
import { Pattern } from '../../../daemon/headless/pattern.ts';
import { endedState } from '../../../daemon/headless/session-state.ts';
import { SizeRule } from '../../../daemon/headless/size-rule.ts';
import { soon } from './support.ts';

const small = { cols: 80, rows: 24 };
const large = { cols: 200, rows: 50 };
const wide = { cols: 300, rows: 20 };

describe('the size of an interactive session', () => {
  test('is that of its only viewer, whatever it does', () => {
    const rule = new SizeRule<string>();
    expect(rule.joined('a', small)).toEqual(small);
    expect(rule.resized('a', large)).toEqual(large);
    expect(rule.typed('a')).toBeUndefined();
  });

  test('is that of whoever typed last, and falls to who typed before', () => {
    const rule = new SizeRule<string>();
    rule.joined('a', small);
    expect(rule.joined('b', large)).toBeUndefined();
    expect(rule.joined('c', wide)).toBeUndefined();
    expect(rule.resized('b', large)).toBeUndefined();
    expect(rule.typed('b')).toEqual(large);
    expect(rule.typed('b')).toBeUndefined();
    expect(rule.typed('c')).toEqual(wide);
    expect(rule.left('c')).toEqual(large);
    expect(rule.left('b')).toEqual(small);
    expect(rule.left('a')).toBeUndefined();
    expect(rule.joined('d', wide)).toEqual(wide);
  });

  test('does not change for one who is not there', () => {
    const rule = new SizeRule<string>();
    expect(rule.typed('x')).toBeUndefined();
    expect(rule.resized('x', large)).toBeUndefined();
    expect(rule.left('x')).toBeUndefined();
  });
});

describe('the session that is meant', () => {
  const at = (id: string, name: string, live: boolean) => ({ id, name, live });

  test('is found by id before name, live before ended, new before old', () => {
    const sessions = [at('local-1', 'x', false), at('local-2', 'x', true), at('local-3', 'x', false)];
    expect(chooseSession(sessions, 'local-1', false)?.id).toBe('local-1');
    expect(chooseSession(sessions, 'x', false)?.id).toBe('local-2');
    expect(
      chooseSession(
        sessions.filter((one) => !one.live),
        'x',
        false,
      )?.id,
    ).toBe('local-3');
    expect(() => chooseSession(sessions, 'y', true)).toThrow('there is no session y; live sessions: x (local-2)');
  });

  test('is, where none is said, main, the only live one, or one to be made', () => {
    const main = at('local-1', 'main', true);
    expect(chooseSession([main, at('local-2', 'b', true)], undefined, false)).toBe(main);
    expect(chooseSession([at('local-1', 'main', false), at('local-2', 'b', true)], undefined, false)?.id).toBe(
      'local-2',
    );
    expect(chooseSession([at('local-1', 'b', false)], undefined, true)).toBeUndefined();
    expect(chooseSession([], undefined, true)).toBeUndefined();
    expect(() => chooseSession([], undefined, false)).toThrow('no session is live');
    expect(() => chooseSession([at('local-1', 'a', true), at('local-2', 'local-2', true)], undefined, true)).toThrow(
      'it is not said which session; live sessions: a (local-1), local-2',
    );
  });
});

describe('output as lines of text', () => {
  test('is the same wherever it is cut', () => {
    const bytes = Buffer.from(
      'plain\r\n\x1b[1;31mred\x1b[0m \x1b]0;title\x07gr\u00fcn \u{1f600}\x1b[3Cgap\x1b[10;5Helsewhere\x1b(B\x1bPdcs\x1b\\end$ ',
    );
    const whole = new LineText();
    const lines = whole.add(bytes);
    expect(lines).toEqual(['plain', 'red gr\u00fcn \u{1f600}   gap']);
    expect(whole.rest).toBe('elsewhereend$ ');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
        const text = new LineText();
        const got: string[] = [];
        let from = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
          got.push(...text.add(bytes.subarray(from, cut)));
          from = cut;
        }
        expect([...got, text.rest]).toEqual([...lines, whole.rest]);
      }),
    );
  });

  test('has no line without bound', () => {
    const text = new LineText();
    const lines = text.add(Buffer.alloc(10_000, 'x'));
    expect(Math.max(...lines.map((line) => line.length), text.rest.length)).toBeLessThanOrEqual(4096);
    // A string sequence that never ends is not one.
    expect(new LineText().add(Buffer.from(`\x1b]${'y'.repeat(5000)}\nafter\n`))).toContain('after');
  });
});

describe('a pattern', () => {
  test('finds the first match in lines', () => {
    expect(new Pattern('b+').find(['aaa', 'abbb'])).toBe('bbb');
    expect(new Pattern('^x$').find(['ax', 'xa'])).toBeNull();
    expect(new Pattern('\\-\\d').find(['a-1'])).toBe('-1');
  });

  test('that is none is refused', () => {
    expect(() => new Pattern('(')).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  test('that backtracks without end is given up', () => {
    const started = performance.now();
    expect(() => new Pattern('(a+)+$').find([`${'a'.repeat(200)}!`])).toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

describe('the queue of input', () => {
  test('types everything in order into a terminal that takes a little at a time', async () => {
    const typed: number[] = [];
    let full = true;
    const queue = new InputQueue((bytes) => {
      const count = full ? 0 : Math.min(bytes.length, 3);
      full = !full;
      typed.push(...bytes.subarray(0, count));
      return count;
    });
    const wanted = Buffer.from('the quick brown fox');
    for (const byte of wanted) queue.typeAll(Buffer.from([byte]));
    await expect.poll(() => Buffer.from(typed).toString(), soon).toBe(wanted.toString());
    expect(queue.waitingBytes).toBe(0);
  });

  test('refuses what would make it grow without bound, and lets a viewer wait', async () => {
    let open = false;
    const queue = new InputQueue((bytes) => (open ? bytes.length : 0));
    const half = Buffer.alloc(512 << 10);
    queue.typeAll(half);
    queue.typeAll(half);
    expect(() => queue.typeAll(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'busy' }));
    const slow = queue.typeAtPace(Buffer.from('y'));
    expect(slow).toBeInstanceOf(Promise);
    open = true;
    await slow;
    expect(queue.waitingBytes).toBe(0);
    expect(queue.typeAtPace(Buffer.from('z'))).toBeUndefined();
  });

  test('holds back what others type while one has the terminal, and does not count it as unread', () => {
    const typed: string[] = [];
    const queue = new InputQueue((bytes) => {
      typed.push(Buffer.from(bytes).toString());
      return bytes.length;
    });
    const turn = queue.takeOver();
    turn.type(Buffer.from('mine'));
    queue.typeAll(Buffer.from('theirs'));
    expect(queue.waitingBytes).toBe(0);
    turn.type(Buffer.from('\r'));
    expect(() => queue.typeAll(Buffer.alloc(1 << 20))).toThrow(expect.objectContaining({ code: 'busy' }));
    turn.release();
    expect(typed).toEqual(['mine', '\r', 'theirs']);
    queue.typeAll(Buffer.alloc(1 << 20));
  });
});

test('a command line reads as one would type it', () => {
  expect(commandLine(['sh', '-c', "echo 'it is'; ls", 'a=b'])).toBe(`sh -c 'echo '\\''it is'\\''; ls' a=b`);
});

test('the state of an ended session is told with how it ended', () => {
  const end = { exitCode: 2, signal: null, lost: false, endedAt: '2026-01-01T00:00:00.000Z' };
  expect(endedState(end)).toMatchObject({ state: 'exited', evidence: 'its process ended with exit code 2' });
  expect(endedState({ ...end, exitCode: null, signal: 'SIGHUP' }).evidence).toBe(
    'its process ended with signal SIGHUP',
  );
  expect(endedState({ ...end, lost: true }).evidence).toContain('headless server ended');
  expect(endedState(end).stateSince).toBe(end.endedAt);
});
