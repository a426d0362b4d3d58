import { beforeEach, describe, expect, test } from 'vitest';
import { linkLimits } from '../../../daemon/mesh/link-timing.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { Roster } from '../../../daemon/team/roster.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { SimTime } from '../../sim/clock.ts';
import { connect, SimNode } from '../../sim/node.ts';
import { add, identities, remove, teamOf } from '../../sim/team.ts';

const [low, mid, high] = identities(3) as [Identity, Identity, Identity];
const at = '2026-01-02T00:00:00.000Z';

let time: SimTime;
beforeEach(() => {
  time = new SimTime();
});
const wait = (ms: number) => time.runUntil(time.now + ms);
const node = (identity: Identity, roster: Roster) => new SimNode(identity, roster, time);
const linked = (a: SimNode, b: SimNode) => [a.links.has(b.identity.id), b.links.has(a.identity.id)];

describe('a link between machines with different rosters', () => {
  test.each([
    ['the newcomer has the lower id', low, high],
    ['the newcomer has the higher id', high, low],
  ])(
    'opens when one was added since, and both have the newer one (%s) [LINK-31, LINK-32]',
    async (_, newcomer, other) => {
      const before = teamOf(mid, other);
      const after = add(before, mid, newcomer);
      const [a, b] = [node(newcomer, after), node(other, before)];
      connect(time, a, b, 'gateway');
      await wait(1_000);
      expect(linked(a, b)).toEqual([true, true]);
      expect(b.roster.head).toBe(after.head);
      a.send(b, 'hello');
      b.send(a, 'welcome');
      await wait(100);
      expect([a.texts, b.texts]).toEqual([['welcome'], ['hello']]);
    },
  );

  test('opens after a fork, and both have the branch that wins [LINK-32]', async () => {
    const base = teamOf(low, high, mid);
    const left = base.append({ op: 'role', machine: mid.id, role: 'viewer' }, low, at);
    const right = left.append({ op: 'role', machine: mid.id, role: 'admin' }, low, at);
    const fork = base.append({ op: 'role', machine: mid.id, role: 'operator' }, high, at);
    const [a, b] = [node(low, right), node(high, fork)];
    connect(time, a, b, 'gateway');
    await wait(1_000);
    expect(linked(a, b)).toEqual([true, true]);
    expect([a.roster.head, b.roster.head]).toEqual([right.head, right.head]);
  });

  test('opens although a roster is longer than a frame [LINK-32]', async () => {
    const before = teamOf(low, high);
    let after = before;
    for (let i = 0; i < 200; i++) {
      after = after.append({ op: 'role', machine: high.id, role: i % 2 ? 'admin' : 'viewer' }, low, at);
    }
    expect(JSON.stringify(after.statements).length).toBeGreaterThan(linkLimits.fragment);
    const [a, b] = [node(low, after), node(high, before)];
    connect(time, a, b, 'gateway');
    await wait(1_000);
    expect(linked(a, b)).toEqual([true, true]);
    expect(b.roster.head).toBe(after.head);
  });

  test('brings messages that were sent before the other side had decided, after it has', async () => {
    const before = teamOf(low, high);
    const after = before.append({ op: 'role', machine: high.id, role: 'operator' }, low, at);
    const [a, b] = [node(low, before), node(high, before)];
    connect(time, a, b, 'gateway', { delay: 50 });
    // B learns of the change between the two halves of the handshake.
    await wait(70);
    b.setRoster(after);
    await wait(40);
    a.send(b, 'early');
    await wait(1_000);
    expect(b.texts).toEqual(['early']);
    expect([a.roster.head, a.opened, b.opened]).toEqual([after.head, 1, 1]);
  });
});

describe('a machine that is no member', () => {
  const stranger = high;

  test.each([
    ['lower', low, [mid, high]],
    ['higher', high, [low, mid]],
  ] as const)('is refused, and may only show its roster (%s id) [LINK-31, LINK-33]', async (_, outsider, members) => {
    const roster = teamOf(...members);
    const a = node(outsider, roster);
    const b = node(members[0], roster);
    connect(time, a, b, 'gateway');
    await wait(5_000);
    expect(linked(a, b)).toEqual([false, false]);
    expect([a.opened, b.opened]).toEqual([0, 0]);
    const notes = [a, b].flatMap((n) => n.mesh.status(n === a ? b.identity.id : a.identity.id).candidates);
    expect(notes.map(({ note }) => note).join()).toMatch(/not a member/);
  });

  test('does not come in with the roster of another team, nor with one signed by nobody of this team [LINK-31]', async () => {
    const roster = teamOf(low, mid);
    const [statement] = add(roster, low, stranger).statements.slice(-1);
    // Signed by the stranger itself, in an admin's name.
    const made = { body: statement!.body, sig: stranger.sign(Buffer.from(statement!.body)) };
    const forged = withStatements(add(roster, low, stranger), { statements: [...roster.statements, made] });
    for (const theirs of [teamOf(stranger, low), forged]) {
      const [a, b] = [node(stranger, theirs), node(low, roster)];
      connect(time, a, b, 'gateway');
      await wait(3_000);
      expect(linked(a, b)).toEqual([false, false]);
      expect(b.roster.head).toBe(roster.head);
    }
  });

  test('is not asked again and again [LINK-34]', async () => {
    const roster = teamOf(mid, high);
    const [a, b] = [node(low, add(roster, mid, low)), node(high, roster)];
    b.setRoster(remove(add(roster, mid, low), mid, low));
    const ends = connect(time, a, b, 'gateway');
    let messages = 0;
    for (const end of ends) end.tap = () => messages++;
    await wait(25_000);
    expect(linked(a, b)).toEqual([false, false]);
    expect(messages).toBeLessThan(40);
  });

  test('any more learns it from the roster that it gets', async () => {
    const full = teamOf(low, mid, high);
    const without = remove(full, low, high);
    const [a, b] = [node(high, full), node(low, without)];
    connect(time, a, b, 'gateway');
    await wait(3_000);
    expect(linked(a, b)).toEqual([false, false]);
    expect(a.roster.members.has(high.id)).toBe(false);
  });
});

describe('when the roster changes', () => {
  test('a removed machine is cut off at once, and nothing of it is delivered any more [LINK-34]', async () => {
    const full = teamOf(low, mid, high);
    const [a, b] = [node(low, full), node(high, full)];
    connect(time, a, b, 'gateway');
    await wait(500);
    b.send(a, 'on its way');
    a.setRoster(remove(full, low, high));
    expect(a.links.size).toBe(0);
    await wait(500);
    expect([a.texts, b.links.size]).toEqual([[], 0]);
    expect([a.ended, b.ended]).toMatchObject([[{ code: 'not_a_member' }], [{ code: 'not_a_member' }]]);
    b.setRoster(full);
    await wait(60_000);
    expect(linked(a, b)).toEqual([false, false]);
  });

  test('all others have it a moment later, by way of whoever they have a link with', async () => {
    const full = teamOf(low, mid, high);
    const nodes = [low, mid, high].map((identity) => node(identity, full));
    const [a, b, c] = nodes as [SimNode, SimNode, SimNode];
    connect(time, a, b, 'gateway');
    connect(time, b, c, 'gateway');
    await wait(500);
    const changed = full.append({ op: 'role', machine: high.id, role: 'viewer' }, low, at);
    a.setRoster(changed);
    await wait(100);
    expect(nodes.map(({ roster }) => roster.head)).toEqual([changed.head, changed.head, changed.head]);
    expect(nodes.map(({ opened }) => opened)).toEqual([1, 2, 1]);
    expect(nodes.flatMap(({ ended }) => ended)).toEqual([]);
  });

  test('a machine that was refused gets in without waiting once it is a member [LINK-34]', async () => {
    const roster = teamOf(low, mid);
    const [a, b] = [node(low, roster), node(high, roster)];
    connect(time, a, b, 'gateway');
    await wait(10_000);
    expect(linked(a, b)).toEqual([false, false]);
    const after = add(roster, low, high);
    a.setRoster(after);
    b.setRoster(after);
    await wait(500);
    expect(linked(a, b)).toEqual([true, true]);
  });
});

describe('status', () => {
  test('shows the state, the path and its round trip, and every candidate', async () => {
    const roster = teamOf(low, high);
    const [a, b] = [node(low, roster), node(high, roster)];
    expect(a.mesh.status(high.id)).toEqual({
      state: 'down',
      path: null,
      rttMs: null,
      since: null,
      preferred: null,
      candidates: [],
    });
    const p2p = connect(time, a, b, 'p2p', { delay: 10 });
    expect(a.mesh.status(high.id)).toMatchObject({ state: 'connecting', path: null });
    connect(time, a, b, 'gateway', { delay: 20 });
    await wait(1_000);
    expect(a.mesh.status(high.id)).toMatchObject({
      state: 'up',
      path: 'p2p',
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      candidates: [
        { kind: 'p2p', state: 'active', note: 'chosen: ranks highest of those that work' },
        {
          kind: 'gateway',
          state: 'standby',
          note: 'not chosen: ranks below p2p and is not over twice and over 30 ms quicker',
        },
      ],
    });
    expect(a.mesh.status(high.id).rttMs).toBeCloseTo(20, 0);
    for (const end of p2p) end.close();
    expect(a.mesh.status(high.id)).toMatchObject({ state: 'up', path: 'gateway' });
  });
});

describe('the user of a link', () => {
  test('who hangs up ends it on both sides; a new one comes soon', async () => {
    const roster = teamOf(low, high);
    const [a, b] = [node(low, roster), node(high, roster)];
    connect(time, a, b, 'gateway');
    await wait(500);
    b.links.get(low.id)?.close(new NiiaError('failed', 'enough'));
    await wait(100);
    expect(linked(a, b)).toEqual([false, false]);
    expect(a.ended).toMatchObject([{ message: 'enough' }]);
    await wait(3_000);
    expect(linked(a, b)).toEqual([true, true]);
    a.send(b, 'again');
    await wait(100);
    expect(b.texts).toEqual(['again']);
  });

  test('who answers within a delivery does not disturb the order', async () => {
    const roster = teamOf(low, high);
    const [a, b] = [node(low, roster), node(high, roster)];
    connect(time, a, b, 'gateway');
    await wait(500);
    let n = 0;
    b.received = () => {
      for (let i = 0; i < 3; i++) b.send(a, `${n++}`);
    };
    for (let i = 0; i < 50; i++) a.send(b, 'go');
    await wait(500);
    expect(a.texts).toEqual(Array.from({ length: 150 }, (_, i) => `${i}`));
  });
});

test('a closed mesh says good-bye, closes its paths and takes no more', async () => {
  const roster = teamOf(low, high);
  const [a, b] = [node(low, roster), node(high, roster)];
  const [end] = connect(time, a, b, 'gateway');
  await wait(500);
  a.mesh.close(new NiiaError('link_lost', 'going down'));
  expect(end.closed).toBe(true);
  await wait(100);
  expect(b.ended).toMatchObject([{ code: 'link_lost', message: 'going down' }]);
  const [late] = connect(time, a, b, 'p2p');
  expect(late.closed).toBe(true);
});

/** A roster that claims other statements than those it was verified with. */
function withStatements(roster: Roster, { statements }: Pick<Roster, 'statements'>): Roster {
  return new Proxy(roster, {
    get: (target, name) => {
      if (name === 'statements') return statements;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
