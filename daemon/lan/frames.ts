import { longestDatagram, sealOverhead } from './seal.ts';

/**
 * What a sealed datagram holds. `session` names the sending half of one conversation: 8 random bytes, new for each.
 *
 * - `hello`: are you there? As long as its answer, so that a replayed one gains nobody anything.
 * - `cookie`: yes; and what must stand in your data for me to take it. Echoes the hello's session and challenge.
 * - `data`: one part of a message.
 * - `ack`: which parts of the message have come; echoes the session.
 */
export type Frame =
  | { type: 'hello'; session: bigint; challenge: bigint }
  | { type: 'cookie'; session: bigint; challenge: bigint; cookie: bigint }
  | DataFrame
  | AckFrame;

export interface DataFrame {
  type: 'data';
  session: bigint;
  cookie: bigint;
  /** Number of the message within its session. */
  message: number;
  /** Which part, from 0. */
  index: number;
  /** How many parts, 1 to 16. */
  count: number;
  /** Whether the whole message is raw deflate (RFC 1951). */
  deflated: boolean;
  part: Buffer;
}

export interface AckFrame {
  type: 'ack';
  session: bigint;
  message: number;
  /** Bit n: part n is here. All bits: the message is. */
  have: number;
}

export const mostParts = 16;
/** What `have` says of a message that was delivered. */
export const haveAll = 0xffff;

const types = { hello: 1, cookie: 2, data: 3, ack: 4 } as const;
const helloBytes = 25;
const ackBytes = 15;
const dataHeader = 24;
export const longestPart = longestDatagram - sealOverhead - dataHeader;

export function encodeFrame(frame: Frame): Buffer {
  const out = Buffer.alloc(lengthOf(frame));
  out.writeUInt8(types[frame.type]);
  out.writeBigUInt64BE(frame.session, 1);
  switch (frame.type) {
    case 'hello':
      out.writeBigUInt64BE(frame.challenge, 9);
      return out;
    case 'cookie':
      out.writeBigUInt64BE(frame.challenge, 9);
      out.writeBigUInt64BE(frame.cookie, 17);
      return out;
    case 'ack':
      out.writeUInt32BE(frame.message, 9);
      out.writeUInt16BE(frame.have, 13);
      return out;
    case 'data':
      out.writeBigUInt64BE(frame.cookie, 9);
      out.writeUInt32BE(frame.message, 17);
      out.writeUInt8(frame.index, 21);
      out.writeUInt8(frame.count, 22);
      out.writeUInt8(frame.deflated ? 1 : 0, 23);
      frame.part.copy(out, dataHeader);
      return out;
  }
}

/** Undefined for what no machine of this version sends. */
export function decodeFrame(plain: Buffer): Frame | undefined {
  if (plain.length < ackBytes) return undefined;
  const session = plain.readBigUInt64BE(1);
  switch (plain[0]) {
    case types.hello:
      if (plain.length !== helloBytes) return undefined;
      return { type: 'hello', session, challenge: plain.readBigUInt64BE(9) };
    case types.cookie:
      if (plain.length !== helloBytes) return undefined;
      return { type: 'cookie', session, challenge: plain.readBigUInt64BE(9), cookie: plain.readBigUInt64BE(17) };
    case types.ack:
      if (plain.length !== ackBytes) return undefined;
      return { type: 'ack', session, message: plain.readUInt32BE(9), have: plain.readUInt16BE(13) };
    case types.data:
      return decodeData(plain, session);
    default:
      return undefined;
  }
}

function decodeData(plain: Buffer, session: bigint): DataFrame | undefined {
  if (plain.length <= dataHeader || plain.length > dataHeader + longestPart) return undefined;
  const [index = 0, count = 0, flags = 0] = plain.subarray(21, dataHeader);
  if (count < 1 || count > mostParts || index >= count || flags > 1) return undefined;
  // Parts before the last are full: what a message may take is known from its first datagram on.
  if (index < count - 1 && plain.length !== dataHeader + longestPart) return undefined;
  return {
    type: 'data',
    session,
    cookie: plain.readBigUInt64BE(9),
    message: plain.readUInt32BE(17),
    index,
    count,
    deflated: flags === 1,
    part: plain.subarray(dataHeader),
  };
}

function lengthOf(frame: Frame): number {
  switch (frame.type) {
    case 'hello':
    case 'cookie':
      return helloBytes;
    case 'ack':
      return ackBytes;
    case 'data':
      return dataHeader + frame.part.length;
  }
}
