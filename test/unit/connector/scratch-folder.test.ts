import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { ScratchFolder } from '../../../daemon/connector/scratch-folder.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function scratchpad(): { pad: ScratchFolder; folder: string } {
  const outer = mkdtempSync(join(tmpdir(), 'niia-scratch-'));
  folders.push(outer);
  const folder = join(outer, 'pad');
  return { pad: new ScratchFolder(folder, { warn: () => undefined }), folder };
}

const fileOf = (path: string, text: string) => ({
  ...{ path, size: Buffer.byteLength(text) },
  sha256: createHash('sha256').update(text).digest('hex'),
});
const bytesOf =
  (...parts: string[]) =>
  () =>
    Readable.from(parts.map((part) => Buffer.from(part)));

async function textOf(pad: ScratchFolder, path: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await pad.read(path)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a scratchpad', () => {
  test('holds what was written last, in folders too', async () => {
    const { pad } = scratchpad();
    expect(await pad.list()).toEqual([]);
    await pad.write(fileOf('notes/a.md', 'first'), bytesOf('fi', 'rst'));
    await pad.write(fileOf('notes/a.md', 'second'), bytesOf('second'));
    await pad.write(fileOf('b', ''), bytesOf());
    expect(await pad.list()).toEqual([fileOf('b', ''), fileOf('notes/a.md', 'second')]);
    expect(await textOf(pad, 'notes/a.md')).toBe('second');
  });

  test.each(['../out', 'a/../../out', '/etc/out', 'a//b', '.', 'a/\0', `${'x/'.repeat(40)}y`])(
    'takes nothing that leads out of its folder: %j',
    async (path) => {
      const { pad, folder } = scratchpad();
      await expect(pad.write(fileOf(path, 'x'), bytesOf('x'))).rejects.toMatchObject({ code: 'denied' });
      await expect(pad.read(path)).rejects.toMatchObject({ code: 'denied' });
      expect(existsSync(join(folder, '..', 'out'))).toBe(false);
    },
  );

  test('keeps what it has where something else comes than was said', async () => {
    const { pad, folder } = scratchpad();
    await pad.write(fileOf('a', 'good'), bytesOf('good'));
    await expect(pad.write(fileOf('a', 'bad!'), bytesOf('bat!'))).rejects.toMatchObject({ code: 'io' });
    await expect(pad.write(fileOf('a', 'bad!'), bytesOf('bad!', 'more'))).rejects.toMatchObject({
      code: 'bad_request',
    });
    await expect(pad.write(fileOf('a', 'bad!'), bytesOf('ba'))).rejects.toMatchObject({ code: 'io' });
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('good');
    expect(readdirSync(folder)).toEqual(['a']);
  });

  test('follows no link that stands in it', async () => {
    const { pad, folder } = scratchpad();
    await pad.write(fileOf('a', 'x'), bytesOf('x'));
    symlinkSync('/etc/passwd', join(folder, 'link'));
    await expect(pad.read('link')).rejects.toMatchObject({ code: 'usage' });
    mkdirSync(join(folder, '..', 'away'));
    symlinkSync(join(folder, '..', 'away'), join(folder, 'out'));
    for (const asked of [pad.read('out/x'), pad.write(fileOf('out/x', 'x'), bytesOf('x'))]) {
      await expect(asked).rejects.toMatchObject({ code: 'denied' });
    }
    expect(readdirSync(join(folder, '..', 'away'))).toEqual([]);
    expect((await pad.list()).map(({ path }) => path)).toEqual(['a']);
  });
});
