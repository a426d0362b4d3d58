import { afterAll, beforeAll } from 'vitest';

/**
 * What a bracket, such as `withTeam`, gives to its body, for all tests of a file or block: it is opened before the first
 * one and closed after the last.
 */
export function forAllTests<T>(bracket: (body: (given: T) => Promise<void>) => Promise<void>): () => T {
  let given: { value: T } | undefined;
  let close: () => void = () => undefined;
  let whole: Promise<void> = Promise.resolve();
  beforeAll(async () => {
    await new Promise<void>((opened, failed) => {
      whole = bracket(async (value) => {
        given = { value };
        opened();
        await new Promise<void>((resolve) => {
          close = resolve;
        });
      });
      whole.catch(failed);
    });
  });
  afterAll(async () => {
    close();
    await whole;
  });
  return () => {
    if (!given) throw new Error('it is there while tests run');
    return given.value;
  };
}
