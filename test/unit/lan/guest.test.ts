import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { announcedHash } from '../../../daemon/lan/seal.ts';
import { Tickets } from '../../../daemon/team/tickets.ts';
import { newHome } from '../team/machines.ts';
import { newGuest, newLan, teamOf } from './stage.ts';

const never = new AbortController().signal;

async function inviter() {
  const { identities, roster } = teamOf('alpha', 'beta');
  const tickets = new Tickets(newHome());
  const a = newLan(identities[0]!, roster, { tickets: () => tickets.unexpired() });
  await a.lan.start();
  return { ...a, tickets, inviterKey: a.identity.noiseKey };
}

describe('a guest with an invite code', () => {
  it('finds the inviter by the code alone and both talk [LAN-11]', async () => {
    const { lan, told, tickets, inviterKey } = await inviter();
    const { secret, hash } = tickets.make('operator', 60_000);
    const { guest, signals } = newGuest({ inviterKey, secret });
    expect(await guest.find(10_000, never)).toBe(true);
    expect(await guest.send({ offer: 'x'.repeat(3_000) })).toBe(true);
    expect(told.all).toEqual([`guest ${hash}`]);
    expect(told.signals[0]?.value).toEqual({ offer: 'x'.repeat(3_000) });
    expect(await lan.sendGuest(told.signals[0]!.from, { answer: 1 })).toBe(true);
    expect(signals).toEqual([{ answer: 1 }]);
  });

  it('is told apart from another with the same code', async () => {
    const { lan, told, tickets, inviterKey } = await inviter();
    const { secret } = tickets.make('operator', 60_000);
    const guests = [newGuest({ inviterKey, secret }), newGuest({ inviterKey, secret })];
    for (const [number, { guest }] of guests.entries()) {
      expect(await guest.find(10_000, never)).toBe(true);
      expect(await guest.send(number)).toBe(true);
    }
    expect(told.signals[0]?.from).not.toBe(told.signals[1]?.from);
    const answered = told.signals.map(({ from, value }) => lan.sendGuest(from, { for: value }));
    expect(await Promise.all(answered)).toEqual([true, true]);
    expect(guests.map(({ signals }) => signals)).toEqual([[{ for: 0 }], [{ for: 1 }]]);
  });

  it('with a wrong secret finds nobody and is not heard [LAN-11]', async () => {
    const { lan, told, tickets, inviterKey } = await inviter();
    tickets.make('operator', 60_000);
    const { guest } = newGuest({ inviterKey, secret: randomBytes(16) });
    expect(await guest.find(1_500, never)).toBe(false);
    expect(await guest.send('knock')).toBe(false);
    expect(told.all).toEqual([]);
    expect(lan.counts['taken']).toBe(0);
    expect(lan.counts['unknown']).toBeGreaterThan(0);
    expect(guest.counts['received']).toBe(0);
  });

  it('whose invite was taken back is not heard any more [LAN-11]', { tags: 'full' }, async () => {
    const { told, tickets, inviterKey } = await inviter();
    const { secret } = tickets.make('operator', 60_000);
    const { guest } = newGuest({ inviterKey, secret });
    expect(await guest.find(10_000, never)).toBe(true);
    tickets.clear();
    expect(await guest.send('too late')).toBe(false);
    expect(told.all).toEqual([]);
  });

  it('that gives up, or is closed, stops looking at once', async () => {
    const { identities } = teamOf('alpha');
    const of = () => newGuest({ inviterKey: identities[0]!.noiseKey, secret: randomBytes(16) }).guest;
    const [aborted, closed] = [of(), of()];
    const abort = new AbortController();
    const finds = [aborted.find(60_000, abort.signal), closed.find(60_000, never)];
    abort.abort();
    await closed.close();
    expect(await Promise.all(finds)).toEqual([false, false]);
    expect(await aborted.find(60_000, abort.signal)).toBe(false);
    expect(await closed.find(60_000, never)).toBe(false);
  });

  it('looks for the hash that the inviter announces', () => {
    const { identities } = teamOf('alpha');
    const { noise, noiseKey } = identities[0]!;
    expect(announcedHash(Buffer.from(noiseKey, 'base64url'))).toBe(announcedHash(noise.publicKey));
    expect(announcedHash(noise.publicKey)).toMatch(/^[0-9a-f]{32}$/);
  });
});
