import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { AddressBook, parseAddress } from '../../../daemon/paths/address-book.ts';

let root: string;
let warnings: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'niia-book-'));
  warnings = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const book = (): AddressBook => new AddressBook(new Home(root), { warn: (message) => warnings.push(message) });
const urls = (of: AddressBook, machine = 'm'): string[] => of.of(machine).map(({ url }) => url);

describe('the address book', () => {
  it('keeps what a machine told, over a restart, and drops it when the machine tells something else', () => {
    const before = book();
    expect(before.told('m', ['wss://10.0.0.1:7447', 'wss://[fe80::1]:7447'])).toBe(true);
    expect(before.told('m', ['wss://10.0.0.1:7447', 'wss://[fe80::1]:7447'])).toBe(false);
    const after = book();
    expect(urls(after)).toEqual(['wss://10.0.0.1:7447', 'wss://[fe80::1]:7447']);
    after.told('m', ['wss://10.0.0.2:7447']);
    expect(urls(after)).toEqual(['wss://10.0.0.2:7447']);
  });

  it('tries first where the machine was reached last, and keeps a few such places though it tells others now', () => {
    const addresses = book();
    addresses.told('m', ['wss://a:1', 'wss://b:1']);
    addresses.good('m', 'wss://b:1');
    expect(urls(addresses)).toEqual(['wss://b:1', 'wss://a:1']);
    addresses.told('m', ['wss://c:1']);
    expect(urls(book())).toEqual(['wss://b:1', 'wss://c:1']);
  });

  it('keeps what a person gave until a person takes it away', () => {
    const addresses = book();
    addresses.give('m', '192.168.1.20:7447');
    addresses.told('m', ['wss://10.0.0.1:7447', 'wss://192.168.1.20:7447']);
    addresses.told('m', []);
    expect(addresses.of('m')).toEqual([{ url: 'wss://192.168.1.20:7447', source: 'given', lastGoodAt: null }]);
    expect(addresses.forget('m', 'wss://192.168.1.20:7447')).toBe(true);
    expect(addresses.forget('m', 'wss://192.168.1.20:7447')).toBe(false);
    expect(urls(book())).toEqual([]);
  });

  it('is bounded, whatever a machine tells [SIG-5]', () => {
    const addresses = book();
    for (let round = 0; round < 50; round++) {
      addresses.told(
        'm',
        Array.from({ length: 40 }, (_, i) => `wss://10.0.${round}.${i}:7447`),
      );
      for (const { url } of addresses.of('m')) addresses.good('m', url);
    }
    expect(addresses.of('m').length).toBeLessThanOrEqual(20);
    addresses.told('m', ['ws://plain:1', 'http://x', 'wss://user:pw@h:1', 'wss://h:1/path', 'wss://h:0', '\u0000', '']);
    expect(addresses.of('m').filter(({ former }) => !former)).toEqual([]);
  });

  it('hears nothing new in an address that a person gave as well', () => {
    const addresses = book();
    addresses.give('m', 'a:1');
    expect(addresses.told('m', ['wss://a:1', 'wss://b:1'])).toBe(true);
    expect(addresses.told('m', ['wss://a:1', 'wss://b:1'])).toBe(false);
    expect(addresses.told('m', ['wss://a:1'])).toBe(true);
  });

  it('forgets machines that are no members any more', () => {
    const addresses = book();
    addresses.give('m', 'a:1');
    addresses.give('n', 'b:1');
    addresses.keepOnly(new Set(['n']));
    expect([urls(book(), 'm'), urls(book(), 'n')]).toEqual([[], ['wss://b:1']]);
  });

  it.each(['{', '[]', '{"machines":{"m":[{"url":5}]}}'])('starts without a file that is damaged (%s)', (text) => {
    writeFileSync(join(root, 'addresses.json'), text);
    const addresses = book();
    expect(urls(addresses)).toEqual([]);
    expect(warnings).toHaveLength(1);
    addresses.give('m', 'a:1');
    expect(readFileSync(join(root, 'addresses.json'), 'utf8')).toContain('wss://a:1');
  });

  it.each([
    ['host:7447', 'wss://host:7447'],
    ['wss://HOST:7447', 'wss://host:7447'],
    ['[2001:db8::1]:7447', 'wss://[2001:db8::1]:7447'],
    ['wss://host', 'wss://host:443'],
  ])('reads %s as %s', (text, url) => {
    expect(parseAddress(text)).toBe(url);
  });

  it.each([
    '',
    'not an address',
    'host',
    '192.168.1.20',
    'ws://host:1',
    'https://host',
    'host:99999',
    'wss://host:1/x',
    'wss://u@host:1',
  ])('refuses "%s"', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
