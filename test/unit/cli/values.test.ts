import { describe, expect, test } from 'vitest';
import { Asciicast } from '../../../daemon/cli/attach/asciicast.ts';
import { ago, table } from '../../../daemon/cli/format.ts';
import { duration, pairs, seconds, wholeNumber } from '../../../daemon/cli/values.ts';
import { span } from '../../../shared/duration.ts';
import { nearest } from '../../../shared/spelling.ts';

describe('values of options', () => {
  test('times have a unit', () => {
    expect(duration('30s', '--expires')).toBe(30_000);
    expect(duration('1.5h', '--expires')).toBe(5_400_000);
    for (const text of ['10', 's', '0m', '-1s', '1 h', '']) {
      expect(() => duration(text, '--expires')).toThrow(/is not a time/);
    }
  });

  test('numbers are whole where they must be', () => {
    expect(seconds('0.25', '--timeout')).toBe(250);
    expect(wholeNumber('42', '--since')).toBe(42);
    for (const text of ['-1', '1.5', 'x', '', '0x10', '99999999999999999999']) {
      expect(() => wholeNumber(text, '--since')).toThrow(/not a whole number/);
    }
  });

  test('pairs split at the first equals sign', () => {
    expect(pairs(['A=b=c', 'E='], '--env')).toEqual({ A: 'b=c', E: '' });
    expect(() => pairs(['=x'], '--env')).toThrow(/not K=V/);
  });

  test('a suggestion is near or absent', () => {
    expect(nearest('lsit', ['list', 'kill'])).toBe('list');
    expect(nearest('upgrade', ['list', 'kill', 'up'])).toBeUndefined();
  });
});

describe('what people read', () => {
  test('tables align, and cannot be made to steer the terminal', () => {
    expect(
      table(
        ['A', 'LONG'],
        [
          ['wide one', 'x'],
          ['\x1b[2J', 'y'],
        ],
      ),
    ).toBe('A         LONG\nwide one  x\n\ufffd[2J      y\n');
  });

  test('times are told in their largest unit', () => {
    expect(ago(null)).toBe('-');
    expect(ago('2026-01-01T00:00:00Z', Date.parse('2026-01-01T03:59:00Z'))).toBe('3h ago');
    expect(span(59_400)).toBe('59s');
  });
});

describe('an asciicast', () => {
  test('keeps a character whole that two chunks share', () => {
    const cast = new Asciicast(1_000);
    const euro = Buffer.from('€');
    expect(JSON.parse(cast.header({ cols: 80, rows: 24 }, 't'))).toMatchObject({ version: 2, width: 80, height: 24 });
    expect(cast.output(1_500, euro.subarray(0, 2))).toBe('');
    expect(JSON.parse(cast.output(2_000, euro.subarray(2)))).toEqual([1, 'o', '€']);
    expect(JSON.parse(cast.resize(2_500, { cols: 100, rows: 30 }))).toEqual([1.5, 'r', '100x30']);
  });
});
