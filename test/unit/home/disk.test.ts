import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { diskUse } from '../../../daemon/home/disk-use.ts';
import { Home } from '../../../daemon/home/home.ts';
import { parseSize, sizeText } from '../../../daemon/home/size.ts';

describe('a size', () => {
  test.each([
    ['2GiB', 2 ** 31],
    ['2gb', 2 ** 31],
    ['1.5 G', 1.5 * 2 ** 30],
    ['500MB', 500 * 2 ** 20],
    ['64k', 65_536],
    ['0', 0],
    ['123456', 123_456],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text, 'disk')).toBe(bytes);
  });

  test.each(['', 'much', '-1', '1e99', '2 XB', '9999999T', '1..5G'])('"%s" is none', (text) => {
    expect(() => parseSize(text, 'disk')).toThrow('is not a size');
  });

  test.each([
    [2 ** 31, '2 GB'],
    [1.5 * 2 ** 30, '1.5 GB'],
    [700 * 1024, '700 kB'],
    [0, '0 kB'],
  ])('%d is shown as %s', (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });
});

describe('what a home takes on its disk', () => {
  test('is the sum of its files, by what they are for, and follows no link out of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'niia-disk-'));
    try {
      const home = new Home(folder);
      mkdirSync(home.path('sessions', 'local-1'), { recursive: true });
      writeFileSync(home.path('sessions', 'local-1', 'output.log'), 'x'.repeat(1 << 20));
      writeFileSync(home.path('daemon.log'), 'x'.repeat(1 << 20));
      symlinkSync('/usr', home.path('sessions', 'out'));
      const use = await diskUse(home);
      expect(use.sessions).toBeGreaterThanOrEqual(1 << 20);
      expect(use.sessions).toBeLessThan(1.2 * 2 ** 20);
      expect(use.total).toBeGreaterThanOrEqual(2 << 20);
      expect(use.total).toBeLessThan(2.4 * 2 ** 20);
      expect(use.versions).toBe(0);
      expect(use.free).toBeGreaterThan(0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
