import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { KnownMachines } from '../../../daemon/core/known-machines.ts';
import { broadcastOf, MagicPackets, magicPacket } from '../../../daemon/core/magic-packet.ts';
import { Home } from '../../../daemon/home/home.ts';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import { wakeSchema } from '../../../shared/protocol/wake-methods.ts';

describe('a magic packet', () => {
  test('is six times FF and sixteen times the address', () => {
    const packet = Buffer.from(magicPacket('00:1a:2b:3c:4d:5e')).toString('hex');
    expect(packet).toBe('ff'.repeat(6) + '001a2b3c4d5e'.repeat(16));
  });

  test('goes to where it is told, three times', async () => {
    const listener = createSocket('udp4');
    const got: Buffer[] = [];
    listener.on('message', (bytes) => got.push(bytes));
    listener.bind(0, '127.0.0.1');
    await once(listener, 'listening');
    const target = `127.0.0.1:${listener.address().port}`;
    try {
      expect(await new MagicPackets().send('00:1a:2b:3c:4d:5e', target)).toEqual([target]);
      await expect.poll(() => got.length).toBe(3);
      expect(got[0]).toEqual(Buffer.from(magicPacket('00:1a:2b:3c:4d:5e')));
    } finally {
      listener.close();
    }
  });

  test('is not sent without end', async () => {
    const packets = new MagicPackets();
    for (let i = 0; i < 6; i++) await packets.send('00:1a:2b:3c:4d:5e', '127.0.0.1:9');
    await expect(packets.send('00:1a:2b:3c:4d:5e', '127.0.0.1:9')).rejects.toMatchObject({ code: 'busy' });
  });

  test.each([
    ['192.168.1.20', '255.255.255.0', '192.168.1.255'],
    ['10.1.2.3', '255.0.0.0', '10.255.255.255'],
    ['172.16.5.9', '255.255.240.0', '172.16.15.255'],
    ['192.0.2.1', '255.255.255.255', '192.0.2.1'],
  ])('for %s in %s is sent to %s', (address, netmask, broadcast) => {
    expect(broadcastOf(address, netmask)).toBe(broadcast);
  });
});

describe('what wakes a machine', () => {
  const ssh = (host: string) => v.safeParse(wakeSchema, { by: 'ssh', host, command: 'niia up' }).success;
  const lan = (mac: string, broadcast: string | null = null) =>
    v.safeParse(wakeSchema, { by: 'lan', mac, via: null, broadcast });

  test('is a host that ssh takes for one, and never an option of ssh', () => {
    for (const host of ['box', 'me@box.example', '192.168.1.2', '[::1]', 'me@fe80::1%eth0'])
      expect([host, ssh(host)]).toEqual([host, true]);
    for (const host of ['', '-oProxyCommand=x', '-l', 'a b', 'a;b', '$(x)', 'a\nb', '@x'])
      expect([host, ssh(host)]).toEqual([host, false]);
  });

  test('is a MAC address in either spelling, and an IPv4 address', () => {
    expect(lan('00-1A-2B-3C-4D-5E').output).toMatchObject({ mac: '00:1a:2b:3c:4d:5e' });
    for (const mac of ['', '00:1a:2b:3c:4d', '00:1a:2b:3c:4d:5e:6f', '0g:1a:2b:3c:4d:5e'])
      expect(lan(mac).success).toBe(false);
    for (const to of ['192.168.1.255', '10.0.0.255:40000']) expect(lan('00:1a:2b:3c:4d:5e', to).success).toBe(true);
    for (const to of ['', 'host', '256.1.1.1', '1.2.3', '1.2.3.4:'])
      expect(lan('00:1a:2b:3c:4d:5e', to).success).toBe(false);
  });
});

describe('what is known of other machines', () => {
  const quiet = { warn: () => undefined };
  const machine = (id: string, online: boolean, path: MachineInfo['path'] = null): MachineInfo => ({
    ...{
      name: id,
      id,
      self: false,
      online,
      path,
      rttMs: null,
      since: null,
      lastSeen: null,
      version: null,
      platform: null,
    },
    ...{ headless: 'unknown', sessions: 0, role: 'operator', labels: {} },
  });
  const withHome = (body: (home: Home) => void): void => {
    const folder = mkdtempSync(join(tmpdir(), 'niia-known-'));
    try {
      body(new Home(folder));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };

  test('outlives the daemon: when a machine was last there, and over which path', () => {
    withHome((home) => {
      let now = new Date('2026-01-01T00:00:00Z');
      const open = () => new KnownMachines(home, quiet, () => now);
      const first = open();
      first.update([machine('b', true), machine('c', false)]);
      first.update([machine('b', true, 'direct'), machine('c', false)]);
      now = new Date('2026-01-02T00:00:00Z');
      first.update([machine('b', false), machine('c', true, 'gateway')]);
      expect(open().of('b')).toEqual({ lastSeen: '2026-01-02T00:00:00.000Z', path: 'direct' });
      now = new Date('2026-01-03T00:00:00Z');
      first.close();
      expect(open().of('c')).toEqual({ lastSeen: '2026-01-03T00:00:00.000Z', path: 'gateway' });
      first.update([machine('c', true, 'gateway')]);
      expect(open().of('b')).toBeUndefined();
    });
  });

  test('is nothing where the file is damaged, and is written anew', () => {
    withHome((home) => {
      for (const text of ['', '{', '{"machines":{"b":7}}']) {
        writeFileSync(home.path('machines.json'), text);
        const known = new KnownMachines(home, quiet);
        expect(known.of('b')).toBeUndefined();
        known.update([machine('b', true)]);
        expect(readFileSync(home.path('machines.json'), 'utf8')).toContain('lastSeen');
      }
    });
  });
});
