import { beforeEach, describe, expect, test } from 'vitest';
import type { Identity } from '../../../daemon/team/identity.ts';
import { SimTime } from '../../sim/clock.ts';
import { connect, SimNode } from '../../sim/node.ts';
import { identities, teamOf } from '../../sim/team.ts';

const [ida, idb] = identities(2) as [Identity, Identity];
const roster = teamOf(ida, idb);
/** What an rpc stream sends at a time. */
const flood = Buffer.alloc(16 << 10);

let time: SimTime;
let a: SimNode;
let b: SimNode;

beforeEach(() => {
  time = new SimTime();
  a = new SimNode(ida, roster, time);
  b = new SimNode(idb, roster, time);
});

const wait = (ms: number) => time.runUntil(time.now + ms);
/** Keeps the link as full as it takes. */
function fill(): () => number {
  const link = a.links.get(idb.id)!;
  let sent = 0;
  const pump = () => {
    for (; link.writable; sent++) link.send(flood);
  };
  a.writable = pump;
  pump();
  return () => sent * flood.length;
}

describe('on a path of 10 Mbit/s and 40 ms that is flooded', () => {
  test('a small message written at any time and its answer take under twice their time on an idle one, and the flood has the rest [LINK-19]', async () => {
    connect(time, a, b, 'direct', { delay: 20, rate: 1_250 });
    await wait(2_000);
    const took: number[] = [];
    let bytes = 0;
    b.received = (message) => {
      if (message.length === 8) took.push(time.now - Buffer.from(message).readDoubleBE());
      else bytes += message.length;
    };
    fill();
    await wait(1_000);
    const [from, already] = [time.now, bytes];
    for (let i = 0; i < 200; i++) {
      const urgent = Buffer.alloc(8);
      urgent.writeDoubleBE(time.now);
      a.links.get(idb.id)!.send(urgent);
      await wait(97);
    }
    took.sort((x, y) => x - y);
    expect(took.length).toBe(200);
    // By itself it takes 20 ms and a bit.
    // One way, of 20 ms: with the way back a round trip is under twice 40 ms.
    expect(took[100]).toBeLessThan(45);
    expect(took[190]).toBeLessThan(52);
    expect((bytes - already) / (time.now - from)).toBeGreaterThan(0.9 * 1_250);
  });
});

test('a quick path is used to the full', async () => {
  connect(time, a, b, 'direct', { delay: 0.1, rate: 100_000 });
  await wait(1_000);
  let bytes = 0;
  b.received = (message) => {
    bytes += message.length;
  };
  fill();
  await wait(50);
  const already = bytes;
  await wait(200);
  expect((bytes - already) / 200).toBeGreaterThan(80_000);
});
