import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const page = readFileSync(join(root, 'shared/protocol/PROTOCOL.md'), 'utf8');
const stated = [...page.matchAll(/^- \*\*([A-Z]+-\d+)\*\*/gm)].map(([, id]) => id);
const areas = [...new Set(stated.map((id) => id?.replace(/-\d+$/, '')))].join('|');

/** The rules that titles of tests name, as in `… [LINK-3, GW-2]`. */
function named(): Map<string, string[]> {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const titles = new Map<string, string[]>();
  const rules = new RegExp(` \\[((?:${areas})-\\d+(?:, (?:${areas})-\\d+)*)\\]['"\`]`, 'g');
  for (const file of files.filter((name) => name.endsWith('.test.ts'))) {
    for (const [, list] of readFileSync(join(root, 'test', file), 'utf8').matchAll(rules)) {
      for (const id of list?.split(', ') ?? []) titles.set(id, [...(titles.get(id) ?? []), file]);
    }
  }
  return titles;
}

describe('every rule of the protocol', () => {
  it('has an id of its own, numbered without a gap', () => {
    expect(stated.length).toBeGreaterThan(0);
    for (const area of areas.split('|')) {
      const numbers = stated.filter((id) => id?.startsWith(`${area}-`)).map((id) => Number(id?.split('-')[1]));
      expect(numbers.sort((a, b) => a - b)).toEqual(numbers.map((_, at) => at + 1));
    }
  });

  it('is held by a test that names it, and no test names a rule that is none', () => {
    const titles = named();
    expect(stated.filter((id) => id && !titles.has(id))).toEqual([]);
    expect([...titles].filter(([id]) => !stated.includes(id))).toEqual([]);
  });
});
