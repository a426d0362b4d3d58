import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Exchange } from '../../../daemon/lan/exchange.ts';
import type { Frame } from '../../../daemon/lan/frames.ts';
import { decodeFrame, encodeFrame } from '../../../daemon/lan/frames.ts';
import { longestDatagram, open, seal } from '../../../daemon/lan/seal.ts';
import { inTier } from '../../support/tier.ts';
import { Air, at, newPair } from './air.ts';

const fuzzRuns = inTier(1_000, 100_000);
const fuzzed = { timeout: 20_000 + fuzzRuns };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const pair = newPair();

/** Two machines that can hear each other; `a` knows where `b` may be. */
function two(air = new Air()) {
  const a = air.station('a', pair[0]);
  const b = air.station('b', pair[1]);
  a.peer.addCandidate(at('b'));
  return { air, a, b };
}

/** A value whose text has about `bytes` bytes that do not deflate. */
const noise = (bytes: number) => randomBytes(bytes / 2).toString('hex');

describe('signals in datagrams', () => {
  it('arrive, are acknowledged, and cost no more round trips than two', async () => {
    const { air, a, b } = two();
    const sent = a.peer.send({ hello: ['b', 1, null] });
    await vi.advanceTimersByTimeAsync(10);
    expect(await sent).toBe(true);
    expect(b.messages).toEqual([{ hello: ['b', 1, null] }]);
    expect(air.sent).toHaveLength(4);
  });

  it('may be as long as sixteen datagrams hold; longer ones are refused with too_large [LAN-7]', async () => {
    const { air, a, b } = two();
    const values = [noise(30_000), 'x'.repeat(60_000)];
    const sent = Promise.all(values.map((value) => a.peer.send(value)));
    await vi.advanceTimersByTimeAsync(10);
    expect(await sent).toEqual([true, true]);
    expect(b.messages.sort()).toEqual(values.sort());
    expect(Math.max(...air.sent.map(({ datagram }) => datagram.length))).toBeLessThanOrEqual(longestDatagram);
    for (const tooLong of [noise(40_000), 'x'.repeat(70_000)]) {
      expect(() => a.peer.send(tooLong)).toThrow(expect.objectContaining({ code: 'too_large' }));
    }
  });

  it(
    'lost, doubled and reordered ones are delivered at most once, and once when the sender was told so [LAN-6]',
    fuzzed,
    async () => {
      const fates = fc.array(
        fc.oneof(
          { weight: 6, arbitrary: fc.constant([0]) },
          { weight: 3, arbitrary: fc.constant<number[]>([]) },
          { weight: 2, arbitrary: fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 3 }) },
        ),
        { minLength: 1, maxLength: 40 },
      );
      const values = fc.array(fc.oneof(fc.json(), fc.integer({ min: 1, max: 12_000 }).map(noise)), {
        minLength: 1,
        maxLength: 12,
      });
      await fc.assert(
        fc.asyncProperty(fates, values, async (pattern, texts) => {
          let n = 0;
          const { a, b } = two(new Air(() => pattern[n++ % pattern.length] ?? []));
          const sent = Promise.all(texts.map((text, number) => a.peer.send({ number, text })));
          await vi.advanceTimersByTimeAsync(6_000);
          const acknowledged = await sent;
          const arrived = b.messages as { number: number; text: string }[];
          expect(new Set(arrived.map(({ number }) => number)).size).toBe(arrived.length);
          for (const { number, text } of arrived) expect(text).toBe(texts[number]);
          for (const [number, ok] of acknowledged.entries()) {
            if (ok) expect(arrived.map((one) => one.number)).toContain(number);
          }
          if (pattern.every((fate) => fate.length > 0 && Math.min(...fate) < 100)) {
            expect(acknowledged).not.toContain(false);
          }
          a.exchange.close();
          b.exchange.close();
        }),
        { numRuns: inTier(150, 5_000) },
      );
    },
  );

  it('a lost one is sent again after 100, 200 and 400 ms, and given up after 5 s [LAN-6]', async () => {
    const at0 = Date.now();
    const times: number[] = [];
    let lose = false;
    const { a, b } = two(
      new Air(() => {
        if (lose) times.push(Date.now() - at0);
        return lose ? [] : [0];
      }),
    );
    await vi.advanceTimersByTimeAsync(5);
    lose = true;
    const startedAt = Date.now() - at0;
    const sent = a.peer.send('anybody?');
    await vi.advanceTimersByTimeAsync(4_990);
    expect(times.slice(0, 3).map((time) => time - startedAt)).toEqual([0, 100, 300]);
    await vi.advanceTimersByTimeAsync(20);
    expect(await sent).toBe(false);
    expect(b.messages).toEqual([]);
    expect(a.peer.present).toBe(false);
    expect(a.told).toEqual(['found', 'gone']);
  });

  it('come through when the other side starts anew, and the other side is noticed at its new address', async () => {
    const { air, a, b } = two();
    expect(await settled(a.peer.send('first'))).toBe(true);
    b.exchange.close();
    const again = air.station('b', pair[1]);
    expect(await settled(a.peer.send('second'), 1_500)).toBe(true);
    air.leave('b');
    const moved = air.station('b2', pair[1]);
    a.peer.addCandidate(at('b2'));
    expect(await settled(a.peer.send('third'), 1_500)).toBe(true);
    expect([b.messages, again.messages, moved.messages]).toEqual([['first'], ['second'], ['third']]);
    expect(a.told).toEqual(['found', 'found']);
  });

  it('a goodbye that somebody else said in its name changes nothing [LAN-9]', async () => {
    const { a } = two();
    await settled(a.peer.send(1));
    a.peer.doubt(at('b'));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(a.peer.present).toBe(true);
    expect(a.told).toEqual(['found']);
  });

  it('are still taken after hours of silence', async () => {
    const { a, b } = two();
    expect(await settled(a.peer.send('morning'))).toBe(true);
    await vi.advanceTimersByTimeAsync(5 * 3_600_000);
    expect(await settled(a.peer.send('evening'))).toBe(true);
    expect(b.messages).toEqual(['morning', 'evening']);
  });
});

describe('whoever else is on the LAN', () => {
  it('may claim to be a member from many addresses: only the one that can answer is believed [LAN-2]', async () => {
    const { air, a, b } = two();
    a.peer.close();
    const fresh = air.station('a', pair[0]);
    for (let n = 0; n < 7; n++) {
      air.station(`liar ${n}`, newPair()[1]);
      fresh.peer.addCandidate(at(`liar ${n}`));
    }
    fresh.peer.addCandidate(at('b'));
    expect(await settled(fresh.peer.send('secret'))).toBe(true);
    expect(b.messages).toEqual(['secret']);
  });

  it(
    'replays gain nothing: not now, not later, not after a restart of either side, from no address [LAN-5]',
    fuzzed,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(), { minLength: 1, maxLength: 60 }),
          fc.constantFrom(0, 1_000, 200_000, 600_000),
          fc.constantFrom('none', 'receiver', 'sender'),
          async (picks, laterMs, restarts) => {
            const { air, a, b } = two();
            b.peer.addCandidate(at('a'));
            const sent = Promise.all([a.peer.send(1), a.peer.send(noise(5_000)), b.peer.send(2)]);
            expect(await settled(sent)).toEqual([true, true, true]);
            await vi.advanceTimersByTimeAsync(laterMs);
            const seen = air.sent.filter(({ to }) => to === 'b').map(({ datagram }) => datagram);
            let receiver = b;
            if (restarts === 'receiver') receiver = air.station('b', pair[1]);
            if (restarts === 'sender') {
              const fresh = air.station('a', pair[0]);
              fresh.peer.addCandidate(at('b'));
              expect(await settled(fresh.peer.send(3))).toBe(true);
            }
            const before = [...receiver.messages];
            const { present } = receiver.peer;
            for (const pick of picks) receiver.exchange.receive(seen[pick % seen.length]!, at('thief'));
            await vi.advanceTimersByTimeAsync(6_000);
            expect(receiver.messages).toEqual(before);
            expect(receiver.peer.present).toBe(present);
            for (const one of [a, b, receiver]) one.exchange.close();
          },
        ),
        { numRuns: inTier(60, 1_000) },
      );
    },
  );

  it('cannot pass for a member who has left by repeating what it once answered', async () => {
    const { air, a, b } = two();
    expect(await settled(a.peer.send(1))).toBe(true);
    const answers = air.sent.filter(({ from }) => from === 'b').map(({ datagram }) => datagram);
    b.exchange.close();
    air.leave('b');
    a.peer.doubt(at('b'));
    for (const answer of answers) a.exchange.receive(answer, at('thief'));
    air.sent.length = 0;
    expect(await settled(a.peer.send('a secret'), 5_100)).toBe(false);
    expect(air.sent.filter(({ to }) => to === 'thief')).toEqual([]);
    expect(a.told).toEqual(['found', 'gone']);
  });

  it('and is a member cannot answer in the name of another', async () => {
    const [toB, toC] = [newPair(), newPair()];
    const correspondents = [toB, toC].map(([keys]) => ({ keys, greeted: () => undefined, message: () => undefined }));
    const sent: Buffer[] = [];
    const a = new Exchange({
      transmit: (datagram) => sent.push(datagram),
      lookup: (tag) => correspondents.find(({ keys }) => keys.receive.tag.readBigUInt64BE() === tag),
    });
    const peer = a.peer({ keys: toB[0] });
    peer.addCandidate(at('b'));
    const hello = decodeFrame(open(toB[1].receive, sent[0]!)!)!;
    expect(hello).toMatchObject({ type: 'hello', session: peer.session });
    const answer = encodeFrame({ ...(hello as Frame & { type: 'hello' }), type: 'cookie', cookie: 1n });
    a.receive(seal(toC[1].send, answer), at('c'));
    expect({ present: peer.present, stale: a.counts.stale }).toEqual({ present: false, stale: 1 });
    a.receive(seal(toB[1].send, answer), at('b'));
    expect(peer.present).toBe(true);
    a.close();
  });

  it('altered and truncated datagrams are dropped and counted, and have no answer [LAN-3]', fuzzed, async () => {
    const { air, a, b } = two();
    await settled(Promise.all([a.peer.send('one'), a.peer.send(noise(3_000))]));
    const seen = air.sent.filter(({ to }) => to === 'b').map(({ datagram }) => datagram);
    const messages = [...b.messages];
    const { taken } = b.exchange.counts;
    air.sent.length = 0;
    let dropped = 0;
    const alter = fc.oneof(
      fc.record({ flip: fc.nat(), bit: fc.integer({ min: 0, max: 7 }) }),
      fc.record({ cut: fc.nat() }),
      fc.record({ append: fc.uint8Array({ minLength: 1, maxLength: 20 }) }),
    );
    fc.assert(
      fc.property(fc.nat(), alter, (pick, change) => {
        const original = seen[pick % seen.length]!;
        b.exchange.receive(altered(original, change), at('forger'));
        dropped++;
      }),
      { numRuns: fuzzRuns },
    );
    const { malformed, unknown, forged } = b.exchange.counts;
    expect(malformed + unknown + forged).toBe(dropped);
    expect(b.exchange.counts.taken).toBe(taken);
    expect(b.messages).toEqual(messages);
    expect(air.sent).toEqual([]);
  });

  it('random datagrams are dropped and counted, and have no answer [LAN-3]', fuzzed, () => {
    const { air, b } = two();
    air.sent.length = 0;
    let dropped = 0;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1_400, size: 'max' }), fc.boolean(), (bytes, looksLikeOne) => {
        const datagram = Buffer.from(bytes);
        if (looksLikeOne && datagram.length > 9) pair[1].receive.tag.copy(datagram.fill(1, 0, 1), 1);
        b.exchange.receive(datagram, at('anybody'));
        dropped++;
      }),
      { numRuns: fuzzRuns },
    );
    const { malformed, unknown, forged, taken } = b.exchange.counts;
    expect({ dropped: malformed + unknown + forged, taken }).toEqual({ dropped, taken: 0 });
    expect(air.sent).toEqual([]);
  });
});

async function settled<T>(promise: Promise<T>, ms = 50): Promise<T> {
  await vi.advanceTimersByTimeAsync(ms);
  return await promise;
}

type Change = { flip: number; bit: number } | { cut: number } | { append: Uint8Array };

function altered(original: Buffer, change: Change): Buffer {
  const copy = Buffer.from(original);
  if ('append' in change) return Buffer.concat([copy, change.append]);
  if ('cut' in change) return copy.subarray(0, change.cut % copy.length);
  const where = change.flip % copy.length;
  copy[where] = copy[where]! ^ (1 << change.bit);
  return copy;
}
