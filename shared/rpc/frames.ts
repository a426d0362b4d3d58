import type { WireError } from '../errors.ts';
import { NiiaError } from '../errors.ts';
import { limits } from '../protocol/limits.ts';

/**
 * The frames of one connection. A frame is `type (1 byte) · call id (4 bytes, big-endian) · rest`. The high bit of the
 * type says whose call it is: clear when the sender of the frame opened the call, set when the receiver did; so both
 * sides number their calls freely.
 *
 * | type    | rest                                                        |
 * | ------- | ----------------------------------------------------------- |
 * | hello   | JSON (call id 0)                                            |
 * | request | header length (4), JSON header, body                        |
 * | result  | header length (4), JSON value, body                         |
 * | error   | JSON                                                        |
 * | event   | JSON                                                        |
 * | cancel  | nothing                                                     |
 * | data    | stream (1), bytes                                           |
 * | credit  | stream (1), bytes granted (4)                               |
 * | end     | stream (1)                                                  |
 */
export const frameTypes = {
  hello: 0,
  request: 1,
  result: 2,
  error: 3,
  event: 4,
  cancel: 5,
  data: 6,
  credit: 7,
  end: 8,
} as const;

export type FrameType = keyof typeof frameTypes;

export type Frame =
  | { type: 'hello' | 'error' | 'event'; mine: boolean; call: number; json: unknown }
  | { type: 'request' | 'result'; mine: boolean; call: number; json: unknown; body: Uint8Array }
  | { type: 'cancel'; mine: boolean; call: number }
  | { type: 'data'; mine: boolean; call: number; stream: number; bytes: Uint8Array }
  | { type: 'credit'; mine: boolean; call: number; stream: number; granted: number }
  | { type: 'end'; mine: boolean; call: number; stream: number };

/** An encoded frame, as the transport takes it: a head, and bytes that need not be copied. */
export interface Encoded {
  head: Uint8Array;
  body?: Uint8Array;
}

const typeNames = Object.keys(frameTypes) as FrameType[];
const receiversCall = 0x80;
const headBytes = 5;
const utf8 = new TextDecoder('utf-8', { fatal: true });

function startFrame(type: FrameType, ours: boolean, call: number, extra: number): Buffer {
  const head = Buffer.allocUnsafe(headBytes + extra);
  head[0] = frameTypes[type] | (ours ? 0 : receiversCall);
  head.writeUInt32BE(call, 1);
  return head;
}

function json(value: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(value ?? null));
  if (text.length > limits.header) {
    throw new NiiaError('too_large', `a message header of ${text.length} bytes is over the limit of ${limits.header}`);
  }
  return text;
}

/** `ours`: this side opened the call. */
export const encode = {
  json(type: 'hello' | 'error' | 'event', ours: boolean, call: number, value: unknown): Encoded {
    const text = json(value);
    const head = startFrame(type, ours, call, text.length);
    text.copy(head, headBytes);
    return { head };
  },
  withBody(type: 'request' | 'result', ours: boolean, call: number, value: unknown, body?: Uint8Array): Encoded {
    const text = json(value);
    const head = startFrame(type, ours, call, 4 + text.length);
    head.writeUInt32BE(text.length, headBytes);
    text.copy(head, headBytes + 4);
    if (!body || body.length === 0) return { head };
    if (body.length > limits.body) {
      throw new NiiaError('too_large', `a message body of ${body.length} bytes is over the limit of ${limits.body}`);
    }
    return { head, body };
  },
  /** What failed, shortened where a request put too much of itself into the message. */
  error(ours: boolean, call: number, { code, message, hint }: NiiaError): Encoded {
    const wire: WireError = { code, message: message.slice(0, limits.errorText) };
    if (hint !== undefined) wire.hint = hint.slice(0, limits.errorText);
    return encode.json('error', ours, call, wire);
  },
  cancel(ours: boolean, call: number): Encoded {
    return { head: startFrame('cancel', ours, call, 0) };
  },
  data(ours: boolean, call: number, stream: number, bytes: Uint8Array): Encoded {
    const head = startFrame('data', ours, call, 1);
    head[headBytes] = stream;
    return { head, body: bytes };
  },
  credit(ours: boolean, call: number, stream: number, granted: number): Encoded {
    const head = startFrame('credit', ours, call, 5);
    head[headBytes] = stream;
    head.writeUInt32BE(granted, headBytes + 1);
    return { head };
  },
  end(ours: boolean, call: number, stream: number): Encoded {
    const head = startFrame('end', ours, call, 1);
    head[headBytes] = stream;
    return { head };
  },
};

function bad(why: string): NiiaError {
  return new NiiaError('bad_request', `malformed frame: ${why}`);
}

function parse(bytes: Uint8Array): unknown {
  if (bytes.length > limits.header) throw new NiiaError('too_large', `a header of ${bytes.length} bytes`);
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new NiiaError('bad_request', 'malformed frame: not JSON in UTF-8', undefined, { cause });
  }
}

function streamOf(rest: Uint8Array): number {
  const [stream] = rest;
  if (stream === undefined || stream >= limits.streams) throw bad(`no call has the stream ${stream ?? '(none)'}`);
  return stream;
}

/** Decodes one frame; `mine` is true when the call was opened by the side that decodes. Throws `bad_request`. */
export function decode(message: Uint8Array): Frame {
  if (message.length < headBytes) throw bad('too short');
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const first = view.getUint8(0);
  const type = typeNames[first & ~receiversCall];
  const mine = (first & receiversCall) !== 0;
  const call = view.getUint32(1);
  const rest = message.subarray(headBytes);
  switch (type) {
    case 'hello':
    case 'error':
    case 'event':
      return { type, mine, call, json: parse(rest) };
    case 'request':
    case 'result': {
      if (rest.length < 4) throw bad('no header length');
      const length = view.getUint32(headBytes);
      if (length > rest.length - 4) throw bad('header longer than the frame');
      return { type, mine, call, json: parse(rest.subarray(4, 4 + length)), body: rest.subarray(4 + length) };
    }
    case 'cancel':
      return { type, mine, call };
    case 'data':
      return { type, mine, call, stream: streamOf(rest), bytes: rest.subarray(1) };
    case 'credit':
      if (rest.length !== 5) throw bad('credit of the wrong length');
      return { type, mine, call, stream: streamOf(rest), granted: view.getUint32(headBytes + 1) };
    case 'end':
      return { type, mine, call, stream: streamOf(rest) };
    default:
      throw bad(`unknown type ${first}`);
  }
}
