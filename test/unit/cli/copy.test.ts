import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { encodeRecord } from '../../../daemon/files/copy-wire.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { scratch } from '../files/stage.ts';
import { cliWithAnswers, outcome } from './harness.ts';

// Each step is a process, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const { cli, serve } = cliWithAnswers();

const times = { mode: 0o777, mtimeMs: 1_000_000_000_000 };
const small = (n: number, path: string[], text: string): Buffer => {
  const body = Buffer.from(text);
  return encodeRecord(
    { t: 'small', n, source: 0, path, ...times, sha256: createHash('sha256').update(body).digest('hex') },
    body,
  );
};
const folder = (n: number, t: 'folder' | 'leave'): Buffer => encodeRecord({ t, n, source: 0, path: [], ...times });

describe('a machine that lies about what it was asked for', () => {
  /** What `copy.look` says, and what is sent then. */
  const lies: Array<[ResultOf<'copy.look'>, Buffer[]]> = [
    [{ path: '/x/..', kind: 'folder' }, [folder(0, 'folder'), small(1, ['.bashrc'], 'evil'), folder(2, 'leave')]],
    [{ path: '/x/..', kind: 'folder' }, [small(0, [], 'evil')]],
    [{ path: '/x/.bashrc', kind: 'file' }, [small(0, [], 'evil')]],
    [{ path: '/x/.ssh', kind: 'folder' }, [folder(0, 'folder'), small(1, ['config'], 'evil'), folder(2, 'leave')]],
    [{ path: '/', kind: 'folder' }, [folder(0, 'folder'), small(1, ['.bashrc'], 'evil'), folder(2, 'leave')]],
  ];

  /** Runs `niia cp evil:WORD .` in `home/dl`; what stands in home and in dl then. */
  async function got(word: string, [found, records]: (typeof lies)[number]): Promise<{ home: string[]; dl: string[] }> {
    const home = scratch();
    const dl = join(home, 'dl');
    mkdirSync(dl, { mode: 0o700 });
    writeFileSync(join(dl, '.bashrc'), 'mine');
    const { mode, ino } = statSync(home);
    await serve({
      'copy.look': () => found,
      'copy.get': async ({ sink }) => {
        for (const record of records) await sink(streams.output).writeAll(record);
        await sink(streams.output).writeAll(encodeRecord({ t: 'done' }));
        return {};
      },
    });
    await outcome(cli.start(['cp', `evil:${word}`, '.'], dl));
    expect(statSync(home)).toMatchObject({ mode, ino });
    return { home: readdirSync(home), dl: readdirSync(dl).sort() };
  }

  test('writes nothing outside the target, and nothing in it under another name [COPY-3]', async () => {
    for (const lie of lies) {
      const { home, dl } = await got('some/notes.txt', lie);
      expect([lie[0], home, dl]).toEqual([lie[0], ['dl'], ['.bashrc', 'notes.txt']]);
    }
  });

  test('writes nothing outside a target that takes what is in a folder [COPY-3]', async () => {
    for (const [at, word] of ['', '..', '~', 'some/.', '/'].entries()) {
      const lie = lies[at] as (typeof lies)[number];
      const { home } = await got(word, lie);
      expect([word, home]).toEqual([word, ['dl']]);
    }
  });
});

describe('a machine that acknowledges what it was not sent', () => {
  test('ends the copy, at once', async () => {
    const from = scratch();
    writeFileSync(join(from, 'f'), 'x');
    await serve({
      'copy.look': () => ({ path: '/x', kind: 'folder' }),
      'copy.put': async ({ sink, signal }) => {
        await sink(streams.output).writeAll(encodeRecord({ t: 'ack', n: Number.MAX_SAFE_INTEGER, bytes: 0 }));
        return await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    });
    const { code, err } = await outcome(cli.start(['cp', 'f', 'M:'], from));
    expect([code, err]).toEqual([2, 'niia: an entry was acknowledged that was not sent\n']);
  });
});

describe('what is copied', () => {
  test('is called what it was called on the command line, links to it included', async () => {
    const from = scratch();
    mkdirSync(join(from, 'v1.2'));
    symlinkSync('v1.2', join(from, 'current'));
    const names: unknown[] = [];
    await serve({
      'copy.look': () => ({ path: '/home/m', kind: 'folder' }),
      'copy.put': ({ params }) => {
        names.push([params.into, params.names]);
        throw new Error('enough');
      },
    });
    for (const word of ['current', 'current/', 'current/.', '..']) await outcome(cli.start(['cp', word, 'M:'], from));
    expect(names).toEqual([
      ['/home/m', ['current']],
      ['/home/m', ['current']],
      // What is in it.
      ['/home', ['m']],
      ['/home', ['m']],
    ]);
  });
});

describe.skipIf(process.platform !== 'linux')('names that are no text', () => {
  test('are told apart, though they look the same', async () => {
    const from = scratch();
    // Two bytes that each become U+FFFD.
    const names = [Buffer.from([0xfe]), Buffer.from([0xff])];
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${from}/`), name]), '');
    let sent: unknown;
    await serve({
      'copy.look': () => ({ path: '/x', kind: 'folder' }),
      'copy.put': ({ params }) => {
        sent = params.names;
        throw new Error('enough');
      },
    });
    // A shell, as Node hands on text only.
    const { err } = await outcome(cli.shell(`exec "$@" cp --timeout 20 $'\\xfe' -- $'\\xff' M:`, from));
    expect([err, sent]).toEqual(['niia: enough\n', names.map((name) => ({ base64: name.toString('base64') }))]);
  });
});

describe('Ctrl-C', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)(
    'as %s ends a copy such that it can be taken up [COPY-4]',
    async (signal) => {
      const into = scratch();
      const piece = Buffer.alloc(64 << 10, 'x');
      await serve({
        'copy.look': () => ({ path: '/x/f', kind: 'file' }),
        'copy.get': async ({ sink, signal: over }) => {
          const out = sink(streams.output);
          const entry = { t: 'large', n: 0, source: 0, path: [], ...times, size: 100 << 20, id: '0'.repeat(32) };
          await out.writeAll(Buffer.concat([encodeRecord(entry), encodeRecord({ t: 'from', offset: 0 })]));
          for (let at = 0; at < 32; at++) await out.writeAll(encodeRecord({ t: 'data' }, piece));
          return await new Promise((_, reject) => over.addEventListener('abort', () => reject(over.reason)));
        },
      });
      const child = cli.start(['cp', 'M:f', '.'], into);
      const ended = outcome(child);
      const partial = (): string | undefined => readdirSync(into).find((name) => name.endsWith('.part'));
      await expect
        .poll(() => statSync(join(into, partial() ?? '.')).size, { timeout: 20_000, interval: 5 })
        .toBe(32 * piece.length);
      expect(readdirSync(cli.home.path('copies'))).toHaveLength(1);
      child.kill(signal);
      expect(await ended).toMatchObject({ code: null, signal, out: '', err: '' });
      // No lock is left, but what came.
      expect(readdirSync(cli.home.path('copies'))).toEqual([]);
      expect(readdirSync(into)).toEqual([partial()]);
      expect(statSync(join(into, partial() ?? '.')).size).toBe(32 * piece.length);
    },
  );
});
