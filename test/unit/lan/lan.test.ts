import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { LanOptions } from '../../../daemon/lan/lan.ts';
import { seal, sealOverhead } from '../../../daemon/lan/seal.ts';
import { localSegments } from '../../../daemon/lan/segments.ts';
import { memberOf } from '../team/machines.ts';
import { newPair } from './air.ts';
import { newLan, teamOf } from './stage.ts';

async function pair(more: Partial<LanOptions> = {}) {
  const { identities, roster } = teamOf('alpha', 'beta');
  const a = newLan(identities[0]!, roster, more);
  const b = newLan(identities[1]!, roster, more);
  await Promise.all([a.lan.start(), b.lan.start()]);
  await Promise.all([a.told.has(`found ${b.identity.id}`), b.told.has(`found ${a.identity.id}`)]);
  return { a, b, roster };
}

const offer = { type: 'p2p', sdp: Array.from({ length: 900 }, (_, n) => `a=line ${n * 7919}`).join('\r\n') };

const newKeys = newPair();

const linkLocal = () =>
  Object.fromEntries(
    Object.entries(networkInterfaces()).map(([name, infos = []]) => [
      name,
      infos.filter(({ address }) => address.startsWith('fe80:')),
    ]),
  );

describe('two machines of a team on one LAN', () => {
  it('find each other and exchange signals, both ways, of any size that an offer has', async () => {
    const { a, b } = await pair();
    expect([a.lan.seen(b.identity.id), b.lan.seen(a.identity.id)]).toEqual([true, true]);
    expect(await a.lan.send(b.identity.id, offer)).toBe(true);
    expect(await b.lan.send(a.identity.id, [1, 'two', null])).toBe(true);
    expect(b.told.signals).toEqual([{ from: a.identity.id, value: offer }]);
    expect(a.told.signals).toEqual([{ from: b.identity.id, value: [1, 'two', null] }]);
  });

  it.skipIf(localSegments(linkLocal).length === 0)('need no IPv4 for it', async () => {
    const { a, b } = await pair({ interfaces: linkLocal });
    expect(await a.lan.send(b.identity.id, offer)).toBe(true);
  });

  it('are told each signal once, whatever is lost or doubled on the way', async () => {
    let n = 0;
    const outgoing: LanOptions['outgoing'] = (datagram, send) => {
      for (let copies = [1, 0, 2, 1, 2, 0, 1][n++ % 7] ?? 0; copies > 0; copies--) send(datagram);
    };
    const { a, b } = await pair({ outgoing });
    const values = Array.from({ length: 12 }, (_, number) => ({ number, ...(number % 3 === 0 && { offer }) }));
    const sent = await Promise.all(values.map((value) => a.lan.send(b.identity.id, value)));
    expect(sent).not.toContain(false);
    const numbers = b.told.signals.map(({ value }) => (value as { number: number }).number);
    expect(numbers.sort((one, other) => one - other)).toEqual(values.map(({ number }) => number));
  });

  it('notice when the other leaves, and when it is back', async () => {
    const { a, b, roster } = await pair();
    await b.lan.close();
    await a.told.has(`gone ${b.identity.id}`);
    expect(a.lan.seen(b.identity.id)).toBe(false);
    expect(await a.lan.send('nobody', 1)).toBe(false);
    a.told.all.length = 0;
    const again = newLan(b.identity, roster);
    await again.lan.start();
    await a.told.has(`found ${b.identity.id}`);
    expect(await a.lan.send(b.identity.id, 'welcome')).toBe(true);
    expect(again.told.signals).toEqual([{ from: a.identity.id, value: 'welcome' }]);
  });

  it('carry on through a network change, in the midst of signals', async () => {
    const { a, b } = await pair();
    const sent = Promise.all([1, 2, 3].map((value) => a.lan.send(b.identity.id, value)));
    a.lan.networkChanged();
    b.lan.networkChanged();
    expect(await sent).toEqual([true, true, true]);
    expect(await b.lan.send(a.identity.id, 4)).toBe(true);
  });

  it('leave no socket and no timer behind', async () => {
    const held = (): string[] => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate');
    const before = held();
    const { a, b } = await pair();
    const underWay = a.lan.send('f'.repeat(32), offer);
    await Promise.all([a.lan.close(), b.lan.close(), a.lan.close()]);
    expect(await underWay).toBe(false);
    // Re-announcements hold no process back; what does must be gone.
    const after = held();
    for (const one of before) {
      // What was there before may have ended meanwhile.
      if (after.includes(one)) after.splice(after.indexOf(one), 1);
    }
    expect(after).toEqual([]);
  });
});

describe('who is no member', () => {
  it('of another team is neither found nor heard [LAN-3]', async () => {
    const { a, b } = await pair();
    const other = teamOf('gamma');
    const stranger = newLan(other.identities[0]!, other.roster);
    await stranger.lan.start();
    // By the time that these have found each other, the stranger would have been found as well.
    await pair();
    expect(stranger.told.all).toEqual([]);
    expect(a.told.all).toEqual([`found ${b.identity.id}`]);
  });

  it('gets no answer to any datagram, and takes nothing from the members', async () => {
    const { a, b } = await pair();
    const stranger = createSocket('udp4');
    const answers: Buffer[] = [];
    stranger.on('message', (datagram) => answers.push(datagram));
    await new Promise<void>((resolve) => stranger.bind(0, resolve));
    const { address } = localSegments().find(({ family }) => family === 4)!;
    const unknown = a.lan.counts['unknown'] ?? 0;
    // As many as its share of our attention and more; each would be answered if it came from a member.
    for (let n = 0; n < 400; n++) {
      const datagram = seal(newKeys[0].send, Buffer.alloc(25, 1));
      expect(datagram.length).toBe(25 + sealOverhead);
      await new Promise<void>((resolve) => stranger.send(datagram, a.lan.port, address, () => resolve()));
    }
    expect(await b.lan.send(a.identity.id, 'still here')).toBe(true);
    expect(a.lan.counts['unknown']).toBeGreaterThan(unknown);
    expect(answers).toEqual([]);
    stranger.close();
  });

  it('any more is dropped at once, and who has just become one is found', async () => {
    const { identities, roster } = teamOf('alpha', 'beta');
    const team = { current: roster };
    const a = newLan(identities[0]!, () => team.current);
    const b = newLan(identities[1]!, roster);
    const late = teamOf('gamma').identities[0]!;
    await Promise.all([a.lan.start(), b.lan.start()]);
    await a.told.has(`found ${b.identity.id}`);
    const at = new Date().toISOString();
    team.current = roster
      .append({ op: 'remove', machine: b.identity.id }, identities[0]!, at)
      .append({ op: 'add', member: memberOf(late, 'viewer') }, identities[0]!, at);
    const c = newLan(late, () => team.current);
    await c.lan.start();
    a.lan.rosterChanged();
    expect(a.lan.seen(b.identity.id)).toBe(false);
    expect(await a.lan.send(b.identity.id, 1)).toBe(false);
    await a.told.has(`found ${late.id}`);
    expect(await c.lan.send(a.identity.id, 'thanks')).toBe(true);
    const before = a.told.signals.length;
    expect(await b.lan.send(a.identity.id, 'let me in')).toBe(false);
    expect(a.told.signals).toHaveLength(before);
  });
});
