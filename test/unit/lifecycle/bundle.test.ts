import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeBundle } from '../../../daemon/lifecycle/make-bundle.ts';
import { checkPath, type Manifest } from '../../../daemon/lifecycle/manifest.ts';
import { findNatives } from '../../../daemon/lifecycle/native-packages.mjs';
import { measure, readManifest, unpack } from '../../../daemon/lifecycle/open-bundle.ts';

let folder: string;
let into: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-bundle-'));
  into = join(folder, 'into');
  mkdirSync(into);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
  chmodSync(join(folder, path), mode);
}

/** An installation as npm lays it out: the product among other packages, or with its own. */
function install(modules = 'app/node_modules'): { entry: string; version: string; build: string } {
  write('app/package.json', '{"type":"module"}');
  write('app/dist/niia.js', 'run', 0o755);
  write('app/dist/chunk-1.js', 'more');
  write('app/dist/chunk-1.js.map', 'not shipped');
  write('app/dist/extension.js', 'not shipped');
  write('app/dist/extension-1A2B3C.js', 'not shipped');
  const optional = { 'pty-linux-x64': '1', 'pty-darwin-arm64': '1', 'pty-plain': '1' };
  write(`${modules}/node-pty/package.json`, JSON.stringify({ version: '1.0.0', optionalDependencies: optional }));
  write(`${modules}/node-pty/index.js`, 'pty');
  write(`${modules}/node-pty/index.d.ts`, 'not shipped');
  write(`${modules}/pty-linux-x64/package.json`, '{"version":"1.0.0"}');
  write(`${modules}/pty-linux-x64/prebuilds/linux-x64/pty.node`, 'elf', 0o755);
  write(`${modules}/sodium-native/package.json`, JSON.stringify({ version: '5.0.0', dependencies: { addon: '1' } }));
  write(`${modules}/sodium-native/prebuilds/linux-x64/s.node`, 'elf');
  write(`${modules}/sodium-native/prebuilds/win32-x64/s.node`, 'dll');
  write(`${modules}/sodium-native/node_modules/addon/package.json`, '{"version":"1.0.0"}');
  write(`${modules}/sodium-native/node_modules/addon/index.js`, 'addon');
  return { entry: join(folder, 'app/dist/niia.js'), version: '1.2.3', build: 'abc' };
}

describe('a bundle', () => {
  test.each(['app/node_modules', 'node_modules'])(
    'holds what runs, and nothing else (packages in %s)',
    async (modules) => {
      const made = await makeBundle(install(modules), 'linux-x64-glibc', join(folder, 'b'));
      expect(await measure(made.path)).toEqual({ hash: made.hash, size: made.size });
      expect(await readManifest(made.path)).toEqual(made.manifest);
      expect(await unpack(made.path, into)).toEqual(made.manifest);
      expect(made.manifest.natives).toEqual({ 'node-pty': '1.0.0', 'sodium-native': '5.0.0' });
      expect(Object.keys(made.manifest.files).sort()).toEqual([
        'dist/chunk-1.js',
        'dist/niia.js',
        'node_modules/addon/index.js',
        'node_modules/addon/package.json',
        'node_modules/node-pty/index.js',
        'node_modules/node-pty/package.json',
        'node_modules/pty-linux-x64/package.json',
        'node_modules/pty-linux-x64/prebuilds/linux-x64/pty.node',
        'node_modules/sodium-native/package.json',
        'node_modules/sodium-native/prebuilds/linux-x64/s.node',
        'package.json',
      ]);
      expect(readFileSync(join(into, 'dist/niia.js'), 'utf8')).toBe('run');
      expect(statSync(join(into, 'dist/niia.js')).mode & 0o777).toBe(0o755);
      expect(statSync(join(into, 'package.json')).mode & 0o777).toBe(0o644);
      // What was unpacked finds its packages by itself, and can be packed again.
      expect(findNatives(join(into, 'dist'), 'linux-x64').missing).toEqual([]);
    },
  );

  test('is the same bytes each time, so that a transfer can be taken up with one made anew', async () => {
    const installation = install();
    const first = await makeBundle(installation, 'any', join(folder, 'b1'));
    const second = await makeBundle(installation, 'any', join(folder, 'b2'));
    expect(second.hash).toBe(first.hash);
    expect(first.manifest.natives).toEqual({ 'node-pty': '1.0.0', 'sodium-native': '5.0.0' });
    expect(Object.keys(first.manifest.files)).not.toContain('node_modules/node-pty/index.js');
  });

  test.each(['linux-arm64-glibc', 'linux-x64-musl', 'win32-x64'])(
    'for %s cannot be made from this disk',
    async (target) => {
      const made = makeBundle(install(), target, join(folder, 'b'));
      await expect(made).rejects.toMatchObject({ code: 'failed', message: expect.stringContaining(target) });
      expect(existsSync(join(folder, 'b'))).toBe(false);
    },
  );
});

interface Entry {
  name: string;
  content?: string;
  type?: 'file' | 'symlink' | 'link' | 'directory' | 'fifo' | 'character-device';
  linkname?: string;
}

const told = (content: string) => ({
  size: content.length,
  sha256: createHash('sha256').update(content).digest('hex'),
  mode: 0o644 as const,
});

function manifestOf(files: Record<string, string>, change: object = {}): string {
  const manifest: Manifest = {
    ...{ format: 1, name: 'niia', version: '1.2.3', build: 'abc', target: 'any', natives: {}, node: 20 },
    ...{ protocol: { min: 1, max: 1 } },
    files: Object.fromEntries(Object.entries(files).map(([path, content]) => [path, told(content)])),
  };
  return JSON.stringify({ ...manifest, ...change });
}

const good = { 'package.json': '{}', 'dist/niia.js': 'run' };
const goodEntries = Object.entries(good).map(([name, content]) => ({ name, content }));

/** A bundle of these entries, as somebody who means harm would put it together. */
async function forge(entries: Entry[], cut?: number): Promise<string> {
  const tar = pack();
  for (const { name, content = '', type = 'file', linkname } of entries) {
    const header = { name, type, size: Buffer.byteLength(content), mode: 0o777, ...(linkname && { linkname }) };
    tar.entry(header, content);
  }
  tar.finalize();
  const parts: Uint8Array[] = [];
  for await (const part of tar) if (part instanceof Uint8Array) parts.push(part);
  const path = join(folder, 'forged');
  const bytes = gzipSync(Buffer.concat(parts));
  writeFileSync(path, cut === undefined ? bytes : bytes.subarray(0, cut));
  return path;
}

async function refused(path: string): Promise<string> {
  const error = await unpack(path, into).then(
    () => expect.unreachable('it was unpacked'),
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'bad_bundle' });
  // Whatever it tried: nothing appeared beside the folder that it may fill.
  expect(readdirSync(folder).filter((name) => !['into', 'forged', 'app'].includes(name))).toEqual([]);
  return (error as Error).message;
}

describe('a bundle that somebody tampered with is refused', () => {
  test('although the way it is forged here makes good ones', async () => {
    const path = await forge([{ name: 'manifest.json', content: manifestOf(good) }, ...goodEntries]);
    expect(await unpack(path, into)).toMatchObject({ version: '1.2.3' });
  });

  test.each([
    '../evil',
    '../../evil',
    'dist/../../evil',
    '/tmp/evil',
    './dist/x.js',
    'dist//x.js',
    'dist\\..\\x.js',
    'dist/.hidden',
    'bin/x',
    'C:/x',
    'manifest.json',
    'dist/\0x',
    'dist/x ',
    'dist',
  ])('for a file called %j', async (name) => {
    expect(() => checkPath(name)).toThrow(expect.objectContaining({ code: 'bad_bundle' }));
    const files = { ...good, [name]: 'evil' };
    const path = await forge([
      { name: 'manifest.json', content: manifestOf(files) },
      ...goodEntries,
      { name, content: 'evil' },
    ]);
    expect(await refused(path)).toContain('no place');
    const silent = await forge([
      { name: 'manifest.json', content: manifestOf(good) },
      ...goodEntries,
      { name, content: 'evil' },
    ]);
    await refused(silent);
  });

  test.each([
    { name: 'dist/niia.js', type: 'symlink', linkname: '/etc/passwd' },
    { name: 'dist/niia.js', type: 'link', linkname: '/etc/passwd' },
    { name: 'dist', type: 'symlink', linkname: '/tmp' },
    { name: 'dist/x', type: 'directory' },
    { name: 'dist/niia.js', type: 'fifo' },
    { name: 'dist/niia.js', type: 'character-device' },
  ] as Entry[])('for an entry that is no file: $name as $type', async (entry) => {
    const path = await forge([{ name: 'manifest.json', content: manifestOf(good) }, entry, ...goodEntries]);
    expect(await refused(path)).toContain('not what its manifest says');
  });

  test('for content, size, number or order that its manifest does not name [UPG-5]', async () => {
    const manifest = { name: 'manifest.json', content: manifestOf(good) };
    const changed = [goodEntries[0], { name: 'dist/niia.js', content: 'ran' }] as Entry[];
    expect(await refused(await forge([manifest, ...changed]))).toContain('not the file');
    rmSync(into, { recursive: true });
    mkdirSync(into);
    const longer = [goodEntries[0], { name: 'dist/niia.js', content: 'runs' }] as Entry[];
    expect(await refused(await forge([manifest, ...longer]))).toContain('not what its manifest says');
    rmSync(into, { recursive: true });
    mkdirSync(into);
    expect(await refused(await forge([manifest, goodEntries[0] as Entry]))).toContain('missing');
    rmSync(into, { recursive: true });
    mkdirSync(into);
    expect(await refused(await forge([manifest, ...goodEntries, ...goodEntries]))).toContain(
      'not what its manifest says',
    );
    expect(await refused(await forge([...goodEntries, manifest]))).toContain('does not start');
    expect(await refused(await forge([]))).toContain('empty');
  });

  test.each([
    ['a later format', { format: 2 }],
    ['another product', { name: 'other' }],
    ['a version that is a path', { version: '../../1.0.0' }],
    ['a build id that is a path', { build: '../x' }],
    ['an unknown mode', { files: { 'package.json': { ...told('{}'), mode: 0o4755 }, 'dist/niia.js': told('run') } }],
    [
      'a size beyond all bounds',
      { files: { ...{ 'package.json': told('{}') }, 'dist/niia.js': { ...told('run'), size: 2 ** 40 } } },
    ],
    ['no entry point', { files: { 'package.json': told('{}') } }],
    [
      'names that differ by case only',
      { files: { 'package.json': told('{}'), 'dist/niia.js': told('run'), 'dist/NIIA.js': told('run') } },
    ],
  ])('for a manifest with %s', async (_, change) => {
    await refused(await forge([{ name: 'manifest.json', content: manifestOf(good, change) }, ...goodEntries]));
  });

  test('where it is cut off, wherever that is', async () => {
    const whole = statSync(await forge([{ name: 'manifest.json', content: manifestOf(good) }, ...goodEntries])).size;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole - 9 }), async (cut) => {
        rmSync(into, { recursive: true, force: true });
        mkdirSync(into);
        await refused(await forge([{ name: 'manifest.json', content: manifestOf(good) }, ...goodEntries], cut));
      }),
      { numRuns: 40 },
    );
  });

  test('where a real one was damaged', async () => {
    const { path, size } = await makeBundle(install(), 'linux-x64-glibc', join(folder, 'forged'));
    truncateSync(path, size - 100);
    await refused(path);
    writeFileSync(path, 'not a bundle at all');
    await refused(path);
  });
});
