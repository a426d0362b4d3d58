import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigStore } from '../../../daemon/home/config.ts';
import { Home } from '../../../daemon/home/home.ts';

let folder: string;
let home: Home;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-config-'));
  home = new Home(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (): string => home.path('config.json');
/** A write puts another file in the place of the one that was there. */
const which = (): number => statSync(file()).ino;

describe('the settings', () => {
  test('are written by the first save, and again only where something changed', () => {
    new ConfigStore(home).save();
    const [first, text] = [which(), readFileSync(file(), 'utf8')];
    const store = new ConfigStore(home);
    store.save();
    store.update({ guard: 'on' });
    expect([which(), readFileSync(file(), 'utf8')]).toEqual([first, text]);
    store.update({ guard: 'off' });
    expect(which()).not.toBe(first);
    expect(new ConfigStore(home).current.guard).toBe('off');
    store.update({ guard: 'on' });
    expect(readFileSync(file(), 'utf8')).toBe(text);
  });

  test('of an earlier version, or written by hand, are brought to the present form', () => {
    writeFileSync(file(), '{"p2p":"off"}');
    const before = which();
    new ConfigStore(home).save();
    expect(which()).not.toBe(before);
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toMatchObject({ p2p: 'off', guard: 'on' });
  });
});
