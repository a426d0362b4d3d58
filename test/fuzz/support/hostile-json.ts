import fc from 'fast-check';
import { Random } from '../../sim/random.ts';
import { hostile } from './hostile-bytes.ts';

/** Takes the place of a value that only JSON text can say: far more levels than any parser should follow itself. */
const deep = '@deep@';
const levels = [10, 100, 1_000];
const mostLevels = 100_000;

const oddValues: readonly unknown[] = [
  null,
  true,
  '',
  '0',
  '\u0000\u001b[2J',
  '\ud800',
  '__proto__',
  'constructor',
  'x'.repeat(65),
  'é'.repeat(1_000),
  0,
  -1,
  1.5,
  2 ** 31,
  2 ** 53,
  1e308,
  -1e-300,
  [],
  {},
  [[]],
  { type: 'x' },
  deep,
];

/** These take long to make and to read, so they are rare. */
const largeValues: readonly unknown[] = [
  'AAAA'.repeat(20_000),
  Array.from({ length: 5_000 }, () => 0),
  '\u0000'.repeat(9_000),
];

/** JSON values as an attacker sends them: well-formed messages with one to three changes. `valid` is asked for once. */
export function hostileJson(valid: () => readonly unknown[]): fc.Arbitrary<unknown> {
  let corpus: readonly unknown[] | undefined;
  return fc.noBias(fc.integer()).map((seed) => {
    corpus ??= valid();
    const value = hostileValue(corpus, new Random(seed));
    return value;
  });
}

/** The same as text behind `prefix`; a part of it is no JSON, or no UTF-8, at all. */
export function hostileJsonBytes(
  valid: () => readonly unknown[],
  prefix: Uint8Array = new Uint8Array(),
): fc.Arbitrary<Uint8Array> {
  let corpus: readonly unknown[] | undefined;
  let texts: Uint8Array[] = [];
  return fc.noBias(fc.integer()).map((seed) => {
    if (!corpus) {
      corpus = valid();
      texts = corpus.map((value) => Buffer.from(JSON.stringify(value)));
    }
    return jsonBytes(corpus, texts, prefix, new Random(seed));
  });
}

function jsonBytes(corpus: readonly unknown[], texts: Uint8Array[], prefix: Uint8Array, random: Random): Uint8Array {
  const text = random.chance(0.3)
    ? hostile(texts, random)
    : Buffer.from(textOf(hostileValue(corpus, random), depth(random)));
  return Buffer.concat([prefix, text]);
}

function depth(random: Random): number {
  return random.chance(0.02) ? mostLevels : random.pick(levels);
}

function textOf(value: unknown, depth: number): string {
  const text = JSON.stringify(value) ?? 'null';
  if (!text.includes(deep)) return text;
  return text.replaceAll(`"${deep}"`, () => `${'['.repeat(depth)}${']'.repeat(depth)}`);
}

export function hostileValue(corpus: readonly unknown[], random: Random): unknown {
  let value = random.pick(corpus);
  if (random.chance(0.03)) return value;
  const changes = random.integer(1, 3);
  for (let i = 0; i < changes; i++)
    value = changedAt(value, { left: random.integer(0, size(value) - 1) }, corpus, random);
  return value;
}

/** How many values there are in `value`, itself included. */
function size(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  let count = 1;
  for (const part of Object.values(value)) count += size(part);
  return count;
}

/** `value` with its part number `where.left` changed. */
function changedAt(value: unknown, where: { left: number }, corpus: readonly unknown[], random: Random): unknown {
  if (where.left-- === 0) return changed(value, corpus, random);
  if (Array.isArray(value))
    return value.map((part: unknown) => (where.left < 0 ? part : changedAt(part, where, corpus, random)));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [key, where.left < 0 ? part : changedAt(part, where, corpus, random)]),
  );
}

function changed(value: unknown, corpus: readonly unknown[], random: Random): unknown {
  if (random.chance(0.1)) return random.pick(corpus);
  if (typeof value === 'string' && random.chance(0.5)) return changedText(value, random);
  if (typeof value === 'number' && random.chance(0.5)) return value + random.pick([-1, 1, 0.5, 2 ** 32, -(2 ** 40)]);
  if (Array.isArray(value) && random.chance(0.7)) {
    const at = random.integer(0, value.length);
    return random.pick([
      () => [...value, ...value],
      () => value.toSpliced(at, 1),
      () => value.toReversed(),
      () => value.toSpliced(at, 0, odd(random)),
    ])();
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && random.chance(0.7)) {
    const entries = Object.entries(value);
    const at = random.integer(0, Math.max(0, entries.length - 1));
    if (random.chance(0.5)) return Object.fromEntries(entries.toSpliced(at, 1));
    return { ...value, [random.pick(['extra', 'type', '', 'then', 'length'])]: odd(random) };
  }
  return odd(random);
}

function odd(random: Random): unknown {
  return random.pick(random.chance(0.01) ? largeValues : oddValues);
}

function changedText(text: string, random: Random): string {
  const at = random.integer(0, text.length);
  switch (random.integer(0, 4)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text + text;
    case 2:
      return `${text.slice(0, at)}${String.fromCharCode(random.integer(0, 0xffff))}${text.slice(at)}`;
    case 3:
      return `${text.slice(0, at)}${String.fromCharCode(random.integer(32, 126))}${text.slice(at + 1)}`;
    default:
      return text.toUpperCase();
  }
}
