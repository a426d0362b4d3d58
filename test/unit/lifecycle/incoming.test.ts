import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { Incoming } from '../../../daemon/lifecycle/incoming.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { ByteSource } from '../../../shared/rpc/byte-stream.ts';

let folder: string;
let incoming: Incoming;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-incoming-'));
  incoming = new Incoming(new Home(folder));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const source = () => new ByteSource(() => undefined);
const bytes = Buffer.from('0123456789');

describe('a bundle that is received', () => {
  test('is taken up where it broke off, after any number of breaks', async () => {
    for (const [from, to] of [
      [0, 3],
      [3, 3],
      [3, 8],
    ] as const) {
      const broken = source();
      const receiving = incoming.receive('h', { offset: from, size: 10 }, broken, () => undefined);
      if (to > from) broken.push(bytes.subarray(from, to));
      broken.fail(new NiiaError('link_lost', 'gone'));
      await expect(receiving).rejects.toMatchObject({ code: 'link_lost' });
      expect(incoming.received('h')).toBe(to);
    }
    const whole = source();
    const told: number[] = [];
    const receiving = incoming.receive('h', { offset: 8, size: 10 }, whole, (at) => told.push(at));
    whole.push(bytes.subarray(8));
    whole.end();
    expect(await receiving).toBe(10);
    expect(told).toEqual([10]);
    expect(readFileSync(incoming.path('h'))).toEqual(bytes);
  });

  test('is written anew from an earlier byte where the sender says so', async () => {
    writeFileSync(incoming.path('h'), 'xxxxxxxx');
    const again = source();
    const receiving = incoming.receive('h', { offset: 2, size: 4 }, again, () => undefined);
    again.push(bytes.subarray(2, 4));
    again.end();
    expect(await receiving).toBe(4);
    expect(readFileSync(incoming.path('h'), 'utf8')).toBe('xx23');
  });

  test('has no hole: bytes beyond those that are here are refused', async () => {
    await expect(incoming.receive('h', { offset: 1, size: 10 }, source(), () => undefined)).rejects.toMatchObject({
      code: 'bad_request',
    });
  });

  test('is no longer than what was offered', async () => {
    const more = source();
    const receiving = incoming.receive('h', { offset: 0, size: 9 }, more, () => undefined);
    more.push(bytes);
    more.end();
    await expect(receiving).rejects.toMatchObject({ code: 'bad_bundle' });
  });

  test.runIf(existsSync('/dev/full'))('leaves nothing on a disk that is full, and says so', async () => {
    symlinkSync('/dev/full', incoming.path('h'));
    const full = source();
    const receiving = incoming.receive('h', { offset: 0, size: 10 }, full, () => undefined);
    full.push(bytes);
    full.end();
    await expect(receiving).rejects.toMatchObject({ code: 'io', hint: expect.stringContaining('Make room') });
    expect(existsSync(incoming.path('h'))).toBe(false);
    expect(statSync('/dev/full').isCharacterDevice()).toBe(true);
  });

  test('is refused before it is sent where there is no room for it', async () => {
    await expect(incoming.checkRoom(2 ** 50, true)).rejects.toMatchObject({ code: 'io' });
    await incoming.checkRoom(1, true);
  });

  test('is forgotten a day after it broke off', () => {
    writeFileSync(incoming.path('old'), '');
    writeFileSync(incoming.path('new'), '');
    utimesSync(incoming.path('old'), 1, 1);
    incoming.tidy(Date.now());
    expect([existsSync(incoming.path('old')), existsSync(incoming.path('new'))]).toEqual([false, true]);
  });
});
