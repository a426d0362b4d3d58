import { mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { direction, operand } from '../../../daemon/cli/copy/operands.ts';
import { comparePaths, fromName, linkStaysWithin, safeName, toName } from '../../../daemon/files/names.ts';
import { scratch } from './stage.ts';

describe('names', () => {
  test('come out as the bytes that they were', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) =>
        fromName(JSON.parse(JSON.stringify(toName(Buffer.from(bytes))))).equals(bytes),
      ),
    );
  });

  test('that stand for a drive, a stream or a device on Windows are none there', () => {
    for (const name of ['a:b', 'C:', 'con', 'NUL.txt', 'x.', 'x ', 'a\\b'])
      expect(() => safeName(name, 'win32')).toThrow();
    for (const name of ['a:b', 'con', 'x.']) expect(safeName(name, 'linux').toString()).toBe(name);
  });

  test('are walked over in one order, a folder before what is in it', () => {
    const path = (text: string): Buffer[] => text.split('/').map((name) => Buffer.from(name));
    const order = ['a', 'a/b', 'a/b/c', 'a/c', 'a b', 'b'].map(path);
    expect([...order].sort(comparePaths)).toEqual(order);
  });
});

describe('a link that is said to stay within a copy', () => {
  test('does, whatever other such links are there [COPY-3]', () => {
    const part = fc.constantFrom('..', 'a', 'b', 'l', '.');
    const links = fc.array(
      fc.record({
        at: fc.array(fc.constantFrom('a', 'b'), { maxLength: 3 }),
        target: fc.array(part, { minLength: 1, maxLength: 5 }),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(links, (made) => {
        const top = join(scratchOnce(), `t${++tops}`, 'top');
        for (const folder of ['a/a/a', 'a/b/a', 'b/a/b', 'b/b/b']) mkdirSync(join(top, folder), { recursive: true });
        const paths: string[] = [];
        for (const [index, { at, target }] of made.entries()) {
          if (!linkStaysWithin(Buffer.from(target.join('/')), at.length)) continue;
          mkdirSync(join(top, ...at), { recursive: true });
          const path = join(top, ...at, index === 0 ? 'l' : `l${index}`);
          symlinkSync(target.join('/'), path);
          paths.push(path);
        }
        for (const path of paths) {
          let real: string;
          try {
            real = realpathSync(path);
          } catch {
            continue; // It leads nowhere, or round and round.
          }
          expect(`${real}/`.startsWith(`${realpathSync(dirname(top))}/top/`)).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  }, 60_000);
});

let tops = 0;
let folder: string | undefined;
function scratchOnce(): string {
  folder ??= scratch();
  return folder;
}

describe('what cp is told', () => {
  const words = (...all: string[]): Buffer[] => all.map((word) => Buffer.from(word));
  test('is a machine where a colon comes before any slash', () => {
    expect(operand(Buffer.from('M:a/b'))).toEqual({ machine: 'M', path: Buffer.from('a/b') });
    expect(operand(Buffer.from('./a:b')).machine).toBeUndefined();
    expect(operand(Buffer.from('M:'))).toEqual({ machine: 'M', path: Buffer.alloc(0) });
    expect(operand(Buffer.from('C:\\x'), 'win32').machine).toBeUndefined();
  });

  test('has one side here and one there', () => {
    expect(direction(words('a', 'b', 'M:c'))).toMatchObject({ way: 'put', machine: 'M' });
    expect(direction(words('M:a', 'c'))).toMatchObject({ way: 'get', machine: 'M' });
    for (const wrong of [['a'], ['a', 'b'], ['M:a', 'N:b'], ['M:a', 'b', 'c'], [':a', 'b'], ['', 'M:b']]) {
      expect(() => direction(words(...wrong))).toThrow();
    }
  });
});
