import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { acquireLock } from '../../../daemon/home/lock.ts';
import type { Installation, Pointer } from '../../../daemon/process/installation.ts';
import {
  afterRollback,
  afterStart,
  chooseInstallation,
  inForce,
  installationToStart,
  noteStart,
  readPointer,
  whileTried,
  writePointer,
} from '../../../daemon/process/installation.ts';
import { upgradeLock } from '../../../daemon/process/upgrade-lock.ts';

const there = (): boolean => true;
const at = (build: string): Installation => ({ entry: `/opt/${build}/niia.js`, version: '1.0.0', build });
const [older, upgraded, installed] = [at('older'), at('upgraded'), at('installed')];

/** The pointer after `older` ran and was upgraded. */
const decided: Pointer = { ...whileTried(upgraded, 'u1', afterStart(older, undefined), older), pending: null };

describe('the installation that a daemon is started from', () => {
  test('is the one at hand where nothing was ever noted', () => {
    expect(chooseInstallation(older, undefined, 'user', there)).toEqual(older);
    expect(chooseInstallation(older, undefined, 'restart', there)).toEqual(older);
  });

  test('is the upgrade where the one at hand is a build that it replaced, or the same build elsewhere', () => {
    expect(chooseInstallation(older, decided, 'user', there)).toEqual(upgraded);
    expect(chooseInstallation({ ...upgraded, entry: '/elsewhere/niia.js' }, decided, 'user', there)).toEqual(upgraded);
  });

  test('is what the user installed since, and an old headless server then restarts that as well', () => {
    expect(chooseInstallation(installed, decided, 'user', there)).toEqual(installed);
    const noted = afterStart(installed, decided);
    expect(noted).toMatchObject({ ...installed, by: 'start', over: ['upgraded', 'older'] });
    for (const guard of [older, upgraded]) {
      expect(chooseInstallation(guard, noted, 'restart', there)).toEqual(installed);
    }
  });

  test('is the one at hand where two were installed by hand: a start by the user is an act as well', () => {
    const noted = afterStart(installed, afterStart(older, undefined));
    expect(chooseInstallation(older, noted, 'user', there)).toEqual(older);
    expect(chooseInstallation(older, noted, 'restart', there)).toEqual(installed);
  });

  test('stays the upgrade through a second one, for every build that either replaced', () => {
    const next = at('next');
    const twice = { ...whileTried(next, 'u2', decided, upgraded), pending: null };
    for (const one of [older, upgraded]) expect(chooseInstallation(one, twice, 'user', there)).toEqual(next);
    expect(twice.over).toEqual(['upgraded', 'older']);
  });

  test('is the one at hand where the upgrade was removed', () => {
    expect(chooseInstallation(older, decided, 'user', () => false)).toEqual(older);
    expect(chooseInstallation(older, decided, 'restart', () => false)).toEqual(older);
  });
});

describe('the pointer', () => {
  test('goes back to what it named when an upgrade fails', () => {
    const before = afterStart(older, undefined);
    expect(afterRollback(whileTried(upgraded, 'u1', before, older))).toEqual({ ...before, pending: 'u1' });
    expect(afterRollback(whileTried(upgraded, 'u1', undefined, older))).toMatchObject({ ...older, by: 'start' });
    const again = whileTried({ ...upgraded, entry: '/opt/upgraded.2/niia.js' }, 'u2', decided, upgraded);
    expect(again.over).toEqual(['older']);
    const back = afterRollback(again);
    expect(back).toEqual({ ...decided, previous: null, pending: 'u2' });
    // A new daemon that starts late does not bring itself back, and a second supervisor changes nothing.
    expect(afterStart(upgraded, back)).toBe(back);
    expect(afterRollback(back)).toBe(back);
  });

  test('counts while its upgrade is undecided only as long as a supervisor works on it', () => {
    const before = afterStart(older, undefined);
    const tried = whileTried(upgraded, 'u1', before, older);
    expect(inForce(tried, true)).toBe(tried);
    expect(inForce(tried, false)).toEqual({ ...before, pending: 'u1' });
    for (const pointer of [before, decided, afterRollback(tried), undefined])
      expect(inForce(pointer, false)).toBe(pointer);
  });

  test('is left alone by a daemon that starts while an upgrade is undecided', () => {
    const tried = whileTried(upgraded, 'u1', afterStart(older, undefined), older);
    expect(afterStart(older, tried)).toBe(tried);
    expect(afterStart(upgraded, tried)).toBe(tried);
  });

  test('does not grow without end', () => {
    let pointer: Pointer | undefined;
    for (let i = 0; i < 200; i++) pointer = afterStart(at(`b${i}`), pointer);
    expect(pointer?.over).toHaveLength(50);
    expect(pointer?.over[0]).toBe('b198');
  });
});

describe('the pointer in a home', () => {
  let folder: string;
  let home: Home;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'niia-pointer-'));
    home = new Home(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('is noted by the daemon that starts, once, and read again', () => {
    const entry = join(folder, 'niia.js');
    writeFileSync(entry, '');
    noteStart(home, { ...older, entry });
    const text = readFileSync(home.path('versions', 'current.json'), 'utf8');
    noteStart(home, { ...older, entry });
    expect(readFileSync(home.path('versions', 'current.json'), 'utf8')).toBe(text);
    expect(installationToStart(home, 'restart', installed)).toEqual({ ...older, entry });
    rmSync(entry);
    expect(installationToStart(home, 'restart', installed)).toEqual(installed);
  });

  test('names the old version while nobody sees an upgrade through, whoever asks', async () => {
    const at = (name: string) => join(folder, name);
    for (const name of ['old.js', 'new.js']) writeFileSync(at(name), '');
    const [from, to] = [
      { ...older, entry: at('old.js') },
      { ...upgraded, entry: at('new.js') },
    ];
    writePointer(home, whileTried(to, 'u1', afterStart(from, undefined), from));
    for (const why of ['user', 'restart'] as const) {
      expect(installationToStart(home, why, from)).toEqual(from);
      const lock = await acquireLock(upgradeLock(home));
      if ('heldBy' in lock) throw new Error(`held by ${lock.heldBy}`);
      expect(installationToStart(home, why, from)).toEqual(to);
      lock.release();
    }
  });

  test.each(['', '{', '[]', '{"entry":"niia.js"}', '{"entry":"relative/niia.js","version":"1","build":"b"}'])(
    'that is damaged (%j) counts as none',
    (text) => {
      writePointer(home, decided);
      expect(readPointer(home)).toEqual(decided);
      writeFileSync(home.path('versions', 'current.json'), text);
      expect(readPointer(home)).toBeUndefined();
      expect(installationToStart(home, 'user', older)).toEqual(older);
    },
  );
});
