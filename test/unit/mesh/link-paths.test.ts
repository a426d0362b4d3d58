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
const path = (of: SimNode = a) => of.mesh.status(of === a ? idb.id : ida.id).path;
const figures = (of: SimNode = a) => of.mesh.figures(of === a ? idb.id : ida.id)!;
const open = async (kind: PathKind, delay = 10) => {
  const ends = connect(time, a, b, kind, { delay });
  await wait(500);
  return ends;
};
const trouble = (ends: SimEnd[], what: 'held' | 'dropped') => {
  for (const end of ends) end.trouble = what;
};

describe('a link opens', () => {
  test('after one round trip of the first path that answers, without waiting for a better one [LINK-20]', async () => {
    const gateway = connect(time, a, b, 'gateway', { delay: 10 });
    connect(time, a, b, 'p2p', { delay: 100 });
    await wait(21);
    expect([a.opened, path(a)]).toEqual([1, 'gateway']);
    await wait(10);
    expect([b.opened, path(b)]).toEqual([1, 'gateway']);
    expect(gateway[0].closed).toBe(false);
  });

  test('although every message of the first second is lost', async () => {
    const ends = connect(time, a, b, 'gateway');
    trouble(ends, 'dropped');
    await wait(1_000);
    for (const end of ends) end.mend();
    await wait(2_000);
    expect([a.opened, b.opened]).toEqual([1, 1]);
  });

  test('and carries a message in half a round trip, either way, once it is idle', async () => {
    await open('gateway');
    a.send(b, 'ping');
    b.send(a, 'pong');
    const at = time.now;
    await wait(100);
    for (const { got } of [a, b]) expect(got[0]!.at - at).toBeCloseTo(10, 1);
  });
});

describe('when the active path closes', () => {
  test('the unacknowledged tail arrives over a standby within one round trip [LINK-21]', async () => {
    const p2p = await open('p2p');
    await open('gateway', 20);
    a.send(b, 'lost with the path');
    for (const end of p2p) end.close();
    const at = time.now;
    await wait(200);
    expect(b.texts).toEqual(['lost with the path']);
    expect(b.got[0]!.at - at).toBeLessThan(40);
    expect([path(a), path(b)]).toEqual(['gateway', 'gateway']);
  });

  test('and it was the only one, the link waits, then goes on over the next with every message once [LINK-23]', async () => {
    const first = await open('gateway');
    a.send(b, 'one');
    await wait(100);
    a.send(b, 'two');
    for (const end of first) end.close();
    a.send(b, 'three');
    expect(a.mesh.status(idb.id).state).toBe('waiting');
    await wait(60_000);
    connect(time, a, b, 'gateway');
    const at = time.now;
    await wait(1_000);
    expect(b.texts).toEqual(['one', 'two', 'three']);
    // Half a round trip to learn what is missing, and half to bring it.
    expect(b.got[2]!.at - at).toBeLessThan(25);
    expect([a.opened, b.opened, a.ended, b.ended]).toEqual([1, 1, [], []]);
  });

  test('a link without a path takes a bounded amount and asks for more when it can [LINK-17, LINK-23]', async () => {
    const first = await open('gateway');
    for (const end of first) end.close();
    const link = a.links.get(idb.id)!;
    let sent = 0;
    const pump = () => {
      while (link.writable && sent < 500) link.send(Buffer.from(`${sent++}`.padEnd(16 << 10)));
    };
    a.writable = pump;
    pump();
    expect(sent).toBeLessThan(10);
    expect(figures().buffered).toBeLessThan(256 << 10);
    connect(time, a, b, 'gateway');
    await wait(5_000);
    expect(b.texts.map((text) => Number.parseInt(text, 10))).toEqual(Array.from({ length: 500 }, (_, i) => i));
    expect(figures().buffered).toBe(0);
  });

  test('nothing is held back for more than the window while nothing is acknowledged [LINK-16, LINK-17]', async () => {
    const ends = await open('gateway');
    trouble(ends, 'dropped');
    const link = a.links.get(idb.id)!;
    let sent = 0;
    const pump = () => {
      for (; link.writable; sent++) link.send(Buffer.alloc(16 << 10));
    };
    a.writable = pump;
    pump();
    await wait(10_000);
    expect(sent).toBeGreaterThan(1);
    expect(figures().buffered).toBeLessThan((1 << 20) + (128 << 10));
  });
});

describe('when the active path falls silent', () => {
  test.each(['held', 'dropped'] as const)('(%s) the link leaves it within two seconds [LINK-22]', async (what) => {
    const p2p = await open('p2p');
    await open('gateway', 20);
    trouble(p2p, what);
    a.send(b, 'over the other one');
    const at = time.now;
    await wait(3_000);
    expect(b.texts).toEqual(['over the other one']);
    expect(b.got[0]!.at - at).toBeLessThan(2_000);
    expect([path(a), path(b)]).toEqual(['gateway', 'gateway']);
  });

  test.each([0, 1])('in one direction only (from side %i), both sides still get everything', async (side) => {
    const p2p = await open('p2p');
    await open('gateway', 20);
    p2p[side]!.trouble = 'dropped';
    a.send(b, 'to b');
    b.send(a, 'to a');
    await wait(3_000);
    expect([a.texts, b.texts]).toEqual([['to a'], ['to b']]);
  });

  test('for pings but not for data (a size it does not pass), the link leaves it all the same [LINK-22]', async () => {
    const p2p = await open('p2p');
    await open('gateway', 20);
    p2p[0].passes = (message) => message.length < 1_000;
    a.send(b, 'x'.repeat(5_000));
    await wait(3_000);
    expect(b.texts.length).toBe(1);
    expect(path(a)).toBe('gateway');
  });

  test('and it is the only one, the tail goes out again as soon as it works', async () => {
    const ends = await open('gateway');
    trouble(ends, 'dropped');
    a.send(b, 'late');
    await wait(10_000);
    expect(a.mesh.status(idb.id).state).toBe('waiting');
    for (const end of ends) end.mend();
    await wait(1_100);
    expect(b.texts).toEqual(['late']);
    expect(a.mesh.status(idb.id).state).toBe('up');
  });

  test.each(['held', 'dropped'] as const)(
    'together with the next best (%s), the link is on the third within two seconds [LINK-22]',
    async (what) => {
      const direct = await open('direct', 5);
      const p2p = await open('p2p');
      await open('gateway', 20);
      await wait(3_000);
      for (let after = 0; after < 3_000; after += 333) {
        a.send(b, `before ${after}`);
        await wait(6_000 + after);
        expect(path(a)).toBe('direct');
        trouble([...direct, ...p2p], what);
        const text = `after ${after}`;
        a.send(b, text);
        b.send(a, text);
        const at = time.now;
        await wait(3_000);
        for (const node of [a, b]) {
          const got = node.got.find((one) => one.text === text);
          expect((got?.at ?? Number.POSITIVE_INFINITY) - at).toBeLessThan(2_000);
        }
        for (const end of [...direct, ...p2p]) end.mend();
        for (let i = 0; i < 20 && path(a) !== 'direct'; i++) await wait(10_000);
      }
    },
  );

  test('together with all others, none is blamed: the best is in use again soon after they are back [LINK-25]', async () => {
    const direct = await open('direct', 5);
    const gateway = await open('gateway', 20);
    await wait(3_000);
    for (let i = 0; i < 5; i++) {
      const all = [...direct, ...gateway];
      trouble(all, 'dropped');
      a.send(b, `${i}`);
      await wait(20_000);
      for (const end of all) end.mend();
      await wait(8_000);
      expect([path(a), path(b)]).toEqual(['direct', 'direct']);
    }
    expect(b.texts).toEqual(['0', '1', '2', '3', '4']);
  });

  test('what it held back meanwhile is no measure of it: it is in use again as soon as it may be [LINK-24]', async () => {
    const direct = await open('direct', 5);
    await open('gateway', 10);
    await wait(3_000);
    trouble(direct, 'held');
    a.send(b, 'over the other one');
    await wait(6_000);
    expect(path(a)).toBe('gateway');
    for (const end of direct) end.mend();
    await wait(5_000);
    expect([path(a), path(b)]).toEqual(['direct', 'direct']);
  });

  test('it is not used again at once when it comes back, and less soon each time [LINK-25]', async () => {
    const p2p = await open('p2p');
    await open('gateway', 20);
    for (let i = 0; i < 30; i++) {
      trouble(p2p, 'dropped');
      a.send(b, `${i}`);
      await wait(2_500);
      for (const end of p2p) end.mend();
      await wait(3_500);
    }
    expect(b.texts.length).toBe(30);
    expect(figures().switches).toBeLessThan(20);
  });
});

describe('messages that a path loses although it lives', () => {
  test('in the middle of a stream are sent again after a round trip [LINK-18]', async () => {
    const ends = await open('gateway');
    a.send(b, 'one');
    await wait(60);
    ends[0].trouble = 'dropped';
    a.send(b, 'two');
    await wait(15);
    ends[0].mend();
    a.send(b, 'three');
    const at = time.now;
    await wait(100);
    expect(b.texts).toEqual(['one', 'two', 'three']);
    expect(b.got[2]!.at - at).toBeLessThan(35);
  });

  test('at the end of a stream are sent again when the next ping shows it [LINK-18]', async () => {
    const ends = await open('gateway');
    ends[0].trouble = 'dropped';
    a.send(b, 'last');
    await wait(15);
    ends[0].mend();
    const at = time.now;
    await wait(1_000);
    expect(b.texts).toEqual(['last']);
    expect(b.got[0]!.at - at).toBeLessThan(600);
  });

  test('with their acknowledgements cost nothing: the next ping brings what is missing', async () => {
    const ends = await open('gateway');
    a.send(b, 'one');
    await wait(15);
    ends[1].trouble = 'dropped';
    await wait(40);
    ends[1].mend();
    expect(figures().buffered).toBeGreaterThan(0);
    await wait(600);
    expect(figures().buffered).toBe(0);
    expect(b.texts).toEqual(['one']);
  });
});

describe('a better path', () => {
  test('is taken while data flows, and nothing is lost, doubled or out of order [LINK-9, LINK-24]', async () => {
    await open('gateway', 40);
    let n = 0;
    const stream = () => {
      if (n >= 2_000) return;
      a.send(b, `${n++}`);
      time.after(2, stream);
    };
    stream();
    await wait(1_000);
    connect(time, a, b, 'p2p', { delay: 5 });
    await wait(1_000);
    connect(time, a, b, 'direct', { delay: 1 });
    await wait(10_000);
    expect(path(a)).toBe('direct');
    expect(b.texts).toEqual(Array.from({ length: 2_000 }, (_, i) => `${i}`));
  });

  test.each([
    ['direct', 20, 'p2p', 15, 'direct'],
    ['gateway', 5, 'p2p', 10, 'p2p'],
    ['p2p', 60, 'gateway', 10, 'gateway'],
    ['p2p', 30, 'gateway', 20, 'p2p'],
    ['gateway', 1, 'direct', 9, 'direct'],
    ['gateway', 1, 'direct', 40, 'gateway'],
  ] as const)('%s (%i ms) and %s (%i ms): %s [LINK-24]', async (one, oneMs, other, otherMs, best) => {
    connect(time, a, b, one, { delay: oneMs });
    connect(time, a, b, other, { delay: otherMs });
    await wait(10_000);
    expect([path(a), path(b)]).toEqual([best, best]);
    expect(figures().switches).toBeLessThan(3);
  });

  test('of equal merit does not make the link move to and fro [LINK-24]', async () => {
    connect(time, a, b, 'p2p', { delay: 32 });
    connect(time, a, b, 'gateway', { delay: 16 });
    await wait(500);
    for (let i = 0; i < 120; i++) {
      a.send(b, `${i}`);
      await wait(500);
    }
    expect(figures().switches).toBeLessThan(4);
  });
});

describe('time', () => {
  test('jumps by an hour after a sleep, and the link goes on as if nothing was [LINK-29]', async () => {
    await open('p2p');
    await open('gateway', 20);
    a.clock.freeze(3_000, 3_600_000);
    b.send(a, 'while it slept');
    await wait(3_100);
    a.send(b, 'awake');
    await wait(2_000);
    expect([a.texts, b.texts]).toEqual([['while it slept'], ['awake']]);
    expect(a.mesh.status(idb.id).state).toBe('up');
    expect([a.ended, b.ended]).toEqual([[], []]);
  });

  test('without a word for longer than the limit ends the link, on both sides, and a new one begins [LINK-30]', async () => {
    a = new SimNode(ida, roster, time, { dropMs: 60_000 });
    b = new SimNode(idb, roster, time, { dropMs: 60_000 });
    const ends = await open('gateway');
    for (const end of ends) end.close();
    await wait(61_000);
    for (const node of [a, b]) expect(node.ended).toMatchObject([{ code: 'link_lost' }]);
    connect(time, a, b, 'gateway');
    await wait(1_000);
    expect([a.opened, b.opened]).toEqual([2, 2]);
  });

  test('spent idle costs a ping each five seconds and nothing else [LINK-29]', async () => {
    const ends = await open('gateway');
    await wait(30_000);
    let messages = 0;
    for (const end of ends) end.tap = () => messages++;
    await wait(60_000);
    expect(messages).toBeGreaterThan(40);
    expect(messages).toBeLessThan(60);
  });
});
