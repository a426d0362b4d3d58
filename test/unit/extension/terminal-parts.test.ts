import { SerializeAddon } from '@xterm/addon-serialize';
import { Terminal } from '@xterm/headless';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyTerminal, noteAbovePicture, transientNote } from '../../../extension/terminal/notes.ts';
import { OutputPosition } from '../../../extension/terminal/output-position.ts';
import { PacedWriter } from '../../../extension/terminal/paced-writer.ts';
import { SequenceTracker } from '../../../extension/terminal/sequence-tracker.ts';
import { UnacknowledgedInput } from '../../../extension/terminal/unacknowledged-input.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe('unacknowledged input', () => {
  it('holds exactly what was typed and not confirmed, whatever the pieces', () => {
    const step = fc.oneof(fc.record({ type: fc.string({ maxLength: 8 }) }), fc.record({ confirm: fc.nat(60) }));
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const input = new UnacknowledgedInput(1 << 20);
        let typed = '';
        let confirmed = 0;
        for (const one of steps) {
          if ('type' in one) {
            const ascii = one.type.replace(/[^\x20-\x7e]/g, '?');
            typed += ascii;
            input.add(utf8(ascii));
          } else {
            confirmed = Math.max(confirmed, Math.min(one.confirm, typed.length));
            input.confirm(one.confirm);
          }
          expect(input.pending().map(text).join('')).toBe(typed.slice(confirmed));
          expect([input.base, input.end]).toEqual([confirmed, typed.length]);
        }
      }),
    );
  });

  it('refuses what would be too much, whole', () => {
    const input = new UnacknowledgedInput(4);
    expect(input.add(utf8('abc'))).toBe(true);
    expect(input.add(utf8('de'))).toBe(false);
    expect(input.end).toBe(3);
  });
});

describe('the position in the output', () => {
  const picture = (offset: number, length: number, from: number | null) => ({
    type: 'snapshot' as const,
    ...{ offset, length, cols: 80, rows: 24 },
    gap: from === null ? null : { from, to: offset },
  });

  it('counts output from where the attachment began', () => {
    const position = new OutputPosition();
    position.begin();
    position.attached(100);
    expect(position.take(utf8('hello'))).toEqual([{ type: 'output', bytes: utf8('hello') }]);
    expect(position.since).toBe(105);
  });

  it('puts a picture that overtook output behind that output, and counts on from the picture', () => {
    const position = new OutputPosition();
    position.attached(0);
    position.take(utf8('0123'));
    const snapshot = picture(1000, 3, 8);
    expect(position.announce(snapshot)).toEqual([]);
    expect(position.take(utf8('4567PIC89'))).toEqual([
      { type: 'output', bytes: utf8('4567') },
      { type: 'picture', snapshot },
      { type: 'picture-bytes', bytes: utf8('PIC') },
      { type: 'output', bytes: utf8('89') },
    ]);
    expect(position.since).toBe(1002);
  });

  it('shows the first picture at once, and asks for a new one where it broke off', () => {
    const position = new OutputPosition();
    position.begin();
    position.attached(50);
    expect(position.announce(picture(50, 10, null))).toHaveLength(1);
    position.take(utf8('12345'));
    position.begin();
    expect(position.since).toBeUndefined();
  });

  it('keeps its place over connections', () => {
    const position = new OutputPosition();
    position.attached(7);
    position.take(utf8('abc'));
    position.begin();
    expect(position.since).toBe(10);
    position.attached(10);
    position.take(utf8('d'));
    expect(position.since).toBe(11);
  });
});

describe('the paced writer', () => {
  function stage() {
    const written: string[] = [];
    const timers: Array<() => void> = [];
    const writer = new PacedWriter({
      write: (part) => written.push(part),
      ...{ everyMs: 8, most: 10, highWater: 20 },
      setTimer: (callback) => timers.push(callback) as unknown as NodeJS.Timeout,
      clearTimer: () => timers.splice(0),
    });
    return { writer, written, tick: () => timers.shift()?.() };
  }

  it('writes the first byte at once and gathers what follows', () => {
    const { writer, written, tick } = stage();
    writer.push(utf8('a'));
    expect(written).toEqual(['a']);
    writer.push(utf8('b'));
    writer.push(utf8('c'));
    expect(written).toEqual(['a']);
    tick();
    expect(written).toEqual(['a', 'bc']);
    tick();
    writer.push(utf8('d'));
    expect(written).toEqual(['a', 'bc', 'd']);
  });

  it('writes no more than its share at a time, and makes its caller wait until half has gone', async () => {
    const { writer, written, tick } = stage();
    let resumed = false;
    const waiting = writer.push(utf8('x'.repeat(35)))?.then(() => {
      resumed = true;
    });
    expect(written.map((part) => part.length)).toEqual([10]);
    tick();
    await Promise.resolve();
    expect(resumed).toBe(false);
    tick();
    await waiting;
    expect(resumed).toBe(true);
    expect(written.map((part) => part.length)).toEqual([10, 10, 10]);
  });

  it('puts characters together across chunks and shows what is none as such', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(20)), (bytes, cuts) => {
        const { writer, written } = stage();
        let at = 0;
        for (const cut of cuts) {
          writer.push(bytes.subarray(at, at + cut));
          at = Math.min(bytes.length, at + cut);
        }
        writer.push(bytes.subarray(at));
        writer.flush();
        const whole = new TextDecoder().decode(bytes, { stream: true });
        expect(written.join('')).toBe(whole);
      }),
    );
  });

  it('forgets what waits when it is cleared, and lets its caller go on', async () => {
    const { writer, written, tick } = stage();
    const waiting = writer.push(utf8('y'.repeat(50)));
    writer.clear();
    await waiting;
    tick();
    expect(written.join('')).toBe('y'.repeat(10));
  });
});

describe('the sequence tracker', () => {
  const reached = (output: string): boolean => {
    const tracker = new SequenceTracker();
    tracker.feed(output);
    return tracker.ground;
  };

  it.each([
    ['plain text', 'hello\r\n'],
    ['a colour', '\x1b[1;31mred'],
    ['a title ended by BEL', '\x1b]0;title\x07'],
    ['a title ended by ST', '\x1b]0;title\x1b\\'],
    ['a charset', '\x1b(B'],
    ['a device string', '\x1bP1$r0m\x1b\\'],
    ['a sequence that was broken off', '\x1b[12\x18x'],
  ])('stands between sequences after %s', (_, output) => expect(reached(output)).toBe(true));

  it.each([
    ['an escape', '\x1b'],
    ['half a colour', 'x\x1b[1;3'],
    ['half a charset', '\x1b('],
    ['half a title', '\x1b]0;ti'],
    ['the first half of ST', '\x1b]0;title\x1b'],
  ])('stands within one after %s', (_, output) => expect(reached(output)).toBe(false));

  it('does not care how the output was cut', () => {
    const piece = fc.constantFrom('a', '\x1b', '[', ']', '1', ';', 'm', '\x07', '\\', '(', 'P', '\x18', '\x9b');
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const tracker = new SequenceTracker();
        for (const one of pieces) tracker.feed(one);
        expect(tracker.ground).toBe(reached(pieces.join('')));
      }),
    );
  });
});

describe('notes in a terminal', () => {
  async function screen(...writes: string[]) {
    const terminal = new Terminal({ cols: 40, rows: 6, scrollback: 50, allowProposedApi: true });
    const serializer = new SerializeAddon();
    terminal.loadAddon(serializer);
    for (const one of writes) await new Promise<void>((resolve) => terminal.write(one, resolve));
    const { active } = terminal.buffer;
    const lines = Array.from({ length: active.length }, (_, at) => active.getLine(at)?.translateToString(true));
    return { drawn: serializer.serialize(), lines, cursor: [active.cursorX, active.cursorY], scrolled: active.baseY };
  }
  const note = transientNote('reconnecting…');

  it.each([
    ['a prompt', '$ '],
    ['an empty line', 'line 1\r\nline 2\r\n'],
    ['a coloured line with text behind the cursor', '\x1b[31mabc\x1b[5D def'],
    ['the last line', 'a\r\nb\r\nc\r\nd\r\ne\r\nlast $ '],
    ['a line near its end', 'x'.repeat(35)],
  ])('come and go without a trace after %s', async (_, output) => {
    const shown = await screen(output, note.show);
    expect(shown.lines.join('\n')).toContain(output === 'x'.repeat(35) ? '[rec' : '[reconnecting…]');
    expect(await screen(output, note.show, note.erase)).toEqual(await screen(output));
    expect(await screen(output, note.show, note.erase, 'more\x1b[m')).toEqual(await screen(output, 'more\x1b[m'));
  });

  it('stand above a picture, which is drawn as on an empty terminal', async () => {
    const picture = 'one\r\ntwo\r\n\x1b[32m$ \x1b[m';
    const plain = await screen('rubbish\x1b[41m\x1b]0;half', emptyTerminal, picture);
    expect(plain).toEqual(await screen(picture));
    const told = await screen('rubbish', emptyTerminal, noteAbovePicture('3 MB of output not shown'), picture);
    expect(told.lines).toEqual(['[3 MB of output not shown]', ...plain.lines]);
    expect(told.cursor).toEqual(plain.cursor);
  });
});
