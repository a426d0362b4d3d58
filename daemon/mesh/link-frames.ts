import * as v from 'valibot';
import type { WireError } from '../../shared/errors.ts';
import { NiiaError } from '../../shared/errors.ts';

/**
 * What travels on a path. The first byte of each message is its type:
 *
 * | byte   | rest                                                                                                |
 * | ------ | --------------------------------------------------------------------------------------------------- |
 * | 1      | initiate: the first message of Noise IK                                                               |
 * | 2      | respond: the first 8 bytes of the initiate that it answers, then the second message of Noise IK       |
 * | 3      | restart: session tag (4). "I do not know that session (or none): start a handshake." A mere hint      |
 * | 4      | control: session tag (4), counter (8), AEAD tag (16), ciphertext of one control message, see below    |
 * | 8 to 11| data: the same, of message bytes. Bit 0: more of this message follows. Bit 1: for the link itself     |
 *
 * Numbers are big-endian. Type, session tag and counter are the associated data; the counter is the nonce. Data and
 * control have keys and counters of their own in each direction.
 *
 * Control messages: 1 ping and 2 pong (id 4, received 8), 3 ack and 4 gap (received 8), 5 bye (JSON: the error).
 * `received` is the counter of the next data frame that the sender of the message waits for. A gap is an ack that says:
 * later frames came, so what is missing was lost.
 */
const types = { initiate: 1, respond: 2, restart: 3, control: 4, data: 8 } as const;
const more = 1;
const internal = 2;

/** Type, session tag and counter. */
const headerBytes = 13;
const tagBytes = 16;
export const sealedOverhead = headerBytes + tagBytes;
const echoBytes = 8;
const largestCounter = 2 ** 53 - 2;

export interface SealedFrame {
  type: 'control' | 'data';
  session: number;
  counter: number;
  /** More fragments of this message follow. */
  more: boolean;
  /** For the link itself, not for its user. */
  internal: boolean;
  associated: Uint8Array;
  tag: Uint8Array;
  ciphertext: Uint8Array;
}

export type PathFrame =
  | { type: 'initiate'; noise: Uint8Array }
  | { type: 'respond'; echo: Uint8Array; noise: Uint8Array }
  | { type: 'restart'; session: number }
  | SealedFrame;

/** The frame in `bytes`, or undefined where they are none. */
export function parseFrame(bytes: Uint8Array): PathFrame | undefined {
  const type = bytes[0];
  if (type === undefined) return undefined;
  if (type === types.control || (type & ~(more | internal)) === types.data) {
    if (bytes.length < sealedOverhead) return undefined;
    const counter = u64(bytes, 5);
    if (counter > largestCounter) return undefined;
    const isData = type !== types.control;
    return {
      type: isData ? 'data' : 'control',
      session: u32(bytes, 1),
      counter,
      more: isData && (type & more) !== 0,
      internal: isData && (type & internal) !== 0,
      associated: bytes.subarray(0, headerBytes),
      tag: bytes.subarray(headerBytes, sealedOverhead),
      ciphertext: bytes.subarray(sealedOverhead),
    };
  }
  if (type === types.initiate) return { type: 'initiate', noise: bytes.subarray(1) };
  if (type === types.respond && bytes.length > 1 + echoBytes) {
    return { type: 'respond', echo: bytes.subarray(1, 1 + echoBytes), noise: bytes.subarray(1 + echoBytes) };
  }
  if (type === types.restart && bytes.length === 5) return { type: 'restart', session: u32(bytes, 1) };
  return undefined;
}

export function initiateFrame(noise: Uint8Array): Uint8Array {
  const frame = new Uint8Array(1 + noise.length);
  frame[0] = types.initiate;
  frame.set(noise, 1);
  return frame;
}

export function respondFrame(initiate: Uint8Array, noise: Uint8Array): Uint8Array {
  const frame = new Uint8Array(1 + echoBytes + noise.length);
  frame[0] = types.respond;
  frame.set(initiate.subarray(0, echoBytes), 1);
  frame.set(noise, 1 + echoBytes);
  return frame;
}

/** Whether a respond with this echo answers the initiate that carried `noise`. */
export function answers(echo: Uint8Array, noise: Uint8Array): boolean {
  return echo.every((byte, i) => byte === noise[i]);
}

export function restartFrame(session: number): Uint8Array {
  const frame = new Uint8Array(5);
  frame[0] = types.restart;
  putU32(frame, 1, session);
  return frame;
}

/** A buffer for header and AEAD tag, the header filled in. */
export function sealedHead(
  type: 'control' | 'data',
  session: number,
  counter: number,
  flags?: { more: boolean; internal: boolean },
): { head: Uint8Array; associated: Uint8Array } {
  const head = Buffer.allocUnsafe(sealedOverhead);
  head[0] =
    type === 'control' ? types.control : types.data | (flags?.more ? more : 0) | (flags?.internal ? internal : 0);
  putU32(head, 1, session);
  putU64(head, 5, counter);
  return { head, associated: head.subarray(0, headerBytes) };
}

export function putTag(head: Uint8Array, tag: Uint8Array): void {
  head.set(tag, headerBytes);
}

export type Control =
  | { kind: 'ping' | 'pong'; id: number; received: number }
  | { kind: 'ack' | 'gap'; received: number }
  | { kind: 'bye'; error: NiiaError };

const kinds = { ping: 1, pong: 2, ack: 3, gap: 4, bye: 5 } as const;
const wireErrorSchema = v.object({
  code: v.string(),
  message: v.pipe(v.string(), v.maxLength(1000)),
  hint: v.optional(v.pipe(v.string(), v.maxLength(1000))),
});

export function encodeControl(control: Control): Uint8Array {
  switch (control.kind) {
    case 'ping':
    case 'pong': {
      const bytes = Buffer.allocUnsafe(13);
      bytes[0] = kinds[control.kind];
      putU32(bytes, 1, control.id);
      putU64(bytes, 5, control.received);
      return bytes;
    }
    case 'ack':
    case 'gap': {
      const bytes = Buffer.allocUnsafe(9);
      bytes[0] = kinds[control.kind];
      putU64(bytes, 1, control.received);
      return bytes;
    }
    case 'bye': {
      const { code, message, hint } = control.error;
      const wire: WireError = { code, message: message.slice(0, 1000) };
      if (hint !== undefined) wire.hint = hint.slice(0, 1000);
      return Buffer.concat([Uint8Array.of(kinds.bye), Buffer.from(JSON.stringify(wire))]);
    }
  }
}

/** The control message in `bytes`, or undefined where they are none. A later version may know more kinds. */
export function parseControl(bytes: Uint8Array): Control | undefined {
  const kind = bytes[0];
  if (kind === kinds.ping || kind === kinds.pong) {
    if (bytes.length !== 13) return undefined;
    return { kind: kind === kinds.ping ? 'ping' : 'pong', id: u32(bytes, 1), received: u64(bytes, 5) };
  }
  if (kind === kinds.ack || kind === kinds.gap) {
    if (bytes.length !== 9) return undefined;
    return { kind: kind === kinds.ack ? 'ack' : 'gap', received: u64(bytes, 1) };
  }
  if (kind !== kinds.bye) return undefined;
  const wire = v.safeParse(wireErrorSchema, parseJson(bytes.subarray(1)));
  return wire.success ? { kind: 'bye', error: NiiaError.fromWire(wire.output) } : undefined;
}

/** The JSON value in `bytes`, or undefined where they hold none. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

function u64(bytes: Uint8Array, at: number): number {
  return u32(bytes, at) * 2 ** 32 + u32(bytes, at + 4);
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / 2 ** 32));
  putU32(bytes, at + 4, value >>> 0);
}
