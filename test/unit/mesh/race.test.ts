import { describe, expect, it } from 'vitest';
import { race } from '../../../daemon/mesh/race.ts';

const never = new AbortController().signal;

/** An attempt that ends after `ms`, noting when it begins and when it is aborted. */
function attempt(name: string, ms: number, log: string[], fails = false) {
  return (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      log.push(`${name} begins`);
      const timer = setTimeout(() => (fails ? reject(new Error(`${name} failed`)) : resolve(name)), ms);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        log.push(`${name} is aborted`);
        reject(signal.reason);
      });
    });
}

describe('a race of attempts', () => {
  it('begins the next when one is silent for too long, and ends the others with the first success', async () => {
    const log: string[] = [];
    const attempts = [attempt('slow', 10_000, log), attempt('quick', 5, log), attempt('unneeded', 5, log)];
    expect(await race({ attempts, staggerMs: 50, signal: never, discard: () => undefined })).toBe('quick');
    expect(log).toEqual(['slow begins', 'quick begins', 'slow is aborted', 'quick is aborted']);
  });

  it('begins the next at once when one fails, and rejects with the last failure', async () => {
    const log: string[] = [];
    const attempts = [attempt('first', 1, log, true), attempt('second', 1, log, true)];
    await expect(race({ attempts, staggerMs: 60_000, signal: never, discard: () => undefined })).rejects.toThrow(
      'second failed',
    );
  });

  it('gives away what succeeds too late', async () => {
    const discarded: string[] = [];
    const deaf = (name: string, ms: number) => () =>
      new Promise<string>((resolve) => setTimeout(() => resolve(name), ms));
    const attempts = [deaf('late', 60), deaf('quick', 5)];
    const won = await race({ attempts, staggerMs: 10, signal: never, discard: (late) => discarded.push(late) });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([won, discarded]).toEqual(['quick', ['late']]);
  });

  it('ends when it is aborted, and when there is nothing to try', async () => {
    const abort = new AbortController();
    const log: string[] = [];
    const racing = race({
      attempts: [attempt('one', 10_000, log)],
      staggerMs: 10,
      signal: abort.signal,
      discard: () => undefined,
    });
    abort.abort(new Error('enough'));
    await expect(racing).rejects.toThrow('enough');
    expect(log).toEqual(['one begins', 'one is aborted']);
    await expect(race({ attempts: [], staggerMs: 10, signal: never, discard: () => undefined })).rejects.toThrow();
  });
});
