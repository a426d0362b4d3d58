import { NiiaError } from '../../shared/errors.ts';

const units: Record<string, number> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30, t: 2 ** 40 };

/** `2GiB`, `500 MB`, `64m` or a number of bytes; units are powers of 1024. Throws `usage`. */
export function parseSize(text: string, what: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : units[unit.toLowerCase()];
  const bytes = Math.floor(Number(number) * (factor ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) {
    throw new NiiaError('usage', `${what}: "${text}" is not a size`, 'Sizes look like 500MB or 2GB.');
  }
  return bytes;
}

/** As a person reads it: `2 GB`, `1.5 GB`, `700 kB`. */
export function sizeText(bytes: number): string {
  const [unit, factor] =
    bytes >= 1 << 30
      ? (['GB', 1 << 30] as const)
      : bytes >= 1 << 20
        ? (['MB', 1 << 20] as const)
        : (['kB', 1 << 10] as const);
  const amount = bytes / factor;
  return `${amount >= 10 ? Math.round(amount) : Math.round(amount * 10) / 10} ${unit}`;
}
