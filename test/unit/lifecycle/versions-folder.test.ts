import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { installBundle } from '../../../daemon/lifecycle/versions-folder.ts';
import type { Offer } from '../../../shared/protocol/upgrade-methods.ts';

const target = 'linux-x64-glibc';
const here = { machine: 'here', version: '1.0.0', target, natives: {} };

let folder: string;
let small: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-versions-'));
  small = join(folder, 'small');
  mkdirSync(small);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
});
afterEach(() => {
  execFileSync('umount', [small]);
  rmSync(folder, { recursive: true, force: true });
});

/** A bundle with `bytes` of code, which do not get smaller by packing. */
async function bundle(bytes: number): Promise<{ path: string; offer: Offer }> {
  const files = { 'package.json': Buffer.from('{}'), 'dist/niia.js': randomBytes(bytes) };
  const described = Object.entries(files).map(([path, content]) => {
    const sha256 = createHash('sha256').update(content).digest('hex');
    return [path, { size: content.length, sha256, mode: 0o644 }];
  });
  const manifest = {
    ...{ format: 1, name: 'niia', version: '9.9.9', build: 'b', target, natives: {}, node: 20 },
    ...{ protocol: { min: 1, max: 1 }, files: Object.fromEntries(described) },
  };
  const tar = pack();
  tar.entry({ name: 'manifest.json' }, JSON.stringify(manifest));
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  const parts: Uint8Array[] = [];
  for await (const part of tar) if (part instanceof Uint8Array) parts.push(part);
  const packed = gzipSync(Buffer.concat(parts));
  const path = join(folder, 'bundle');
  writeFileSync(path, packed);
  const hash = createHash('sha256').update(packed).digest('hex');
  return { path, offer: { hash, size: packed.length, version: '9.9.9', build: 'b', target, natives: {} } };
}

/** CAP_SYS_ADMIN (capabilities(7)), which root of a container may lack. */
const mayMount =
  process.platform === 'linux' &&
  (BigInt(`0x${/^CapEff:\s+(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`) >> 21n) % 2n === 1n;

describe.runIf(mayMount)('a bundle that is unpacked onto a small disk', () => {
  test('leaves nothing where it does not fit, says so, and fits once there is room', async () => {
    const home = new Home(join(small, 'home'));
    const large = await bundle(2 << 20);
    await expect(installBundle(home, large.path, large.offer, here)).rejects.toMatchObject({
      code: 'io',
      message: expect.stringContaining('does not fit'),
      hint: expect.stringContaining('Make room'),
    });
    expect(readdirSync(home.path('versions'))).toEqual([]);
    const fits = await bundle(1 << 18);
    expect(await installBundle(home, fits.path, fits.offer, here)).toMatchObject({ version: '9.9.9', build: 'b' });
    expect(readdirSync(home.path('versions'))).toEqual(['9.9.9']);
  });
});
