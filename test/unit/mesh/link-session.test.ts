import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CipherChain, nodeLinkCrypto } from '../../../daemon/mesh/link-crypto.ts';
import { parseFrame, type SealedFrame } from '../../../daemon/mesh/link-frames.ts';
import type { OutFrame } from '../../../daemon/mesh/link-outbox.ts';
import { LinkSession } from '../../../daemon/mesh/link-session.ts';
import { linkLimits } from '../../../daemon/mesh/link-timing.ts';
import { ReplayWindow } from '../../../daemon/mesh/replay-window.ts';
import { gatewayLimits } from '../../../shared/protocol/gateway.ts';

const key = (name: string) => createHash('sha256').update(name).digest();

function pair(framesPerKey?: number): [LinkSession, LinkSession] {
  const [one, other, hash] = [key('one'), key('other'), Buffer.concat([key('hash'), key('hash')])];
  return [
    new LinkSession({ send: one, receive: other, hash }, nodeLinkCrypto, framesPerKey),
    new LinkSession({ send: other, receive: one, hash }, nodeLinkCrypto, framesPerKey),
  ];
}

const wire = (frame: { head: Uint8Array; body: Uint8Array }): Buffer => Buffer.concat([frame.head, frame.body]);
const sealed = (bytes: Uint8Array): SealedFrame => {
  const frame = parseFrame(bytes);
  if (frame?.type !== 'data' && frame?.type !== 'control') throw new Error('no sealed frame');
  return frame;
};

function drain(from: LinkSession): OutFrame[] {
  const frames: OutFrame[] = [];
  for (let frame = from.outbox.take(0); frame; frame = from.outbox.take(0)) frames.push(frame);
  return frames;
}

describe('messages', () => {
  test.each([0, 1, 1000, linkLimits.fragment, linkLimits.fragment + 1, 200_000, linkLimits.message])(
    'of %i bytes arrive whole, in frames that fit a relay message',
    (length) => {
      const [a, b] = pair();
      const bytes = Buffer.alloc(length, 'niia');
      a.write(false, bytes.subarray(0, 10), bytes.subarray(10));
      const frames = drain(a);
      for (const frame of frames) expect(frame.size).toBeLessThanOrEqual(gatewayLimits.payload / 2);
      const last = frames.map((frame) => b.openData(sealed(wire(frame)))).at(-1);
      expect(last).toMatchObject({ is: 'message', internal: false });
      expect(last?.is === 'message' && Buffer.compare(last.bytes, bytes)).toBe(0);
    },
  );

  test('over the limit are refused where they are sent [LINK-10]', () => {
    const [a] = pair();
    expect(() => a.write(false, new Uint8Array(linkLimits.message + 1))).toThrow('over the limit');
  });

  test('over the limit are refused where they arrive, and hold no more memory than the limit [LINK-10]', () => {
    const [a, b] = pair();
    // What the link itself may send is longer; as a message of the user it is too long.
    a.write(true, new Uint8Array(linkLimits.message + 1));
    const frames = drain(a);
    expect(() => {
      for (const frame of frames) {
        const user = sealed(wire(frame));
        // As a member that cheats would seal it.
        expect(b.openData({ ...user, internal: false })).toMatchObject({ is: 'part' });
      }
    }).toThrow('the other side sent a message of over');
  });

  test.each([0, 1, linkLimits.leastFragment - 1])(
    'in pieces of %i bytes are refused where they arrive: each piece takes memory of its own [LINK-10]',
    (length) => {
      const [a, b] = pair();
      a.write(false, Buffer.alloc(2 * length + 1), undefined, Math.max(length, 1));
      const [first] = drain(a).map((frame) => sealed(wire(frame)));
      expect(() => b.openData({ ...(first as SealedFrame), more: true })).toThrow('a piece of a message');
    },
  );

  test('of the link and of its user do not mix', () => {
    const [a, b] = pair();
    a.write(true, Buffer.from('internal'));
    a.write(false, Buffer.from('user'));
    const got = drain(a).map((frame) => b.openData(sealed(wire(frame))));
    expect(got).toMatchObject([
      { is: 'message', internal: true, bytes: Buffer.from('internal') },
      { is: 'message', internal: false, bytes: Buffer.from('user') },
    ]);
  });
});

describe('frames', () => {
  test('are sent again as the very same bytes [LINK-8]', () => {
    const [a] = pair();
    for (let i = 0; i < 5; i++) a.write(false, Buffer.from(`${i}`));
    const first = drain(a).map((frame) => wire(frame).toString());
    a.outbox.rewind();
    expect(drain(a).map((frame) => wire(frame).toString())).toEqual(first);
    expect(new Set(first).size).toBe(5);
  });

  test('are taken once and in order, and what is missing shows [LINK-9]', () => {
    const [a, b] = pair();
    for (let i = 0; i < 3; i++) a.write(false, Buffer.from(`${i}`));
    const [one, two, three] = drain(a).map((frame) => sealed(wire(frame)));
    const got = [two, one, one, three, two, three].map((frame) => b.openData(frame!).is);
    expect(got).toEqual(['gap', 'message', 'duplicate', 'gap', 'message', 'message']);
    expect(b.received).toBe(3);
  });

  test('hide what they carry', () => {
    const [a] = pair();
    a.write(false, Buffer.from('a secret'));
    expect(wire(drain(a)[0]!).includes('a secret')).toBe(false);
  });

  test('of data cannot stand for control frames, nor those of one direction for the other [LINK-7]', () => {
    const [a, b] = pair();
    a.write(false, Buffer.from('x'));
    const frame = sealed(wire(drain(a)[0]!));
    expect(b.openControl({ ...frame, type: 'control' })).toBe('forged');
    expect(a.openData(frame)).toEqual({ is: 'forged' });
    const control = sealed(wire(a.sealControl({ kind: 'ack', received: 0 })));
    expect(b.openData({ ...control, type: 'data' })).toEqual({ is: 'forged' });
  });

  test('with any byte altered, or cut short, count for nothing [LINK-7]', () => {
    const bytes = wire(pairFrame().frame);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(bytes.length), (at, by, cut) => {
        const { b } = pairFrame();
        const altered = Uint8Array.from(bytes);
        altered[at]! ^= by;
        for (const given of [altered, bytes.subarray(0, cut === bytes.length ? 0 : cut)]) {
          const frame = parseFrame(given);
          if (frame?.type === 'data' && frame.session === b.tag)
            expect(['forged', 'gap']).toContain(b.openData(frame).is);
          if (frame?.type === 'control') expect(b.openControl(frame)).toBe('forged');
        }
        expect(b.received).toBe(0);
      }),
    );
  });

  test('acknowledged beyond what was sent change nothing [LINK-16]', () => {
    const [a] = pair();
    a.write(false, Buffer.from('x'));
    expect(a.outbox.acknowledge(1)).toBe(false);
    drain(a);
    expect([a.outbox.acknowledge(2), a.outbox.acknowledge(1), a.outbox.acknowledge(1)]).toEqual([false, true, false]);
    expect(a.outbox.bytes).toBe(0);
  });
});

test('an acknowledgement that comes after a rewind saves what it names from being sent again', () => {
  const [a] = pair();
  for (let i = 0; i < 5; i++) a.write(false, Buffer.from(`${i}`));
  drain(a);
  a.outbox.rewind();
  a.outbox.acknowledge(3);
  expect(drain(a).map(({ counter }) => counter)).toEqual([3, 4]);
  expect(a.outbox.inFlight).toBe(a.outbox.bytes);
  a.outbox.acknowledge(5);
  expect([a.outbox.inFlight, a.outbox.bytes, a.outbox.unsent]).toEqual([0, 0, 0]);
});

describe('control messages', () => {
  test('arrive in any order, and each counts once [LINK-11]', () => {
    const [a, b] = pair();
    const frames = Array.from({ length: 50 }, (_, i) => sealed(wire(a.sealControl({ kind: 'ack', received: i }))));
    for (const frame of [...frames].reverse()) expect(b.openControl(frame)).toMatchObject({ kind: 'ack' });
    for (const frame of frames) expect(b.openControl(frame)).toBe('replayed');
  });

  test('of all kinds arrive as they were', () => {
    const [a, b] = pair();
    const all = [
      { kind: 'ping', id: 4_000_000_000, received: 2 ** 50 },
      { kind: 'pong', id: 0, received: 0 },
      { kind: 'gap', received: 7 },
    ] as const;
    for (const control of all) expect(b.openControl(sealed(wire(a.sealControl(control))))).toEqual(control);
  });
});

describe('keys', () => {
  test('change at the same counter on both sides, and everything still arrives [LINK-14]', () => {
    const [a, b] = pair(8);
    for (let i = 0; i < 100; i++) {
      a.write(false, Buffer.from(`${i}`));
      expect(b.openData(sealed(wire(drain(a)[0]!)))).toMatchObject({ is: 'message', bytes: Buffer.from(`${i}`) });
    }
    for (let i = 0; i < 100; i++) {
      const frame = sealed(wire(a.sealControl({ kind: 'ack', received: i })));
      if (i % 7 === 0) expect(b.openControl(frame)).toEqual({ kind: 'ack', received: i });
    }
  });

  test('of the generation before still open what is late, older ones nothing [LINK-14]', () => {
    const seal = new CipherChain(nodeLinkCrypto, key('k'), 4);
    const open = new CipherChain(nodeLinkCrypto, key('k'), 4);
    const frames = Array.from({ length: 12 }, (_, i) => seal.seal(i, key('ad'), Buffer.from(`${i}`)));
    const opened = (i: number) =>
      open.open(i, key('ad'), frames[i]!.tag, frames[i]!.ciphertext) && Buffer.from(frames[i]!.ciphertext).length > 0;
    expect([opened(0), opened(5), opened(1), opened(9), opened(6), opened(2)]).toEqual([
      true,
      true,
      true,
      true,
      true,
      undefined,
    ]);
  });

  test('are not moved on by what comes before its time: what is missing still opens, however far behind it is', () => {
    const [a, b] = pair(4);
    for (let i = 0; i < 20; i++) a.write(false, Buffer.from(`${i}`));
    const frames = drain(a).map((frame) => sealed(wire(frame)));
    expect(b.openData(frames[18]!)).toEqual({ is: 'gap' });
    for (const frame of frames) expect(b.openData(frame).is).toBe('message');
  });

  test('are not moved on by a frame that is forged [LINK-14]', () => {
    const open = new CipherChain(nodeLinkCrypto, key('k'), 4);
    const good = new CipherChain(nodeLinkCrypto, key('k'), 4).seal(0, key('ad'), Buffer.from('x'));
    for (let i = 0; i < 100; i++) expect(open.open(i, key('ad'), new Uint8Array(16), good.ciphertext)).toBeUndefined();
    expect(open.open(0, key('ad'), good.tag, good.ciphertext)).toEqual(Buffer.from('x'));
  });
});

test('a replay window agrees with a set of all counters, within its size [LINK-11]', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(50), fc.nat(3_000)), { maxLength: 300 }), (counters) => {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      for (const counter of counters) {
        const isNew = !seen.has(counter) && counter > Math.max(-1, ...seen) - 1024;
        expect(window.isNew(counter)).toBe(isNew);
        if (!isNew) continue;
        window.mark(counter);
        seen.add(counter);
      }
    }),
  );
});

function pairFrame(): { b: LinkSession; frame: OutFrame } {
  const [a, b] = pair();
  a.write(false, Buffer.from('something'));
  const frame = a.outbox.take(0);
  if (!frame) throw new Error('nothing to send');
  return { b, frame };
}
