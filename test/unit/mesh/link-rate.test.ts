import { beforeEach, describe, expect, test } from 'vitest';
import { LinkRate } from '../../../daemon/mesh/link-rate.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { SimTime } from '../../sim/clock.ts';
import { connect, SimNode } from '../../sim/node.ts';
import { identities, teamOf } from '../../sim/team.ts';

const [ida, idb] = identities(2) as [Identity, Identity];
const roster = teamOf(ida, idb);

let time: SimTime;
let a: SimNode;
let b: SimNode;
let bytes = 0;

beforeEach(() => {
  time = new SimTime();
  a = new SimNode(ida, roster, time);
  b = new SimNode(idb, roster, time);
  bytes = 0;
  b.received = (message) => {
    bytes += message.length;
  };
});

const wait = (ms: number) => time.runUntil(time.now + ms);
const path = () => a.mesh.status(idb.id).path;
const switches = () => a.mesh.figures(idb.id)!.switches;
const rate = async (ms: number) => {
  const before = bytes;
  await wait(ms);
  return (bytes - before) / ms;
};
function fill(): void {
  const link = a.links.get(idb.id)!;
  const chunk = Buffer.alloc(16 << 10);
  a.writable = () => {
    while (link.writable) link.send(chunk);
  };
  a.writable();
}

describe('a path on which data moves much slower than on another', () => {
  test('although it ranks higher, is left within five seconds, and tried less and less often [LINK-26]', async () => {
    connect(time, a, b, 'gateway', { delay: 20, rate: 2_000 });
    await wait(2_000);
    fill();
    await wait(5_000);
    connect(time, a, b, 'p2p', { delay: 5, rate: 200 });
    await wait(1_500);
    expect(path()).toBe('p2p');
    await wait(4_000);
    expect(path()).toBe('gateway');
    expect(a.mesh.status(idb.id).candidates.find(({ kind }) => kind === 'p2p')).toMatchObject({
      state: 'avoided',
      note: expect.stringContaining('data moved less than half as fast there as on gateway'),
    });
    const before = switches();
    expect(await rate(60_000)).toBeGreaterThan(0.85 * 2_000);
    expect(switches() - before).toBeLessThanOrEqual(10);
  });

  test('is used as ever when less is sent than it takes', async () => {
    connect(time, a, b, 'gateway', { delay: 20, rate: 2_000 });
    await wait(2_000);
    fill();
    await wait(5_000);
    a.writable = () => undefined;
    await wait(1_000);
    connect(time, a, b, 'p2p', { delay: 5, rate: 200 });
    for (let i = 0; i < 200; i++) {
      a.links.get(idb.id)!.send(Buffer.alloc(100));
      await wait(100);
    }
    expect([path(), switches()]).toEqual(['p2p', 2]);
  });

  test('is used as ever when it is the preferred one', async () => {
    a.mesh.prefer(idb.id, 'p2p');
    connect(time, a, b, 'gateway', { delay: 20, rate: 2_000 });
    await wait(2_000);
    fill();
    await wait(5_000);
    connect(time, a, b, 'p2p', { delay: 5, rate: 200 });
    await wait(30_000);
    expect([path(), switches()]).toEqual(['p2p', 2]);
  });

  test('is left when the other has not been tried, if data all but stands still', async () => {
    connect(time, a, b, 'direct', { delay: 5, rate: 8 });
    connect(time, a, b, 'gateway', { delay: 20, rate: 1_000 });
    await wait(5_000);
    expect(path()).toBe('direct');
    fill();
    await wait(7_000);
    expect(path()).toBe('gateway');
    await wait(1_000);
    expect(await rate(2_000)).toBeGreaterThan(800);
  });

  test('is not left for one that is no better: data moves over once and back, not to and fro', async () => {
    connect(time, a, b, 'direct', { delay: 5, rate: 12 });
    connect(time, a, b, 'gateway', { delay: 20, rate: 12 });
    await wait(5_000);
    fill();
    await wait(120_000);
    const before = switches();
    await wait(600_000);
    expect(switches() - before).toBeLessThan(3);
  });
});

describe('a rate', () => {
  test('is measured only while something waits', () => {
    const measured = new LinkRate();
    for (let now = 0; now <= 10_000; now += 100) measured.delivered(1_000, false, now);
    expect([measured.known(10_000), measured.present(10_000)]).toEqual([undefined, undefined]);
    for (let now = 10_000; now <= 15_000; now += 100) measured.delivered(1_000, true, now);
    expect([measured.known(15_000), measured.present(15_000)]).toEqual([10, 10]);
    measured.delivered(1_000, false, 15_100);
    expect([measured.known(15_100), measured.present(15_100)]).toEqual([10, undefined]);
  });

  test('of before is replaced by the first of a new time, and forgotten in the end', () => {
    const measured = new LinkRate();
    for (let now = 0; now <= 3_000; now += 100) measured.delivered(1_000, true, now);
    measured.begin();
    for (let now = 5_000; now <= 8_000; now += 100) measured.delivered(200, true, now);
    expect([measured.known(8_000), measured.present(8_000)]).toEqual([2, 2]);
    expect(measured.known(1_000_000)).toBeUndefined();
  });
});
