import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DetachKeys } from '../../../daemon/cli/attach/detach-keys.ts';
import { InputLog } from '../../../daemon/cli/attach/input-log.ts';
import type { Mark } from '../../../daemon/cli/attach/output-position.ts';
import { OutputPosition } from '../../../daemon/cli/attach/output-position.ts';

/** `bytes` in chunks cut at random places. */
function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

function typed(...chunks: Array<string | Uint8Array>): { sent: string; detached: boolean } {
  const keys = new DetachKeys();
  let sent = '';
  for (const chunk of chunks) {
    const { send, detach } = keys.take(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    sent += Buffer.from(send).toString('latin1');
    if (detach) return { sent, detached: true };
  }
  return { sent, detached: false };
}

describe('the detach key', () => {
  test('is Ctrl-\\ then d, together or apart', () => {
    expect(typed('ab\x1cdcd')).toEqual({ sent: 'ab', detached: true });
    expect(typed('ab', '\x1c', 'd')).toEqual({ sent: 'ab', detached: true });
  });

  test('twice sends one Ctrl-\\', () => {
    expect(typed('\x1c\x1c')).toEqual({ sent: '\x1c', detached: false });
    expect(typed('\x1c', '\x1c', 'd')).toEqual({ sent: '\x1cd', detached: false });
    expect(typed('\x1c\x1c\x1cd')).toEqual({ sent: '\x1c', detached: true });
  });

  test('before another key goes through with it', () => {
    expect(typed('\x1c', 'x')).toEqual({ sent: '\x1cx', detached: false });
    expect(typed('\x1c\rd')).toEqual({ sent: '\x1c\rd', detached: false });
  });

  test('is known as kitty and xterm send it with their keyboard protocols', () => {
    expect(typed('a\x1b[92;5ud')).toEqual({ sent: 'a', detached: true });
    expect(typed('\x1b[27;5;92~', '\x1b[100u')).toEqual({ sent: '', detached: true });
    expect(typed('\x1b[92;5u', '\x1b[92;5u')).toEqual({ sent: '\x1b[92;5u', detached: false });
    expect(typed('\x1b', '[A')).toEqual({ sent: '\x1b[A', detached: false });
  });

  test('is found wherever the input is cut', () => {
    const bytes = fc.array(fc.constantFrom(0x1c, 0x64, 0x61, 0xff), { maxLength: 30 }).map((a) => Uint8Array.from(a));
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(30), { maxLength: 6 }), (all, places) => {
        expect(typed(...cut(all, places))).toEqual(typed(all));
      }),
    );
  });
});

describe('what was typed', () => {
  test('is kept until it is acknowledged, and sent again from there', () => {
    const log = new InputLog();
    log.add(Buffer.from('abc'));
    log.add(Buffer.from('def'));
    log.acknowledge(4);
    expect(log.acknowledged).toBe(4);
    expect(Buffer.concat([...log.unacknowledged]).toString()).toBe('ef');
    log.acknowledge(2);
    expect(log.acknowledged).toBe(4);
    log.acknowledge(99);
    expect(log.acknowledged).toBe(6);
    expect(log.unacknowledged).toEqual([]);
  });

  test('is bounded: what has no room is refused whole', () => {
    const log = new InputLog();
    expect(log.add(new Uint8Array(1 << 20))).toBe(true);
    expect(log.add(Buffer.from('x'))).toBe(false);
    log.acknowledge(1);
    expect(log.add(Buffer.from('x'))).toBe(true);
  });
});

interface Told {
  output: Array<[number, string]>;
  picture: string;
  marks: string[];
}

function show(position: OutputPosition<string>, bytes: string, told: Told): void {
  for (const piece of position.take(Buffer.from(bytes))) {
    if ('mark' in piece) told.marks.push(piece.mark);
    else if (piece.picture) told.picture += Buffer.from(piece.bytes).toString();
    else told.output.push([piece.offset, Buffer.from(piece.bytes).toString()]);
  }
}

describe('the place in the output', () => {
  test('counts output, not pictures, and jumps over a gap where it lies', () => {
    const position = new OutputPosition<string>();
    const told: Told = { output: [], picture: '', marks: [] };
    position.start(10);
    // Told early: two more bytes of output come before it.
    position.mark({ at: 12, to: 100, picture: 3, what: 'gap' });
    show(position, 'ab', told);
    expect(position.resumeAt).toBeUndefined();
    show(position, 'PIC', told);
    expect(position.resumeAt).toBe(100);
    show(position, 'cd', told);
    expect(told).toEqual({
      output: [
        [10, 'ab'],
        [100, 'cd'],
      ],
      picture: 'PIC',
      marks: ['gap'],
    });
    expect(position.resumeAt).toBe(102);
  });

  test('is the same wherever the bytes are cut', () => {
    const stream = Buffer.from('abPIC!cdefgh');
    const marks: Array<Mark<string>> = [
      { at: 2, to: 50, picture: 4, what: 'gap' },
      { at: 53, what: 'here' },
    ];
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 6 }), (places) => {
        const position = new OutputPosition<string>();
        position.start(0);
        for (const mark of marks) position.mark(mark);
        let text = '';
        for (const chunk of cut(stream, places)) {
          for (const piece of position.take(chunk)) {
            text += 'mark' in piece ? `<${piece.mark}>` : Buffer.from(piece.bytes).toString();
          }
        }
        expect(text).toBe('ab<gap>PIC!cde<here>fgh');
        expect(position.resumeAt).toBe(56);
      }),
    );
  });

  test('in the middle of a picture there is no place to go on from', () => {
    const position = new OutputPosition<string>();
    position.start(5);
    position.mark({ at: null, to: 5, picture: 10, what: 'picture' });
    for (const _ of position.take(Buffer.from('half'))) expect(_).toBeDefined();
    expect(position.resumeAt).toBeUndefined();
  });
});
