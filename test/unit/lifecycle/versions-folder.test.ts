import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { installBundle } from '../../../daemon/lifecycle/versions-folder.ts';
import type { Offer } from '../../../shared/protocol/upgrade-methods.ts';
import { smallBundle } from '../../support/small-bundle.ts';

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
  const { bytes: packed, offer } = await smallBundle(target, randomBytes(bytes));
  const path = join(folder, 'bundle');
  writeFileSync(path, packed);
  return { path, offer };
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
