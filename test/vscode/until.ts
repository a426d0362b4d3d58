import { setTimeout as delay } from 'node:timers/promises';

/** How long what is to be seen may take on a busy machine, milliseconds: patience, and no promise of the product. */
export const patienceMs = 40_000;

export interface UntilOptions {
  /** How long to look before giving up, in milliseconds. Default `patienceMs`. */
  timeoutMs?: number;
  /** How often to look, in milliseconds. Default 25. */
  everyMs?: number;
  /** What was found instead; stands in the error. */
  found?: () => unknown;
}

type Nothing = undefined | null | false;

/**
 * Looks until there is something, and returns it. For conditions of other processes, which send no event.
 * @throws {Error} naming what was awaited, after `timeoutMs`
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | Nothing> | T | Nothing,
  options: UntilOptions = {},
): Promise<T> {
  const { timeoutMs = patienceMs, everyMs = 25, found } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== null && value !== false) return value;
    if (performance.now() > deadline) {
      const instead = found ? `; found instead:\n${JSON.stringify(await found(), null, 2)}` : '';
      throw new Error(`waited ${timeoutMs} ms in vain for ${what}${instead}`);
    }
    await delay(everyMs);
  }
}
