import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Link, type LinkOptions } from '../../../daemon/mesh/link.ts';
import { nodeLinkCrypto } from '../../../daemon/mesh/link-crypto.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { NoiseHandshake } from '../../../daemon/team/noise.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { identities, teamOf } from '../../sim/team.ts';

const [ida, idb] = identities(2) as [Identity, Identity];
const roster = teamOf(ida, idb);

function options(self: Identity, remote: Identity): LinkOptions {
  const prologue = Buffer.from('test');
  const staticKey = self.noise;
  return {
    initiator: self === ida,
    software: 'test',
    crypto: nodeLinkCrypto,
    membership: { roster: () => roster, self: self.id, remote: remote.id },
    handshake: (initiator) =>
      initiator
        ? new NoiseHandshake({ pattern: 'IK', initiator, staticKey, remoteStatic: remote.noise.publicKey, prologue })
        : new NoiseHandshake({ pattern: 'IK', initiator, staticKey, prologue }),
  };
}

const path = 1;

/** A link by itself: what it does is noted, and what it sends is given to whoever asks. */
class Bare {
  readonly link: Link;
  readonly delivered: string[] = [];
  readonly events: string[] = [];
  out: Uint8Array[] = [];
  now = 0;

  constructor(self: Identity, remote: Identity, initiator = self === ida) {
    this.link = new Link({ ...options(self, remote), initiator });
    this.link.pathUp(path, 'gateway', 0);
    this.run();
  }

  run(): void {
    for (let action = this.link.nextAction(); action; action = this.link.nextAction()) {
      if (action.do === 'send') this.out.push(Buffer.concat([action.head, action.body ?? new Uint8Array()]));
      else if (action.do === 'deliver') this.delivered.push(Buffer.from(action.message).toString());
      else if (action.do !== 'changed') this.events.push(action.do);
    }
    for (let data = this.link.takeData(this.now); data; data = this.link.takeData(this.now)) {
      this.out.push(Buffer.concat([data.head, data.body]));
    }
  }

  give(message: Uint8Array, now: number): void {
    this.now = now;
    this.link.receive(path, message, now);
    this.run();
  }

  take(): Uint8Array[] {
    const { out } = this;
    this.out = [];
    return out;
  }

  send(text: string, now: number): void {
    this.now = now;
    this.link.send(Buffer.from(text), undefined, now);
    this.run();
  }
}

function exchange(a: Bare, b: Bare, now: number): void {
  while (a.out.length + b.out.length > 0) {
    for (const message of a.take()) b.give(message, now);
    for (const message of b.take()) a.give(message, now);
  }
}

function opened(): [Bare, Bare] {
  const [a, b] = [new Bare(ida, idb), new Bare(idb, ida)];
  exchange(a, b, 1);
  expect([a.link.open, b.link.open]).toEqual([true, true]);
  return [a, b];
}

describe('set-up', () => {
  test('answers a repeated first message with the same reply, and only one session begins [LINK-2]', () => {
    const [a, b] = [new Bare(ida, idb), new Bare(idb, ida)];
    const first = a.take()[0]!;
    b.take();
    b.give(first, 1);
    b.give(first, 2);
    const [reply, again] = b.take();
    expect(again).toEqual(reply);
    a.give(reply!, 3);
    a.give(again!, 3);
    exchange(a, b, 4);
    expect([a.events, b.events]).toEqual([['opened'], ['opened']]);
  });

  test('repeats its first message until it is answered, ever less often [LINK-2]', () => {
    const a = new Bare(ida, idb);
    const times: number[] = [];
    for (let now = 0; now < 20_000; now = a.link.deadline) {
      a.link.tick(now);
      a.run();
      if (a.take().length > 0) times.push(now);
    }
    expect(times).toEqual([0, 300, 900, 2_100, 4_500, 9_300, 14_300, 19_300]);
  });

  test('does not end the open link for a first message that is replayed [LINK-3]', () => {
    const [a, b] = [new Bare(ida, idb), new Bare(idb, ida)];
    const first = a.out[0]!;
    exchange(a, b, 1);
    for (let now = 2; now < 60_000; now += 100) b.give(first, now);
    expect([b.link.open, b.events]).toEqual([true, ['opened']]);
    b.take();
    a.send('still here', 60_000);
    exchange(a, b, 60_000);
    expect(b.delivered).toEqual(['still here']);
  });

  test('goes through although a relay answers first with something forged [LINK-6]', () => {
    const [a, b] = [new Bare(ida, idb), new Bare(idb, ida)];
    const first = a.take()[0]!;
    b.take();
    const forged = Buffer.concat([Uint8Array.of(2), first.subarray(1, 9), Buffer.alloc(200, 1)]);
    a.give(forged, 1);
    for (let now = 1; now < 3_000; now += 50) {
      a.link.tick(now);
      a.run();
      exchange(a, b, now);
    }
    expect([a.link.open, b.link.open]).toEqual([true, true]);
  });

  test('finds out that the other daemon was restarted, whichever it was, and ends the old link once [LINK-5]', () => {
    for (const restarted of [ida, idb]) {
      let [a, b] = opened();
      if (restarted === ida) a = new Bare(ida, idb);
      else b = new Bare(idb, ida);
      const old = restarted === ida ? b : a;
      for (let now = 1_000; now < 4_000; now += 50) {
        for (const side of [a, b]) {
          side.link.tick(now);
          side.run();
        }
        exchange(a, b, now);
      }
      expect([a.link.open, b.link.open]).toEqual([true, true]);
      expect(old.events).toEqual(['opened', 'closed', 'opened']);
    }
  });

  test('goes on with the session that both have when a relay makes one believe that it was lost [LINK-4]', () => {
    const [a, b] = opened();
    const tag = Buffer.alloc(4);
    for (let now = 10; now < 5_000; now += 10) {
      a.give(Buffer.concat([Uint8Array.of(3), tag]), now);
      b.give(Buffer.concat([Uint8Array.of(3), tag]), now);
      for (const side of [a, b]) {
        side.link.tick(now);
        side.run();
      }
      exchange(a, b, now);
    }
    expect([a.events, b.events]).toEqual([['opened'], ['opened']]);
  });

  test('does not end the open link for a stranger who came to the path of a member [LINK-3]', () => {
    const [a, b] = opened();
    const [stranger] = identities(1) as [Identity];
    const x = new Bare(stranger, idb, true);
    exchange(x, b, 10);
    for (let now = 10; now < 3_000; now += 100) {
      x.link.tick(now);
      x.run();
      exchange(x, b, now);
    }
    expect([x.link.open, b.events]).toEqual([false, ['opened']]);
    a.send('still here', 3_000);
    exchange(a, b, 3_000);
    expect(b.delivered).toEqual(['still here']);
  });

  test('is answered so often and no more, however many first messages come [LINK-6]', () => {
    const b = new Bare(idb, ida);
    b.take();
    for (let i = 0; i < 100; i++) b.give(new Bare(ida, idb).take()[0]!, 1);
    expect(b.take().length).toBeLessThanOrEqual(8);
  });
});

describe('hostile bytes', () => {
  test('of any kind never make a link throw, deliver something or end [LINK-13]', () => {
    const [a, b] = opened();
    let now = 10;
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), framed()), (bytes) => {
        for (const side of [a, b]) {
          side.give(bytes, now++);
          side.take();
        }
        return a.link.open && b.link.open && a.delivered.length === 0 && b.delivered.length === 0;
      }),
      { numRuns: 2_000 },
    );
  });

  test('made from real ones, by altering, cutting, repeating and mixing up, change nothing but the counts [LINK-9, LINK-13]', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            text: fc.string({ maxLength: 30 }),
            reverse: fc.boolean(),
            at: fc.nat(400),
            by: fc.integer({ min: 1, max: 255 }),
            cut: fc.nat(100),
          }),
          { maxLength: 20 },
        ),
        (steps) => {
          const [a, b] = opened();
          const sent: string[] = [];
          const past: Uint8Array[] = [];
          let now = 10;
          for (const { text, reverse, at, by, cut } of steps) {
            sent.push(text);
            a.send(text, now);
            const messages = a.take();
            past.push(...messages);
            for (const message of past.slice(-8)) {
              const altered = Uint8Array.from(message);
              altered[at % altered.length]! ^= by;
              for (const bad of [altered, message.subarray(0, cut % message.length), ...(reverse ? [message] : [])]) {
                a.give(bad, now);
                b.give(bad, now);
              }
            }
            for (const message of reverse ? messages.reverse() : messages) b.give(message, now);
            exchange(a, b, now);
            now += 60;
            for (const side of [a, b]) {
              side.link.tick(now);
              side.run();
            }
            exchange(a, b, now);
          }
          for (let i = 0; i < 20; i++) {
            now += 500;
            for (const side of [a, b]) {
              side.link.tick(now);
              side.run();
            }
            exchange(a, b, now);
          }
          expect(b.delivered).toEqual(sent);
          expect([a.events.filter((event) => event !== 'writable'), a.delivered]).toEqual([['opened'], []]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each([
    ['malformed', () => Uint8Array.of(99, 1, 2)],
    ['of handshakes', () => Uint8Array.of(1, ...Array.from({ length: 150 }, () => 7))],
    ['forged', (real: Uint8Array) => Uint8Array.from(real, (byte, i) => (i === real.length - 1 ? byte ^ 1 : byte))],
    ['replayed', (real: Uint8Array) => real],
    [
      'of sessions that are not ours',
      (real: Uint8Array) => Uint8Array.from(real, (byte, i) => (i === 2 ? byte ^ 1 : byte)),
    ],
  ] as const)(
    '%s, more than two hundred in a second, close the path, and cost nothing from then on [LINK-36]',
    (_, make) => {
      const [a, b] = opened();
      a.link.tick(1_000);
      a.run();
      const [ping] = a.take();
      b.give(ping!, 1_000);
      b.take();
      const bad = make(ping!);
      // Spread out, they are put up with.
      for (let i = 0; i < 1_000; i++) b.give(bad, 2_000 + 10 * i);
      expect(b.events).not.toContain('close-path');
      for (let i = 0; i < 1_000; i++) b.give(bad, 20_000 + i / 10);
      expect(b.events.filter((event) => event === 'close-path')).toHaveLength(1);
      const { malformed, forged, replayed } = b.link.stats;
      expect(malformed + forged + replayed).toBeLessThan(1_300);
    },
  );

  test('that are authentic pings are answered so often and no more, and too many of them close the path [LINK-36]', () => {
    const [a, b] = opened();
    a.link.tick(1_000);
    a.run();
    a.take();
    for (let i = 0; i < 300; i++) {
      // A new path makes the other side say at once that it is there.
      a.link.pathUp(100 + i, 'gateway', 2_000);
      a.link.pathDown(100 + i, 2_000);
      a.run();
    }
    for (const ping of a.take()) b.give(ping, 2_000);
    expect(b.take().length).toBeLessThanOrEqual(60);
    expect(b.link.open).toBe(true);
  });

  test('are counted by what was wrong with them [LINK-12]', () => {
    const [a, b] = opened();
    a.send('one', 10);
    const [frame] = a.take();
    const bad = Uint8Array.from(frame!);
    bad[bad.length - 1]! ^= 1;
    for (const bytes of [bad, frame!, frame!, Uint8Array.of(99)]) b.give(bytes, 11);
    a.link.tick(1_000);
    a.run();
    const [ping] = a.take();
    for (const bytes of [ping!, ping!]) b.give(bytes, 1_000);
    expect(b.link.stats).toMatchObject({ forged: 1, duplicates: 1, malformed: 1, replayed: 1 });
  });

  test('replayed do not make a dead path look alive [LINK-15]', () => {
    const [a, b] = opened();
    a.send('in use', 10);
    exchange(a, b, 10);
    b.link.tick(1_000);
    b.run();
    const old = b.out.slice();
    exchange(a, b, 1_000);
    let now = 1_000;
    for (; now < 6_000; now += 100) {
      for (const bytes of old) a.give(bytes, now);
      a.link.tick(now);
      a.run();
      a.take();
    }
    expect(a.link.paths.active?.works).toBe(false);
  });
});

test('whoever closes a link tells the other side why, and no path is used after that [LINK-35]', () => {
  const [a, b] = opened();
  a.link.close(new NiiaError('link_lost', 'niia is going down'), 10);
  a.run();
  exchange(a, b, 10);
  expect([a.events, b.events]).toEqual([
    ['opened', 'closed'],
    ['opened', 'closed'],
  ]);
  expect(b.link.error?.message).toBe('niia is going down');
  a.link.tick(60_000);
  a.run();
  expect([a.take(), a.link.deadline]).toEqual([[], Number.POSITIVE_INFINITY]);
});

/** Bytes that look like frames. */
function framed(): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.constantFrom(1, 2, 3, 4, 8, 9, 10, 11), fc.uint8Array({ maxLength: 300 }))
    .map(([type, rest]) => Uint8Array.of(type, ...rest));
}
