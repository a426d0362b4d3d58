import { beforeEach, describe, expect, test } from 'vitest';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { PathKind } from '../../../shared/protocol/shapes.ts';
import { SimTime } from '../../sim/clock.ts';
import { connect, SimNode } from '../../sim/node.ts';
import { identities, teamOf } from '../../sim/team.ts';
import type { SimEnd } from '../../sim/wire.ts';

const [ida, idb] = identities(2) as [Identity, Identity];
const roster = teamOf(ida, idb);

let time: SimTime;
let a: SimNode;
let b: SimNode;

beforeEach(() => {
  time = new SimTime();
  a = new SimNode(ida, roster, time);
  b = new SimNode(idb, roster, time);
});

const wait = (ms: number) => time.runUntil(time.now + ms);
const status = (of: SimNode = a) => of.mesh.status(of === a ? idb.id : ida.id);
const prefer = (kind: PathKind | null) => a.mesh.prefer(idb.id, kind);
const add = (kind: PathKind, delay = 10) => connect(time, a, b, kind, { delay });
const trouble = (ends: SimEnd[], what: 'held' | 'dropped') => {
  for (const end of ends) end.trouble = what;
};

describe('a preferred kind of path', () => {
  test('is used at once by both sides, and left at once when it is preferred no longer [LINK-27]', async () => {
    add('direct', 1);
    add('gateway', 20);
    await wait(2_000);
    expect(status().path).toBe('direct');
    prefer('gateway');
    expect([status().path, status().preferred]).toEqual(['gateway', 'gateway']);
    await wait(100);
    expect(status(b).path).toBe('gateway');
    await wait(20_000);
    expect([status().path, status(b).path, a.mesh.figures(idb.id)!.switches]).toEqual(['gateway', 'gateway', 2]);
    prefer(null);
    expect([status().path, status().preferred]).toEqual(['direct', null]);
    await wait(100);
    expect(status(b).path).toBe('direct');
  });

  test('on both sides, two different ones: each sends as it was told to [LINK-27]', async () => {
    add('p2p');
    add('gateway', 20);
    a.mesh.prefer(idb.id, 'gateway');
    b.mesh.prefer(ida.id, 'p2p');
    await wait(5_000);
    expect([status().path, status(b).path]).toEqual(['gateway', 'p2p']);
  });

  test('may be said before there is a path, and outlives the link', async () => {
    prefer('gateway');
    expect(status().preferred).toBe('gateway');
    const first = add('gateway', 20);
    add('direct', 1);
    await wait(5_000);
    expect([status().path, status(b).path]).toEqual(['gateway', 'gateway']);
    b.links.get(ida.id)?.close();
    for (const end of first) end.close();
    add('gateway', 20);
    await wait(8_000);
    expect([a.opened, status().path, status(b).path]).toEqual([2, 'gateway', 'gateway']);
  });

  test('that does not work costs nothing: the best of the others is used until it does, and every message comes once [LINK-27]', async () => {
    const gateway = add('gateway', 20);
    add('p2p');
    prefer('gateway');
    await wait(3_000);
    let n = 0;
    const stream = () => {
      if (n >= 300) return;
      a.send(b, `${n++}`);
      time.after(50, stream);
    };
    stream();
    await wait(1_000);
    trouble(gateway, 'dropped');
    await wait(3_000);
    expect(status().path).toBe('p2p');
    for (const end of gateway) end.mend();
    await wait(8_000);
    expect(status().path).toBe('gateway');
    await wait(5_000);
    expect(b.texts).toEqual(Array.from({ length: 300 }, (_, i) => `${i}`));
  });

  test('is there in the notes of all candidates, and so is every other reason', async () => {
    add('direct', 60);
    add('p2p', 8);
    add('gateway', 9);
    await wait(10_000);
    const notes = () => status().candidates.map(({ kind, note }) => [kind, note]);
    expect(notes()).toEqual([
      ['direct', 'not chosen: p2p is over twice and over 30 ms quicker'],
      ['p2p', 'chosen: over twice and over 30 ms quicker than direct'],
      ['gateway', 'not chosen: ranks below p2p and is not over twice and over 30 ms quicker'],
    ]);
    prefer('gateway');
    expect(notes()).toEqual([
      ['direct', 'not chosen: gateway is preferred'],
      ['p2p', 'not chosen: gateway is preferred'],
      ['gateway', 'chosen: it is preferred'],
    ]);
  });
});

describe('paths that are of no use', () => {
  test('because there is another of their kind are closed by one side; the one in use stays [LINK-28]', async () => {
    const first = add('direct', 5);
    await wait(1_000);
    const second = add('direct', 5);
    const relays = [add('gateway'), add('gateway')];
    await wait(1_500);
    expect(second[0].closed).toBe(false);
    await wait(3_000);
    expect([first[0].closed, second[0].closed]).toEqual([false, true]);
    expect(relays.flat().some((end) => end.closed)).toBe(false);
    expect([status().path, a.mesh.figures(idb.id)!.switches]).toEqual(['direct', 1]);
  });

  test('because nothing authentic comes are closed after ten seconds, but not the one to a relay [LINK-28]', async () => {
    add('direct');
    await wait(1_000);
    const dead = [add('p2p'), add('gateway')];
    for (const ends of dead) trouble(ends, 'dropped');
    await wait(9_900);
    expect(dead[0]![0].closed).toBe(false);
    await wait(200);
    expect(dead.map(([end]) => end.closed)).toEqual([true, false]);
  });

  test('because there are more than eight go, first those over which nothing came [LINK-28]', async () => {
    add('gateway');
    add('p2p');
    await wait(5_000);
    const strangers = Array.from({ length: 20 }, () => {
      const ends = add('direct');
      trouble(ends, 'dropped');
      return ends[0];
    });
    expect(strangers.map((end) => end.closed)).toEqual(strangers.map((_, i) => i < 14));
    expect(status().candidates.length).toBe(8);
    expect(status().path).toBe('p2p');
  });
});

describe('while there is no path', () => {
  test('changes of the roster and of the preference leave one of each to be sent, however many there are', async () => {
    const ends = add('gateway');
    await wait(500);
    for (const end of ends) end.close();
    let changing = roster;
    for (let i = 0; i < 50; i++) {
      changing = changing.append(
        { op: 'role', machine: idb.id, role: i % 2 ? 'admin' : 'viewer' },
        ida,
        '2026-01-02T00:00:00.000Z',
      );
      a.setRoster(changing);
      prefer(i % 2 ? 'gateway' : 'p2p');
    }
    const one = JSON.stringify(changing.statements).length;
    expect(a.mesh.figures(idb.id)!.buffered).toBeLessThan(one / 2);
    add('gateway');
    await wait(1_000);
    expect(b.roster.head).toBe(changing.head);
    expect([status(b).preferred, a.mesh.figures(idb.id)!.buffered]).toEqual(['gateway', 0]);
  });
});
