import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ControlScanner } from '../../../../daemon/workers/state/control-scanner.ts';
import { parseCommand } from '../../../../daemon/workers/state/program-status.ts';
import { pieces } from './replay.ts';

function scan(text: string, lengths: readonly number[] = []): string[] {
  const found: string[] = [];
  const scanner = new ControlScanner({
    command: (payload) => found.push(payload),
    mode: (mode, on) => found.push(`${mode}${on ? 'h' : 'l'}`),
  });
  for (const piece of pieces(Buffer.from(text), lengths)) scanner.add(piece);
  return found;
}

describe('what a program tells its terminal', () => {
  test('is found with either end, and between other sequences', () => {
    const text =
      'a\x1b]0;title\x07b\x1b[1;31mred\x1b[?2004hc\x1b]7501;state=idle\x1b\\d\x1b[?1049;25l\x1b(B\x1b]133;A\x07';
    expect(scan(text)).toEqual(['0;title', '2004h', '7501;state=idle', '1049l', '25l', '133;A']);
  });

  test('is the same however it is cut', () => {
    const text =
      '\x1b]0;⠸ repo\x07x\x1b[?2004h\x1b]7501;state=blocked:app=a:msg=aGk=\x1b\\\x1b[2J\x1b]2;é\x07\x1b[?2004l';
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (lengths) => {
        expect(scan(text, lengths)).toEqual(scan(text));
      }),
    );
  });

  test('counts only when it was ended properly', () => {
    expect(scan('\x1b]0;broken off\x18\x1b]0;also\x1a\x1b]0;by another\x1b[?2004h\x1b]0;good\x07')).toEqual([
      '2004h',
      '0;good',
    ]);
  });

  test('is skipped when it has no end, and what follows is found', () => {
    const endless = `\x1b]0;${'x'.repeat(1 << 20)}`;
    expect(scan(`${endless}\x07\x1b]0;next\x07`, [4096])).toEqual(['0;next']);
    expect(scan(`\x1b[?${'9'.repeat(1000)}h\x1b]0;next\x07`)).toEqual(['0;next']);
  });

  test('never makes it throw or hold more than its bound, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        const found: string[] = [];
        const scanner = new ControlScanner({ command: (payload) => found.push(payload), mode: () => undefined });
        scanner.add(bytes);
        for (const payload of found) {
          expect(payload.length).toBeLessThanOrEqual(4096);
          parseCommand(payload);
        }
      }),
    );
  });
});

describe('program status', () => {
  test('says a state, the program, and what it asks', () => {
    const message = Buffer.from('approve Bash: touch a\u202Eb\n').toString('base64');
    expect(parseCommand(`7501;state=blocked:app=claude-code:kind=permission:msg=${message}`)).toEqual({
      type: 'status',
      status: { state: 'blocked', app: 'claude-code', kind: 'permission', message: 'approve Bash: touch a b' },
    });
    expect(parseCommand('7501;state=working')).toMatchObject({ status: { state: 'busy', app: '', message: '' } });
    expect(parseCommand('7501;state=done:app=codex')).toMatchObject({ status: { state: 'idle' } });
    expect(parseCommand('7501;state=clear')).toEqual({ type: 'clear' });
    expect(parseCommand('7501;?')).toEqual({ type: 'query' });
  });

  test('with a state that is not known says nothing', () => {
    expect(parseCommand('7501;state=dreaming:app=codex')).toBeUndefined();
    expect(parseCommand('7501;')).toBeUndefined();
    expect(parseCommand('7501')).toBeUndefined();
  });

  test.each(['%%%%', 'a', '====', 'AAAA=AAAA', '\u0001'])(
    'keeps its state when its message (%s) is no base64',
    (msg) => {
      expect(parseCommand(`7501;state=blocked:msg=${msg}`)).toMatchObject({
        status: { state: 'blocked', message: expect.not.stringContaining('\u0001') },
      });
    },
  );
});

describe('shell marks', () => {
  test.each(['133', '633'])('of OSC %s are read', (family) => {
    expect(parseCommand(`${family};A`)).toMatchObject({ mark: { mark: 'prompt' } });
    expect(parseCommand(`${family};B`)).toMatchObject({ mark: { mark: 'prompt' } });
    expect(parseCommand(`${family};C`)).toMatchObject({ mark: { mark: 'running' } });
    expect(parseCommand(`${family};D;130`)).toMatchObject({ mark: { mark: 'finished', exitCode: 130 } });
    expect(parseCommand(`${family};D`)).toMatchObject({ mark: { mark: 'finished', exitCode: undefined } });
    expect(parseCommand(`${family};P;Cwd=/tmp`)).toBeUndefined();
  });
});
