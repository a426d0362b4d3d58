import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { hostname, networkInterfaces, userInfo } from 'node:os';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Discovery } from '../../../daemon/lan/discovery.ts';
import type { LanAddress } from '../../../daemon/lan/lan-peer.ts';
import { announcedHash } from '../../../daemon/lan/seal.ts';
import { localSegments } from '../../../daemon/lan/segments.ts';
import type { Limits } from '../../../daemon/lan/source-limit.ts';
import { inTier } from '../../support/tier.ts';
import { announcement, anyPacket, query } from './packets.ts';
import { closing, newLan, quiet, teamOf } from './stage.ts';

const runs = inTier(1_000, 20_000);
/** About half a millisecond each, on a busy machine more. */
const packetTestMs = 20_000 + 3 * runs;
const group = '224.0.0.251';
const own = localSegments().find(({ family }) => family === 4)!;

const sockets: (() => void)[] = [];
afterEach(() => {
  for (const close of sockets.splice(0)) close();
});

/** Somebody on the LAN who speaks multicast DNS byte by byte, and hears all that is said. */
async function neighbour() {
  const heard: Buffer[] = [];
  const waiting = new Set<(packet: Buffer) => void>();
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  socket.on('message', (packet) => {
    if (heard.length < 1_000) heard.push(packet);
    for (const look of waiting) look(packet);
  });
  await new Promise<void>((resolve) => socket.bind(5353, '0.0.0.0', resolve));
  socket.addMembership(group, own.address);
  socket.setMulticastInterface(own.address);
  socket.setMulticastLoopback(true);
  sockets.push(() => socket.close());
  /** The next packet for which this is true. */
  const next = (what: (packet: Buffer) => boolean) =>
    new Promise<void>((resolve) => {
      const look = (packet: Buffer): void => {
        if (!what(packet)) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
    });
  return {
    heard,
    next,
    /** Resolves once the packet has been on the network, so that many in a row do not overflow anybody's buffer. */
    say: async (packet: Uint8Array) => {
      const there = next((one) => one.equals(packet));
      socket.send(packet, 5353, group);
      await there;
    },
  };
}

/** Looks for `hash`; tells when it was found or has gone. */
async function newDiscovery(
  wanted: (hash: string) => boolean,
  publish?: { hash: string; port: number },
  limits?: Limits,
) {
  const events: string[] = [];
  const waiting = new Set<() => void>();
  const tell = (kind: string) => (hash: string, where: LanAddress) => {
    events.push(`${kind} ${hash} ${where.port}`);
    for (const look of waiting) look();
  };
  const discovery = closing(
    new Discovery({ log: quiet, publish, wanted, found: tell('found'), gone: tell('gone'), ...(limits && { limits }) }),
  );
  await discovery.start();
  return {
    discovery,
    events,
    has: (event: string) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (!events.includes(event)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

const plenty = { perSecond: 1_000_000, burst: 1_000_000 };
const newHash = () => randomBytes(16).toString('hex');

describe('an announcement', () => {
  it('tells a hash of the key and nothing else: no name of computer, machine, user or team, no other network [LAN-1]', async () => {
    const { identities, roster } = teamOf('machine-name-of-alpha', 'machine-name-of-beta');
    const { heard, next, say } = await neighbour();
    const { lan, identity } = newLan(identities[0]!, roster);
    const hash = announcedHash(identity.noise.publicKey);
    const announced = next((packet) => packet.includes(hash));
    await lan.start();
    await announced;
    // Also what it answers, and its goodbye.
    const answered = next((packet) => packet.includes(hash));
    await say(query('_niia._udp.local'));
    await answered;
    const goodbye = next((packet) => packet.includes(hash));
    await lan.close();
    await goodbye;
    const ours = heard.filter((packet) => packet.includes(hash));
    const names = new Set(ours.flatMap((packet) => packet.toString('latin1').match(/[0-9a-f]{16}/g) ?? []));
    const secrets = [
      ...[hostname(), userInfo().username, identity.name, identity.id, identity.noiseKey, identity.signKey],
      ...[roster.team.id, roster.team.name, identities[1]!.id, identities[1]!.name],
    ];
    for (const packet of ours) {
      for (const secret of secrets) expect(packet.toString('latin1').toLowerCase()).not.toContain(secret.toLowerCase());
      expect(packet.includes(Buffer.from(identity.noise.publicKey))).toBe(false);
      expect(addressesIn(packet)).toEqual([own.address]);
    }
    // The hash has two of them; the others are the names of the instance and its host, new with each run.
    expect(names.size).toBe(4);
    expect(ours.length).toBeGreaterThanOrEqual(3);
  });

  it('is found by who looks for its hash, and its leave is noticed', async () => {
    const hash = newHash();
    const looker = await newDiscovery((one) => one === hash);
    const stranger = await newDiscovery(() => false);
    const announcer = await newDiscovery(() => false, { hash, port: 4_711 });
    await looker.has(`found ${hash} 4711`);
    await announcer.discovery.close();
    await looker.has(`gone ${hash} 4711`);
    expect(stranger.events).toEqual([]);
    expect(looker.discovery.size).toBe(0);
  });

  it('that was there first is found by who comes later, and again after a network change', async () => {
    const hash = newHash();
    const announcer = await newDiscovery(() => false, { hash, port: 4_712 });
    const looker = await newDiscovery((one) => one === hash);
    await looker.has(`found ${hash} 4712`);
    looker.events.length = 0;
    announcer.discovery.networkChanged();
    await looker.has(`found ${hash} 4712`);
  });

  it('finds its way on a computer that has loopback only', async () => {
    const { lo } = networkInterfaces();
    const { identities, roster } = teamOf('alpha', 'beta');
    const interfaces = () => ({ lo });
    const a = newLan(identities[0]!, roster, { interfaces });
    const b = newLan(identities[1]!, roster, { interfaces });
    await Promise.all([a.lan.start(), b.lan.start()]);
    await Promise.all([a.told.has(`found ${b.identity.id}`), b.told.has(`found ${a.identity.id}`)]);
    expect(await a.lan.send(b.identity.id, 1)).toBe(true);
  });

  it('cannot be made where there is no network: that is said once, and is no error', async () => {
    const lines: string[] = [];
    const { identities, roster } = teamOf('alpha');
    const log = { debug: () => undefined, info: (line: string) => lines.push(line) };
    const { lan } = newLan(identities[0]!, roster, { log, interfaces: () => ({}) });
    await lan.start();
    lan.networkChanged();
    await lan.close();
    expect(lines).toHaveLength(1);
  });
});

describe('a hostile neighbour', () => {
  it('that announces our member a thousand times over is heard in bounds, and the member is found beside it', async () => {
    const hash = newHash();
    const looker = await newDiscovery((one) => one === hash);
    const { say } = await neighbour();
    for (let n = 1; n <= 1_000; n++) await say(announcement({ instance: `liar${n}`, hash, port: n }));
    expect(looker.discovery.size).toBeLessThanOrEqual(8);
    await newDiscovery(() => false, { hash, port: 4_713 });
    await looker.has(`found ${hash} 4713`);
    expect(looker.discovery.size).toBeLessThanOrEqual(8);
  });

  it('cannot make us keep more than 256 announcements, of however many members [LAN-2]', async () => {
    const looker = await newDiscovery(() => true);
    const { say } = await neighbour();
    for (let n = 1; n <= 600; n++) await say(announcement({ instance: `liar${n}`, hash: newHash(), port: n }));
    const hash = newHash();
    await newDiscovery(() => false, { hash, port: 4_714 });
    await looker.has(`found ${hash} 4714`);
    expect(looker.discovery.size).toBeLessThanOrEqual(256);
  });

  it(
    'that sends any packets at all breaks nothing, and honest announcements still count [LAN-10]',
    async () => {
      const hash = newHash();
      const looker = await newDiscovery((one) => one === hash, undefined, { perSource: plenty, inAll: plenty });
      const { say } = await neighbour();
      await fc.assert(fc.asyncProperty(anyPacket, say), { numRuns: runs });
      await newDiscovery(() => false, { hash, port: 4_715 });
      await looker.has(`found ${hash} 4715`);
      expect(looker.events.filter((event) => !event.includes(hash))).toEqual([]);
      // One that happens to be a question is answered so often only.
      const { taken = 0, foreign = 0, malformed = 0, limited = 0, faults } = looker.discovery.counts;
      expect(taken + foreign + malformed + limited).toBeGreaterThanOrEqual(runs);
      expect(taken).toBeGreaterThan(runs / 4);
      expect(faults).toBe(0);
    },
    packetTestMs,
  );
});

/** The IPv4 addresses of the A records in a packet of ours (type 1, class 1 with or without the cache-flush bit). */
function addressesIn(packet: Buffer): string[] {
  const found = new Set<string>();
  for (let at = 12; at + 14 <= packet.length; at++) {
    const isA = packet.readUInt16BE(at) === 1 && (packet.readUInt16BE(at + 2) & 0x7fff) === 1;
    if (isA && packet.readUInt16BE(at + 8) === 4) found.add([...packet.subarray(at + 10, at + 14)].join('.'));
  }
  return [...found];
}
