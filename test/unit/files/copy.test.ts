import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Temporaries } from '../../../daemon/files/temporaries.ts';
import { copy, hostile, scratch } from './stage.ts';

const large = Buffer.alloc(3 << 20, 'a large file, some of it ');
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const times = { mode: 0o644, mtimeMs: 1_600_000_000_123 };

/** Everything below a folder: kind, mode, time and content. */
function picture(folder: Buffer, at = ''): string[] {
  return readdirSync(folder, { encoding: 'buffer' })
    .sort(Buffer.compare)
    .flatMap((name) => {
      const path = Buffer.concat([folder, Buffer.from('/'), name]);
      const stats = lstatSync(path);
      const what = stats.isSymbolicLink() ? readlinkSync(path) : stats.isFile() ? sha(readFileSync(path)) : 'folder';
      const line = `${at}/${name.toString('hex')} ${stats.isSymbolicLink() ? '' : (stats.mode & 0o777).toString(8)} ${Math.round(stats.mtimeMs)} ${what}`;
      return [line, ...(stats.isDirectory() ? picture(path, `${at}/${name.toString('hex')}`) : [])];
    });
}

/** A tree with odd names, modes and times, empty things, and links that stay within it. */
function tree(root: string): string {
  const top = join(root, 'tree');
  mkdirSync(join(top, 'deep', 'er'), { recursive: true });
  mkdirSync(join(top, 'empty folder'));
  writeFileSync(join(top, 'empty'), '');
  writeFileSync(join(top, 'new\nline'), 'n');
  writeFileSync(join(top, 'ünï -rf *'), 'u');
  writeFileSync(Buffer.concat([Buffer.from(`${top}/`), Buffer.from([0xff, 0xfe, 0x20])]), 'not text');
  writeFileSync(join(top, 'deep', 'er', 'run.sh'), '#!/bin/sh\n');
  chmodSync(join(top, 'deep', 'er', 'run.sh'), 0o751);
  writeFileSync(join(top, 'deep', 'large'), large);
  chmodSync(join(top, 'deep', 'large'), 0o400);
  symlinkSync('er/run.sh', join(top, 'deep', 'link'));
  symlinkSync('../empty', join(top, 'deep', 'up'));
  utimesSync(join(top, 'deep', 'large'), 1e9, 1_234_567_890.5);
  chmodSync(join(top, 'deep', 'er'), 0o550);
  utimesSync(join(top, 'deep', 'er'), 1e9, 1e9);
  utimesSync(join(top, 'deep'), 1e9, 1.1e9);
  utimesSync(top, 1e9, 1.2e9);
  return top;
}

const leftovers = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.niia-cp-'));

describe('a copy of a tree', () => {
  test('has the same names, bytes, modes, times and links [COPY-1]', async () => {
    const [from, into] = [scratch(), scratch()];
    const source = tree(from);
    const { sent, received, error } = await copy({ sources: [source], into, names: ['copied'] });
    expect(error).toBeUndefined();
    expect([sent.failed, received.failed, sent.skipped]).toEqual([[], [], []]);
    expect(picture(Buffer.from(join(into, 'copied')))).toEqual(picture(Buffer.from(source)));
    expect(statSync(join(into, 'copied')).mtimeMs).toBe(1.2e12);
    expect(received.counts).toEqual(sent.counts);
    expect(sent.counts).toMatchObject({ file: 6, folder: 4, link: 2 });
  });

  test('goes on after the last entry that was done with, wherever it is cut [COPY-4]', async () => {
    const from = scratch();
    const source = tree(from);
    // At the first and last entries, in the middle of the large file, and between small ones.
    for (const cutAt of [1, 3, 6, 30, 57, 60, 63]) {
      const into = scratch();
      let count = 0;
      const on = (): void => {
        if (++count === cutAt) throw new Error('cut');
      };
      const first = await copy({ sources: [source], into, names: ['copied'], on });
      const second = await copy({ sources: [source], into, names: ['copied'], after: first.place });
      expect([cutAt, second.error, second.received.failed]).toEqual([cutAt, undefined, []]);
      expect(picture(Buffer.from(join(into, 'copied')))).toEqual(picture(Buffer.from(source)));
    }
  }, 60_000);

  test('leaves a folder that was there its mode, and the time of one to which nothing was added', async () => {
    const [from, into] = [scratch(), scratch()];
    const source = tree(from);
    mkdirSync(join(into, 'home', 'deep', 'er'), { recursive: true, mode: 0o700 });
    for (const folder of ['home', 'home/deep', 'home/deep/er']) chmodSync(join(into, folder), 0o700);
    for (let time = 0; time < 2; time++) {
      const { received } = await copy({ sources: [source], into, names: ['home'] });
      expect(received.failed).toEqual([]);
      const modes = ['', 'deep', 'deep/er', 'empty folder'].map(
        (name) => statSync(join(into, 'home', name)).mode & 0o7777,
      );
      expect(modes).toEqual([0o700, 0o700, 0o700, 0o755]);
      // The second time nothing is written that is there already.
      if (time === 1) expect(statSync(join(into, 'home')).mtimeMs).toBe(1.3e12);
      utimesSync(join(into, 'home'), 1e9, 1.3e9);
    }
  });

  test.skipIf(process.getuid?.() !== 0)(
    'with read-only folders is taken up and run again by somebody who is not root [COPY-4]',
    async () => {
      process.seteuid?.(65_534);
      try {
        const [from, into] = [scratch(), scratch()];
        const source = tree(from);
        chmodSync(join(source, 'deep'), 0o555);
        chmodSync(source, 0o555);
        for (const cutAt of [3, 55, 61, 64, 66]) {
          let count = 0;
          const on = (): void => {
            if (++count === cutAt) throw new Error('cut');
          };
          const names = [`cut at ${cutAt}`];
          const first = await copy({ sources: [source], into, names, on });
          // Nothing of the first attempt was acknowledged.
          const second = await copy({ sources: [source], into, names });
          expect([cutAt, first.error === undefined, second.received.failed]).toEqual([cutAt, false, []]);
          expect(picture(Buffer.from(join(into, names[0] ?? '')))).toEqual(picture(Buffer.from(source)));
        }
        // What was added since goes into the folder that was left read-only.
        chmodSync(join(source, 'deep'), 0o755);
        writeFileSync(join(source, 'deep', 'new'), 'new');
        chmodSync(join(source, 'deep'), 0o555);
        const { received } = await copy({ sources: [source], into, names: ['cut at 3'] });
        expect(received.failed).toEqual([]);
        expect(readFileSync(join(into, 'cut at 3', 'deep', 'new'), 'utf8')).toBe('new');
        expect(statSync(join(into, 'cut at 3', 'deep')).mode & 0o7777).toBe(0o555);
      } finally {
        process.seteuid?.(0);
      }
    },
    60_000,
  );

  test('removes what killed processes of its home left beside what they wrote, and takes no name twice', async () => {
    const [from, into, locks] = [scratch(), scratch(), scratch()];
    const source = tree(from);
    mkdirSync(join(into, 'copied'));
    const own = new Temporaries(locks).next().toString();
    const left = own.replace(/-[0-9a-f]{8}(?=-[0-9a-f]{16})/, '-00000000');
    const foreign = own.replace(/^\.niia-cp-[0-9a-f]{8}/, '.niia-cp-00000000');
    for (const folder of [into, join(into, 'copied')]) {
      for (const name of [own, left, foreign]) writeFileSync(join(folder, name), '');
    }
    // Names that a process with our id may have used before the computer was started again.
    for (let n = 0; n < 100; n++) writeFileSync(join(into, 'copied', `.niia-cp-${process.pid}-${n}.tmp`), '');
    const { received } = await copy({ sources: [source], into, names: ['copied'], locks });
    expect(received.failed).toEqual([]);
    const kept = leftovers(into).filter((name) => !/niia-cp-\d+-\d+\.tmp$/.test(name));
    expect(kept.sort()).toEqual([own, foreign, join('copied', own), join('copied', foreign)].sort());
  });

  test('leaves out what cannot be read or is no file, and takes the others', async () => {
    const [from, into] = [scratch(), scratch()];
    mkdirSync(join(from, 't'));
    writeFileSync(join(from, 't', 'a'), 'a');
    symlinkSync('/etc/passwd', join(from, 't', 'b'));
    symlinkSync('x/../../..', join(from, 't', 'c'));
    execFileSync('mkfifo', [join(from, 't', 'd')]);
    writeFileSync(join(from, 't', 'e'), 'e');
    const { sent } = await copy({ sources: [join(from, 't'), join(from, 'none')], into, names: ['t', 'none'] });
    expect(sent.failed).toEqual([
      expect.stringContaining('t/b: a link that leads out'),
      expect.stringContaining('t/c: a link that leads out'),
      expect.stringContaining('none: ENOENT'),
    ]);
    expect(sent.skipped).toEqual([expect.stringContaining('t/d: neither a file')]);
    expect(readdirSync(join(into, 't'))).toEqual(['a', 'e']);
  });
});

describe('a large file', () => {
  async function cutHalfway(source: string, into: string): Promise<void> {
    let data = 0;
    await copy({
      sources: [source],
      into,
      names: ['f'],
      on: (record) => {
        if (record.t === 'data' && ++data > 20) throw new Error('cut');
      },
    });
    expect(leftovers(into)).toHaveLength(1);
  }
  /** Offsets at which the file began, and bytes that were sent. */
  async function again(source: string, into: string): Promise<{ from: number[]; bytes: number; failed: string[] }> {
    const from: number[] = [];
    let bytes = 0;
    const { received } = await copy({
      sources: [source],
      into,
      names: ['f'],
      on: (record, body) => {
        if (record.t === 'from') from.push(record.offset);
        if (record.t === 'data') bytes += body?.length ?? 0;
      },
    });
    expect(leftovers(into)).toEqual([]);
    return { from, bytes, failed: received.failed };
  }
  function file(): { source: string; into: string } {
    const source = join(scratch(), 'f');
    writeFileSync(source, large);
    return { source, into: scratch() };
  }

  test('is taken up where it broke off, and leaves no partial [COPY-4]', async () => {
    const { source, into } = file();
    writeFileSync(join(into, 'f'), 'what was there');
    await cutHalfway(source, into);
    expect(readFileSync(join(into, 'f'), 'utf8')).toBe('what was there');
    const { from, bytes } = await again(source, into);
    expect(from).toEqual([20 << 16]);
    expect(bytes).toBe(large.length - (20 << 16));
    expect(readFileSync(join(into, 'f')).equals(large)).toBe(true);
  });

  test('begins anew where its source was changed, or the partial was [COPY-4]', async () => {
    for (const how of ['source', 'partial'] as const) {
      const { source, into } = file();
      await cutHalfway(source, into);
      const wanted = Buffer.from(large);
      if (how === 'source') {
        wanted[5] = 0;
        writeFileSync(source, wanted);
      } else {
        const partial = join(into, leftovers(into)[0] ?? '');
        const bytes = readFileSync(partial);
        bytes[100] = 0;
        writeFileSync(partial, bytes);
      }
      expect(await again(source, into)).toMatchObject({ from: [0], bytes: large.length, failed: [] });
      expect(readFileSync(join(into, 'f')).equals(wanted)).toBe(true);
    }
  });

  test('that is there already is not sent again', async () => {
    const { source, into } = file();
    await again(source, into);
    expect(await again(source, into)).toEqual({ from: [large.length], bytes: 0, failed: [] });
    // One that only looks the same is.
    const { mtime } = statSync(source);
    const other = Buffer.from(large);
    other[7] = 1;
    writeFileSync(join(into, 'f'), other);
    utimesSync(join(into, 'f'), mtime, mtime);
    expect(await again(source, into)).toMatchObject({ from: [0], bytes: large.length });
    expect(readFileSync(join(into, 'f')).equals(large)).toBe(true);
  });

  test.each(['shrinks', 'is written over'])('that %s while it is read is not taken for whole', async (how) => {
    const { source, into } = file();
    writeFileSync(join(into, 'f'), 'what was there');
    let data = 0;
    const { sent } = await copy({
      sources: [source],
      into,
      names: ['f'],
      on: (record) => {
        if (record.t !== 'data' || ++data !== 3) return;
        if (how === 'shrinks') truncateSync(source, 1 << 20);
        else writeFileSync(source, Buffer.concat([Buffer.from('another'), large]));
      },
    });
    expect(sent.failed).toEqual([expect.stringContaining('changed while it was copied')]);
    expect(readFileSync(join(into, 'f'), 'utf8')).toBe('what was there');
    expect(leftovers(into)).toEqual([]);
  });

  test('that grows while it is read arrives with what it had at first, which is told', async () => {
    const { source, into } = file();
    const { sent, received } = await copy({
      sources: [source],
      into,
      names: ['f'],
      on: (record) => {
        if (record.t === 'data') appendFileSync(source, 'more');
      },
    });
    expect([sent.failed, received.failed, sent.counts.file, received.counts.file]).toEqual([[], [], 1, 1]);
    const told = expect.stringContaining(
      `f: it grew while it was copied, and was copied as far as its first ${large.length} bytes`,
    );
    expect([sent.warnings, received.warnings]).toEqual([[told], [told]]);
    expect(readFileSync(join(into, 'f')).equals(large)).toBe(true);
  });

  test('of which a byte was altered on the way does not take its place [COPY-2]', async () => {
    const { source, into } = file();
    const { sent } = await copy({
      sources: [source],
      into,
      names: ['f'],
      on: (record, body) => {
        if (record.t === 'data' && body) body[3] = (body[3] ?? 0) ^ 1;
      },
    });
    expect(sent.failed).toEqual([expect.stringContaining('not those that were sent')]);
    expect(readdirSync(into)).toEqual([]);
  });
});

describe('a small file', () => {
  test('that grows before it is read arrives with what it had at first, which is told', async () => {
    const [from, into] = [scratch(), scratch()];
    const source = join(from, 't');
    mkdirSync(source);
    for (let n = 10; n < 50; n++) writeFileSync(join(source, `${n}`), n === 49 ? '' : 'line\n');
    const { sent, received } = await copy({
      sources: [source],
      into,
      names: ['t'],
      // By now all are looked at, and the last ones are not read.
      on: (record) => {
        if (record.t === 'folder') for (const name of ['48', '49']) appendFileSync(join(source, name), 'more\n');
      },
    });
    const told = ['48', '49'].map((name) => expect.stringContaining(`t/${name}: it grew while it was copied`));
    expect([sent.failed, sent.warnings, received.warnings.sort()]).toEqual([[], told, told]);
    expect(sent.counts.file).toBe(40);
    expect(readFileSync(join(into, 't', '48'), 'utf8')).toBe('line\n');
    // Of one that was empty, what there was when it was read.
    expect(readFileSync(join(into, 't', '49'), 'utf8')).toBe('more\n');
  });

  test.skipIf(process.platform !== 'linux')('of the kernel, which does not say how long it is, arrives', async () => {
    const into = scratch();
    const { sent } = await copy({ sources: ['/proc/self/status', '/proc/kallsyms'], into, names: ['status', 'long'] });
    expect([sent.failed, sent.warnings]).toEqual([['/proc/kallsyms: it does not say how long it is'], []]);
    expect(readFileSync(join(into, 'status'), 'utf8')).toMatch(/^Name:/);
  });
});

describe('a disk that is full', () => {
  test.skipIf(process.getuid?.() !== 0)(
    'costs the file that did not fit, not what was there, and not the others [COPY-2]',
    async () => {
      const [from, into] = [scratch(), scratch()];
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', into]);
      try {
        mkdirSync(join(into, 't'));
        writeFileSync(join(into, 't', 'large'), 'what was there');
        mkdirSync(join(from, 't'));
        writeFileSync(join(from, 't', 'large'), large);
        writeFileSync(join(from, 't', 'small'), 'fits');
        const { sent } = await copy({ sources: [join(from, 't')], into, names: ['t'] });
        expect(sent.failed).toEqual([expect.stringContaining('t/large: ENOSPC')]);
        expect(readFileSync(join(into, 't', 'large'), 'utf8')).toBe('what was there');
        expect(readFileSync(join(into, 't', 'small'), 'utf8')).toBe('fits');
        expect(readdirSync(join(into, 't')).sort()).toEqual(['large', 'small']);
      } finally {
        execFileSync('umount', [into]);
      }
    },
  );
});

describe('a sender that keeps no rule', () => {
  const small = (n: number, path: unknown[], text = 'x') =>
    [{ t: 'small', n, source: 0, path, ...times, sha256: sha(Buffer.from(text)) }, Buffer.from(text)] as [
      unknown,
      Uint8Array,
    ];
  const folder = (n: number, path: unknown[]) =>
    [{ t: 'folder', n, source: 0, path, ...times, mode: 0o755 }] as [unknown];
  const link = (n: number, path: unknown[], target: string) =>
    [{ t: 'link', n, source: 0, path, mtimeMs: 0, target }] as [unknown];

  test('writes nothing outside by names [COPY-3]', async () => {
    const root = scratch();
    const into = join(root, 'into');
    mkdirSync(into);
    const names = [
      '..',
      '.',
      '',
      '/etc',
      'a/b',
      '../x',
      'a\0b',
      { base64: Buffer.from('../x').toString('base64') },
      'x'.repeat(256),
    ];
    const records = names.flatMap((name, at) => [small(at * 2 + 1, [name]), small(at * 2 + 2, ['..', name])]);
    const { report } = await hostile(into, [folder(0, []), ...records]);
    expect(report.failed).toHaveLength(names.length * 2);
    expect(readdirSync(root)).toEqual(['into']);
    expect(readdirSync(into, { recursive: true })).toEqual(['top']);
  });

  test('may not name what it sends but by a name in a folder [COPY-3]', async () => {
    const into = join(scratch(), 'into');
    mkdirSync(into);
    for (const name of ['..', '.', '', '../x', '/etc/x', 'a/b', 'a\0b']) {
      await expect(hostile(into, [small(0, [])], name)).rejects.toMatchObject({ code: 'denied' });
    }
    expect(readdirSync(join(into, '..'), { recursive: true })).toEqual(['into']);
  });

  test('writes nothing outside through links, its own or those that are there [COPY-3]', async () => {
    const root = scratch();
    const into = join(root, 'into');
    const outside = join(root, 'outside');
    mkdirSync(into);
    mkdirSync(outside);
    mkdirSync(join(into, 'top'));
    symlinkSync(outside, join(into, 'top', 'there'));
    symlinkSync(join(outside, 'new'), join(into, 'top', 'file'));
    const { report } = await hostile(into, [
      folder(0, []),
      link(1, ['out'], '../../outside'),
      link(2, ['out'], outside),
      link(3, ['out'], 'x/../../..'),
      small(4, ['there', 'x']),
      folder(5, ['there']),
      small(6, ['there', 'x']),
      // A link within the copy is made, and not gone through either.
      folder(7, ['real']),
      link(8, ['in'], 'real'),
      small(9, ['in', 'x']),
      // The link is replaced, not what it leads to.
      small(10, ['file']),
      [{ t: 'leave', n: 11, source: 0, path: ['there'], ...times, mode: 0o700 }],
    ]);
    expect(readdirSync(outside)).toEqual([]);
    expect(report.failed.length).toBe(8);
    expect(readdirSync(join(into, 'top', 'real'))).toEqual([]);
    expect(lstatSync(join(into, 'top', 'file')).isFile()).toBe(true);
    expect(existsSync(join(into, 'top', 'out'))).toBe(false);
  });

  test('is cut off where it is out of order, sends too much or too little [COPY-2]', async () => {
    const into = scratch();
    expect((await hostile(into, [small(5, ['a'])])).error).toMatchObject({ code: 'bad_request' });
    expect((await hostile(into, [[{ t: 'what' }]])).error).toMatchObject({ code: 'bad_request' });
    const id = '0'.repeat(32);
    const big = { t: 'large', n: 0, source: 0, path: [], ...times, size: 10, id };
    const data: [unknown, Uint8Array] = [{ t: 'data' }, Buffer.from('0123456')];
    const end: [unknown] = [{ t: 'end', sha256: sha(Buffer.from('0123456')) }];
    for (const records of [[data, data], [data, end], [end]]) {
      const { report } = await hostile(into, [[big], [{ t: 'from', offset: 0 }], ...records, [{ t: 'done' }]]);
      expect(report.failed).toHaveLength(1);
      expect(readdirSync(into)).toEqual([]);
    }
    const { report } = await hostile(into, [[{ ...big, source: 7 }], [{ t: 'done' }]]);
    expect(report.failed).toHaveLength(1);
  });

  test('gives nobody the rights of another [COPY-1]', async () => {
    const into = scratch();
    const body = Buffer.from('x');
    await hostile(into, [
      [{ t: 'small', n: 0, source: 0, path: [], ...times, mode: 0o6755, sha256: sha(body) }, body],
      [{ t: 'done' }],
    ]);
    expect(statSync(join(into, 'top')).mode & 0o7777).toBe(0o755);
  });
});
