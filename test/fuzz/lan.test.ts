import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Exchange } from '../../daemon/lan/exchange.ts';
import { decodeFrame, encodeFrame, type Frame, longestPart } from '../../daemon/lan/frames.ts';
import type { LanAddress } from '../../daemon/lan/lan-peer.ts';
import { cutMessage, longestJson, readMessage } from '../../daemon/lan/message.ts';
import { longestDatagram, memberKeys, open, type PairKeys, seal, sealOverhead } from '../../daemon/lan/seal.ts';
import { Random } from '../sim/random.ts';
import { breathe, fuzz, fuzzLive, must } from './support/fuzz.ts';
import { hostile, hostileBytes } from './support/hostile-bytes.ts';
import { hostileValue } from './support/hostile-json.ts';
import { machineNamed } from './support/keys.ts';

const [us, them] = [machineNamed('us'), machineNamed('them')];
const team = 'ab'.repeat(16);
const keysOf = (own: typeof us, theirs: typeof us): PairKeys => {
  const keys = memberKeys(own.noise, theirs.noiseKey, team);
  if (!keys) throw new Error('no keys');
  return keys;
};
const [ours, theirs] = [keysOf(us, them), keysOf(them, us)];
const value = { type: 'p2p', connection: 'abcdefgh', signal: { type: 'offer', sdp: 'v=0\r\n'.repeat(20) } };

const part = Buffer.alloc(100, 1);
const frames: readonly Frame[] = [
  { type: 'hello', session: 1n, challenge: 2n },
  { type: 'cookie', session: 1n, challenge: 2n, cookie: 3n },
  { type: 'data', session: 1n, cookie: 3n, message: 0, index: 0, count: 1, deflated: true, part },
  {
    type: 'data',
    session: 1n,
    cookie: 3n,
    message: 1,
    index: 1,
    count: 3,
    deflated: false,
    part: Buffer.alloc(longestPart, 2),
  },
  { type: 'ack', session: 1n, message: 7, have: 0xffff },
];

describe('datagrams of the local network', () => {
  fuzz(
    'frames are decoded or not, and encode to the same bytes',
    hostileBytes({ valid: () => frames.map(encodeFrame) }),
    (input) => {
      const bytes = Buffer.from(input);
      const frame = decodeFrame(bytes);
      if (!frame) return;
      // A hello is filled up to the length of its answer, with anything.
      const said = frame.type === 'hello' ? 17 : bytes.length;
      must(encodeFrame(frame).subarray(0, said).equals(bytes.subarray(0, said)), 'a frame has one spelling');
    },
  );

  // The last one inflates to a thousand times its size.
  const texts = [value, 'x'.repeat(60_000), 'x'.repeat(4_000_000)].map((one) => Buffer.from(JSON.stringify(one)));
  const deflated = texts.map((text) => deflateRawSync(text));
  fuzzLive(
    'messages are read or not, and never inflate without end [LAN-7]',
    hostileBytes({ valid: () => deflated, most: 18_000 }),
    async (input) => {
      await breathe();
      for (const isDeflated of [true, false]) {
        const read = readMessage(Buffer.from(input), isDeflated);
        if (read) must(JSON.stringify(read.value).length <= 6 * longestJson, 'what is read is bounded');
      }
    },
    // Sixty kilobytes are inflated for many of them.
    { full: 200_000 },
  );

  test('what is cut is read as it was, and what is sealed opens for its receiver only', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        const { parts, deflated: isDeflated } = cutMessage(json);
        expect(readMessage(Buffer.concat(parts), isDeflated)).toEqual({
          value: JSON.parse(JSON.stringify(json)) as unknown,
        });
        const datagram = seal(theirs.send, parts[0]!.subarray(0, longestDatagram - sealOverhead));
        expect(open(ours.receive, datagram)).toEqual(parts[0]!.subarray(0, longestDatagram - sealOverhead));
        expect(open(ours.send, datagram)).toBeUndefined();
      }),
    );
  });

  /** A member that means harm can seal what it likes. */
  fuzzLive(
    'from a hostile member cost little and are answered with no more than they have [LAN-4, LAN-8]',
    fc.noBias(fc.integer()),
    async (start) => {
      await breathe();
      const random = new Random(start);
      const from: LanAddress = { address: '192.0.2.1', port: 1 };
      let answered = 0;
      let cookie = 0n;
      let sessions = 1;
      const exchange = new Exchange({
        transmit: (datagram) => {
          answered += datagram.length;
          const plain = open(theirs.receive, datagram);
          const frame = plain && decodeFrame(plain);
          if (frame?.type === 'cookie') cookie = frame.cookie;
        },
        lookup: (tag) => (tag === ours.receive.tag.readBigUInt64BE() ? correspondent : undefined),
      });
      const correspondent = { keys: ours, greeted: () => undefined, message: () => undefined };
      let said = 0;
      const say = (plain: Buffer): void => {
        const datagram = seal(theirs.send, plain);
        said += datagram.length;
        exchange.receive(datagram, from);
      };
      say(encodeFrame({ type: 'hello', session: 1n, challenge: 9n }));
      for (let i = 0; i < 20; i++) {
        if (random.chance(0.1)) say(encodeFrame({ type: 'hello', session: BigInt(++sessions), challenge: 9n }));
        const json = hostileValue([value], random);
        const { parts, deflated: isDeflated } = cutMessage(JSON.stringify(json)?.length < 10_000 ? json : value);
        const known: Frame[] = parts.map((one, index) => ({
          type: 'data',
          session: BigInt(sessions),
          cookie,
          message: i,
          index,
          count: parts.length,
          deflated: isDeflated,
          part: one,
        }));
        const plain = known.concat(frames).map(encodeFrame);
        say(Buffer.from(random.chance(0.4) ? random.pick(plain) : hostile(plain, random)));
      }
      must(answered <= said, 'nobody gains by an answer');
      exchange.close();
    },
    // Each is sealed and opened.
    { each: 20, full: 300_000 },
  );
});
