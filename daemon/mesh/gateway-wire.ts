import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { ToGateway, ToMachine } from '../../shared/protocol/gateway.ts';
import { gatewayFrame } from '../../shared/protocol/gateway.ts';
import type { SignedStatement } from '../team/roster.ts';

/** Kind and index before the payload of a relay message. */
export const relayHeader = 5;
export const pingLength = 5;

/** What a transport to a gateway must let through: the largest relay message, and control messages, which are kept below it. */
export const messageOverhead = 64;

/** Statements of a roster go in messages of at most about this many bytes. */
const rosterPart = 64 << 10;
/** No chain is longer than this, whatever a peer says. */
const longestRoster = 16 << 20;

export function encodeControl(message: ToMachine | ToGateway): Uint8Array {
  const json = Buffer.from(JSON.stringify(message));
  const bytes = new Uint8Array(1 + json.length);
  bytes[0] = gatewayFrame.control;
  bytes.set(json, 1);
  return bytes;
}

/** The JSON of a control message. Throws `bad_request`. */
export function controlJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1).toString());
  } catch (cause) {
    throw new NiiaError('bad_request', 'a control message is not JSON', undefined, { cause });
  }
}

/** Checks a control message against its side's schema. Throws `bad_request`. */
export function parseControl<S extends v.GenericSchema>(schema: S, json: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new NiiaError(
    'bad_request',
    `a control message is not valid: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`,
  );
}

/** A relay message for `index` with the payload `head`, `body`. */
export function encodeRelay(index: number, head: Uint8Array, body?: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(relayHeader + head.length + (body?.length ?? 0));
  bytes[0] = gatewayFrame.relay;
  bytes.writeUInt32BE(index, 1);
  bytes.set(head, relayHeader);
  if (body) bytes.set(body, relayHeader + head.length);
  return bytes;
}

/** The number in bytes 1 to 4: the index of a relay message, the token of a ping or pong. */
export function readNumber(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(1);
}

export function writeNumber(bytes: Uint8Array, number: number): void {
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length).setUint32(1, number);
}

export function encodePing(kind: typeof gatewayFrame.ping | typeof gatewayFrame.pong, token: number): Uint8Array {
  const bytes = new Uint8Array(pingLength);
  bytes[0] = kind;
  writeNumber(bytes, token);
  return bytes;
}

/** The messages that carry a chain: one, or several where it is long. */
export function encodeRoster(statements: readonly SignedStatement[]): Uint8Array[] {
  const parts: SignedStatement[][] = [[]];
  let bytes = 0;
  for (const statement of statements) {
    const size = JSON.stringify(statement).length;
    if (bytes > 0 && bytes + size > rosterPart) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(statement);
    bytes += size;
  }
  return parts.map((part, i) =>
    encodeControl({ type: 'roster', statements: part, ...(i < parts.length - 1 ? { more: true } : {}) }),
  );
}

/** Puts a chain together from its messages. */
export class RosterAssembly {
  #statements: SignedStatement[] = [];
  #bytes = 0;

  /** The whole chain once its last part is here. Throws `too_large`. */
  add(part: { statements: SignedStatement[]; more?: boolean | undefined }): SignedStatement[] | undefined {
    for (const { body, sig } of part.statements) this.#bytes += body.length + sig.length;
    if (this.#bytes > longestRoster) throw new NiiaError('too_large', `a roster is over ${longestRoster} bytes`);
    for (const statement of part.statements) this.#statements.push(statement);
    if (part.more) return undefined;
    const whole = this.#statements;
    this.#statements = [];
    this.#bytes = 0;
    return whole;
  }
}
