import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LinePrefix } from '../../../daemon/cli/ask/line-prefix.ts';

describe('lines of a machine', () => {
  test('have its name in front, whatever pieces they come in', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '\n', 'é', ' ') });
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 0, max: 20 })), (whole, cuts) => {
        const bytes = Buffer.from(whole);
        const lines = new LinePrefix('M: ');
        const out: Buffer[] = [];
        let from = 0;
        for (const cut of cuts) {
          const piece = lines.take(bytes.subarray(from, from + cut));
          expect(piece.length === 0 || piece.at(-1) === 10).toBe(true);
          out.push(piece);
          from += cut;
        }
        out.push(lines.take(bytes.subarray(from)), lines.end());
        const wanted = whole
          .split('\n')
          .map((line) => `M: ${line}\n`)
          .slice(0, whole.endsWith('\n') || whole === '' ? -1 : undefined);
        expect(Buffer.concat(out).toString()).toBe(wanted.join(''));
      }),
    );
  });

  test('are broken where they never end', () => {
    const lines = new LinePrefix('M: ');
    expect(lines.take(Buffer.alloc((1 << 20) - 1)).length).toBe(0);
    expect(lines.take(Buffer.alloc(1)).length).toBe((1 << 20) + 4);
  });
});
