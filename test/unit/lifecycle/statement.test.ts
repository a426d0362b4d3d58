import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { checkOffer, offerTimes, signOffer } from '../../../daemon/lifecycle/statement.ts';
import { Identity } from '../../../daemon/team/identity.ts';
import type { Role } from '../../../shared/protocol/shapes.ts';
import type { Offer } from '../../../shared/protocol/upgrade-methods.ts';

const folder = mkdtempSync(join(tmpdir(), 'niia-offer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function identity(name: string): Identity {
  const home = new Home(join(folder, name));
  home.prepare();
  return Identity.load(home, name);
}
const admin = identity('admin');
const other = identity('other');
const self = identity('self');

const offer: Offer = {
  hash: 'ab'.repeat(32),
  size: 1000,
  version: '1.2.3',
  build: 'b1',
  target: 'linux-x64-glibc',
  natives: { 'node-pty': '1.0.0' },
};
const now = Date.parse('2026-01-01T12:00:00Z');
const what = { team: 't1', machine: self.id, offer, allowDowngrade: false };

function checked(
  signed: { body: string; sig: string },
  change: Record<string, unknown> = {},
  roles: Partial<Record<string, Role>> = {},
) {
  const members = new Map(
    [admin, other, self].map((one) => [
      one.id,
      { id: one.id, name: one.name, role: roles[one.name] ?? 'admin', signKey: one.signKey },
    ]),
  );
  return checkOffer(signed, {
    team: 't1',
    self: self.id,
    members,
    asker: { id: admin.id, local: false },
    now,
    ...change,
  });
}

describe('the offer of an upgrade', () => {
  test('counts where an admin signed it for this machine and brings it [UPG-1]', () => {
    expect(checked(signOffer(admin, what, now))).toMatchObject({ ...offer, by: admin.id, machine: self.id });
  });

  test('is refused where one byte of what was signed was changed', () => {
    const { body, sig } = signOffer(admin, what, now);
    for (const [from, to] of [
      ['1.2.3', '1.2.4'],
      ['"size":1000', '"size":1001'],
      [offer.hash, 'ac'.repeat(32)],
      ['"allowDowngrade":false', '"allowDowngrade":true'],
    ] as const) {
      expect(body).toContain(from);
      expect(() => checked({ body: body.replace(from, to), sig })).toThrow(/signature/);
    }
    expect(() => checked({ body, sig: sig.slice(2) })).toThrow(/signature/);
    expect(() => checked({ body, sig: '' })).toThrow(/signature/);
    expect(() => checked({ body, sig: self.sign(Buffer.from(body)) })).toThrow(/signature/);
  });

  test('is refused where the signer signed the same text for another purpose', () => {
    const { body } = signOffer(admin, what, now);
    expect(() => checked({ body, sig: admin.sign(Buffer.from(body)) })).toThrow(/signature/);
  });

  test('is refused from whoever did not sign it, from a stranger, and from who is not an admin any more', () => {
    const signed = signOffer(admin, what, now);
    expect(() => checked(signed, { asker: { id: other.id, local: false } })).toThrow(/another machine brings it/);
    expect(() => checked(signed, { members: new Map() })).toThrow(/no member/);
    expect(() => checked(signed, {}, { admin: 'operator' })).toThrow(/operator here/);
    expect(() => checked(signed, {}, { admin: 'viewer' })).toThrow(expect.objectContaining({ code: 'denied' }));
  });

  test('needs no role of the machine’s own user', () => {
    const signed = signOffer(self, what, now);
    const local = { asker: { id: self.id, local: true } };
    expect(checked(signed, local, { self: 'viewer' })).toMatchObject({ version: '1.2.3' });
    expect(() => checked(signed, { asker: { id: self.id, local: false } }, { self: 'viewer' })).toThrow(/viewer/);
  });

  test('is refused for another machine or another team', () => {
    expect(() => checked(signOffer(admin, { ...what, machine: other.id }, now))).toThrow(/another machine/);
    expect(() => checked(signOffer(admin, { ...what, team: 't2' }, now))).toThrow(/another team/);
  });

  test('counts for ten minutes, give or take what clocks may be apart [UPG-2]', () => {
    const signed = signOffer(admin, what, now);
    const { validMs, skewMs } = offerTimes;
    for (const at of [now - skewMs, now + validMs + skewMs]) expect(checked(signed, { now: at })).toBeTruthy();
    expect(() => checked(signed, { now: now - skewMs - 1 })).toThrow(/future/);
    expect(() => checked(signed, { now: now + validMs + skewMs + 1 })).toThrow(/expired/);
  });

  test('may not give itself more time', () => {
    const { body } = signOffer(admin, what, now);
    const longer = body.replace('2026-01-01T12:10:00.000Z', '2027-01-01T12:10:00.000Z');
    const sig = admin.sign(Buffer.from(`niia upgrade offer 1\n${longer}`));
    expect(longer).not.toBe(body);
    expect(() => checked({ body: longer, sig })).toThrow(/too long/);
  });

  test.each(['', '{', 'null', '[]', '{"v":2}', '{"v":1,"by":"x"}'])('that is no offer (%j) is refused', (body) => {
    expect(() => checked({ body, sig: '' })).toThrow(expect.objectContaining({ code: 'denied' }));
  });
});
