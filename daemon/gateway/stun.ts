import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/**
 * Answers STUN binding requests (RFC 8489), which tell a machine behind a NAT its address outside. Written out, since
 * what npm has for it is unmaintained, and this much is all that ICE asks of a server: no sessions, no authentication.
 */
const headerLength = 20;
const cookie = 0x2112a442;
const bindingRequest = 0x0001;
const bindingSuccess = 0x0101;
const bindingError = 0x0111;
const attributeHeader = 4;
const errorCode = 0x0009;
const unknownAttributes = 0x000a;
const xorMappedAddress = 0x0020;
/** Attributes up to here must be understood by whoever answers. */
const lastRequired = 0x7fff;
/** USERNAME, MESSAGE-INTEGRITY, REALM, NONCE: for servers that ask who it is; nothing here depends on them. */
const harmless = new Set([0x0006, 0x0008, 0x0014, 0x0015]);

/** The longest datagram that is looked at; a binding request of ICE has at most about 100 bytes. */
const longestRequest = 548;

/** The answer to a datagram from `address`:`port`; undefined for all that is no binding request. */
export function answerStun(request: Buffer, address: string, port: number): Buffer | undefined {
  const { length } = request;
  if (length < headerLength || length > longestRequest || request.readUInt16BE(0) !== bindingRequest) return undefined;
  if (request.readUInt32BE(4) !== cookie || request.readUInt16BE(2) !== length - headerLength) return undefined;
  const unknown = attributesOf(request)?.filter((type) => type <= lastRequired && !harmless.has(type));
  if (!unknown) return undefined;
  if (unknown.length > 0) return message(request, bindingError, [error420, [unknownAttributes, uint16s(unknown)]]);
  const transaction = request.subarray(4, headerLength);
  return message(request, bindingSuccess, [[xorMappedAddress, xorAddress(address, port, transaction)]]);
}

/** The attributes' types; undefined where they do not fill the message exactly. */
function attributesOf(request: Buffer): number[] | undefined {
  const types: number[] = [];
  let offset = headerLength;
  while (offset < request.length) {
    if (offset + attributeHeader > request.length) return undefined;
    types.push(request.readUInt16BE(offset));
    offset += attributeHeader + padded(request.readUInt16BE(offset + 2));
  }
  return offset === request.length ? types : undefined;
}

type Attribute = readonly [type: number, value: Buffer];

const error420: Attribute = [errorCode, Buffer.from([0, 0, 4, 20])];

function message(request: Buffer, type: number, attributes: readonly Attribute[]): Buffer {
  const parts = attributes.map(([name, value]) => {
    const part = Buffer.alloc(attributeHeader + padded(value.length));
    part.writeUInt16BE(name, 0);
    part.writeUInt16BE(value.length, 2);
    value.copy(part, attributeHeader);
    return part;
  });
  const header = Buffer.from(request.subarray(0, headerLength));
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(
    parts.reduce((sum, part) => sum + part.length, 0),
    2,
  );
  return Buffer.concat([header, ...parts]);
}

/** Family, port and address, masked with the cookie and the transaction, so that no NAT on the way rewrites them. */
function xorAddress(address: string, port: number, transaction: Buffer): Buffer {
  const bytes = addressBytes(address);
  const value = Buffer.alloc(attributeHeader + bytes.length);
  value[1] = bytes.length === 4 ? 1 : 2;
  value.writeUInt16BE(port ^ (cookie >>> 16), 2);
  bytes.forEach((byte, index) => {
    value[attributeHeader + index] = byte ^ (transaction[index] ?? 0);
  });
  return value;
}

/** An IPv4 address that came through an IPv6 socket (`::ffff:192.0.2.1`) is one. */
function addressBytes(address: string): Buffer {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (isIPv4(bare)) return Buffer.from(bare.split('.').map(Number));
  if (!isIPv6(bare)) throw new RangeError(`"${address}" is no IP address`);
  const normal = new SocketAddress({ address: bare, family: 'ipv6' }).address;
  const [head = '', tail] = normal.split('::');
  const left = groups(head);
  const right = groups(tail ?? '');
  return uint16s([...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]);
}

/** An IPv6 address may end like an IPv4 one. */
function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function uint16s(numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 2);
  numbers.forEach((number, index) => {
    bytes.writeUInt16BE(number, index * 2);
  });
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
