import { expect, it } from 'vitest';
import { Link } from '../../../daemon/mesh/link.ts';
import { nodeLinkCrypto } from '../../../daemon/mesh/link-crypto.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { CheapHandshake } from '../../fuzz/support/cheap-handshake.ts';
import { identities, teamOf } from '../../sim/team.ts';

const [low, high] = identities(2) as [Identity, Identity];
const roster = teamOf(low, high);

/** One end of a link with two paths; what it sends is given to whoever asks. */
function side(self: Identity, remote: Identity) {
  const link = new Link({
    initiator: self === low,
    software: 'test',
    crypto: nodeLinkCrypto,
    membership: { roster: () => roster, self: self.id, remote: remote.id },
    handshake: (initiator) => new CheapHandshake(initiator, self, 5),
  });
  const delivered: string[] = [];
  let out: Array<{ path: number; bytes: Uint8Array }> = [];
  const run = (now: number): void => {
    for (let action = link.nextAction(); action; action = link.nextAction()) {
      if (action.do === 'send') out.push({ path: action.path, bytes: joined(action.head, action.body) });
      else if (action.do === 'deliver') delivered.push(Buffer.from(action.message).toString());
    }
    for (let data = link.takeData(now); data; data = link.takeData(now)) {
      out.push({ path: data.path, bytes: joined(data.head, data.body) });
    }
  };
  link.pathUp(1, 'gateway', 0);
  link.pathUp(2, 'p2p', 0);
  run(0);
  return {
    link,
    delivered,
    give: (path: number, bytes: Uint8Array, now: number) => {
      link.receive(path, bytes, now);
      run(now);
    },
    send: (text: string, now: number) => {
      link.send(Buffer.from(text), undefined, now);
      run(now);
    },
    tick: (now: number) => {
      link.tick(now);
      run(now);
    },
    take: () => {
      const taken = out;
      out = [];
      return taken;
    },
  };
}

const joined = (head: Uint8Array, body?: Uint8Array) => new Uint8Array(Buffer.concat([head, body ?? new Uint8Array()]));

it('frames that are replayed, reordered, forged and truncated are dropped and counted, each by its kind, on whichever path they come [LINK-12]', () => {
  const [a, b] = [side(low, high), side(high, low)];
  for (let round = 0; round < 10; round++) {
    for (const { path, bytes } of a.take()) b.give(path, bytes, 1);
    for (const { path, bytes } of b.take()) a.give(path, bytes, 1);
  }
  expect([a.link.open, b.link.open]).toEqual([true, true]);
  const none = { malformed: 0, forged: 0, replayed: 0, duplicates: 0, gaps: 0, resent: 0 };
  expect(b.link.stats).toEqual(none);

  for (const text of ['one', 'two']) a.send(text, 10);
  const [first, second] = a.take().map(({ bytes }) => bytes);
  a.tick(700);
  const ping = a.take().find(({ bytes }) => bytes[0] === 4)!.bytes;
  const flipped = first!.map((byte, at) => (at === first!.length - 1 ? byte ^ 1 : byte));

  // Reordered: what comes before its turn is asked for again.
  b.give(1, second!, 11);
  expect([b.link.stats, b.delivered]).toEqual([{ ...none, gaps: 1 }, []]);
  b.give(2, flipped, 12);
  b.give(1, first!.subarray(0, 30), 12);
  expect(b.link.stats).toEqual({ ...none, gaps: 1, forged: 2 });
  for (const cut of [0, 1, 5, 28]) b.give(2, first!.subarray(0, cut), 13);
  expect(b.link.stats).toEqual({ ...none, gaps: 1, forged: 2, malformed: 4 });
  b.give(1, first!, 14);
  b.give(2, second!, 15);
  expect(b.delivered).toEqual(['one', 'two']);
  for (const again of [first!, second!, first!]) b.give(2, again, 16);
  expect(b.link.stats).toEqual({ ...none, gaps: 1, forged: 2, malformed: 4, duplicates: 3 });
  b.give(1, ping, 700);
  for (const path of [1, 2]) b.give(path, ping, 701);
  expect(b.link.stats).toEqual({ ...none, gaps: 1, forged: 2, malformed: 4, duplicates: 3, replayed: 2 });
  expect([b.delivered, b.link.open]).toEqual([['one', 'two'], true]);
});
