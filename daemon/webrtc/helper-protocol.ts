import * as v from 'valibot';
import { iceServerSchema } from '../../shared/protocol/ice-server.ts';
import { p2pSignalSchema } from './p2p-signal.ts';

/**
 * Between the daemon and its WebRTC helper, as messages over one pipe. Each starts with its kind (1 byte) and the number
 * of its connection (4, big-endian; 0: the helper itself):
 *
 * | kind | rest                                                                                        |
 * | ---- | ------------------------------------------------------------------------------------------- |
 * | 0    | control: JSON, one of the messages below                                                    |
 * | 1    | data: one message of the data channel, either way                                           |
 * | 2    | credit: 4 bytes, big-endian: that many bytes of data were taken on by the channel, or by us  |
 */
export const helperFrame = { control: 0, data: 1, credit: 2 } as const;

export const frameHeader = 5;

export const helperLimits = {
  /** The largest message of a connection, bytes: a link's payload and what encloses it. */
  message: (128 << 10) + 64,
  /** Bytes that may be on their way from the daemon to the data channel before the transport is not writable. */
  outgoing: 256 << 10,
  /** It is writable again below this. */
  outgoingLow: 64 << 10,
  /** Bytes received that the daemon has not taken yet. A link has a quarter of it in flight; who sends more is cut off. */
  incoming: 4 << 20,
  /** Credit is given back in portions of this or more: one a message would wake the other process for each. */
  creditStep: 32 << 10,
  /** Signals that one connection takes from its other end. */
  signals: 256,
} as const;

export const toHelperSchema = v.variant('type', [
  v.object({
    type: v.literal('open'),
    initiator: v.boolean(),
    iceServers: v.array(iceServerSchema),
    /** Only through TURN servers. */
    relayOnly: v.boolean(),
  }),
  v.object({ type: v.literal('signal'), signal: p2pSignalSchema }),
  /** `abrupt`: what was sent and has not left yet is dropped. */
  v.object({ type: v.literal('close'), abrupt: v.boolean() }),
  v.object({ type: v.literal('ping') }),
]);
export type ToHelper = v.InferOutput<typeof toHelperSchema>;

export const fromHelperSchema = v.variant('type', [
  /** The native part is loaded. */
  v.object({ type: v.literal('ready') }),
  /** It cannot be; the helper ends. */
  v.object({ type: v.literal('unavailable'), reason: v.string() }),
  v.object({ type: v.literal('pong') }),
  v.object({ type: v.literal('signal'), signal: p2pSignalSchema }),
  v.object({ type: v.literal('connected') }),
  /** The last of a connection. `error` is absent after an orderly end by the other side. */
  v.object({ type: v.literal('closed'), error: v.exactOptional(v.string()) }),
]);
export type FromHelper = v.InferOutput<typeof fromHelperSchema>;

export function encodeHelperControl(connection: number, message: ToHelper | FromHelper): Uint8Array {
  const json = JSON.stringify(message);
  const frame = Buffer.allocUnsafe(frameHeader + Buffer.byteLength(json));
  writeHeader(frame, helperFrame.control, connection);
  frame.write(json, frameHeader);
  return frame;
}

export function dataHeader(connection: number): Buffer {
  const header = Buffer.allocUnsafe(frameHeader);
  writeHeader(header, helperFrame.data, connection);
  return header;
}

export function encodeCredit(connection: number, bytes: number): Uint8Array {
  const frame = Buffer.allocUnsafe(frameHeader + 4);
  writeHeader(frame, helperFrame.credit, connection);
  frame.writeUInt32BE(bytes, frameHeader);
  return frame;
}

function writeHeader(frame: Buffer, kind: number, connection: number): void {
  frame[0] = kind;
  frame.writeUInt32BE(connection, 1);
}

export type HelperFrame<T> =
  | { kind: 'control'; connection: number; message: T }
  | { kind: 'data'; connection: number; bytes: Uint8Array }
  | { kind: 'credit'; connection: number; bytes: number };

/** Throws where the frame is none of this protocol. */
export function decodeHelperFrame<T>(frame: Uint8Array, schema: v.GenericSchema<unknown, T>): HelperFrame<T> {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const connection = view.readUInt32BE(1);
  switch (view[0]) {
    case helperFrame.control:
      return {
        kind: 'control',
        connection,
        message: v.parse(schema, JSON.parse(view.toString('utf8', frameHeader))),
      };
    case helperFrame.data:
      return { kind: 'data', connection, bytes: frame.subarray(frameHeader) };
    case helperFrame.credit:
      return { kind: 'credit', connection, bytes: view.readUInt32BE(frameHeader) };
    default:
      throw new RangeError(`a frame of kind ${view[0]} is not known`);
  }
}
