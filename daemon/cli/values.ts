import { parseDuration } from '../../shared/duration.ts';
import { NiiaError } from '../../shared/errors.ts';

/** `90s`, `10m`, `1.5h`, `2d`, `500ms`; milliseconds. */
export function duration(text: string, what: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) {
    throw new NiiaError('usage', `${what}: "${text}" is not a time`, 'Times look like 30s, 10m, 1h or 2d.');
  }
  return ms;
}

/** Seconds, fractions allowed; milliseconds. */
export function seconds(text: string, what: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number) || number <= 0) {
    throw new NiiaError('usage', `${what}: "${text}" is not a number of seconds`, 'As in: --timeout 2.5');
  }
  return number * 1_000;
}

/** A whole number of at least `least`. */
export function wholeNumber(text: string, what: string, least = 0): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number) || number < least) {
    throw new NiiaError('usage', `${what}: "${text}" is not a whole number of at least ${least}`);
  }
  return number;
}

/** `K=V` words as a record; the value may be empty and may hold more `=`. */
export function pairs(words: readonly string[], what: string): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw new NiiaError('usage', `${what}: "${word}" is not K=V`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

export function oneOf<T extends string>(text: string, words: readonly T[], what: string): T {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new NiiaError('usage', `${what}: "${text}" is none of ${words.join(', ')}`);
  return found;
}

const ways = ['direct', 'p2p', 'lan'] as const;

/** The flags that switch kinds of paths on or off, where they are given. Throws `usage` for other words. */
export function waysOf(
  options: { readonly [K in (typeof ways)[number]]: string | undefined },
): Partial<Record<(typeof ways)[number], 'on' | 'off'>> {
  const given: Partial<Record<(typeof ways)[number], 'on' | 'off'>> = {};
  for (const way of ways) {
    const value = options[way];
    if (value === 'on' || value === 'off') given[way] = value;
    else if (value !== undefined) throw new NiiaError('usage', `--${way} is on or off, not "${value}"`);
  }
  return given;
}
