/** The asking side of a STUN binding (RFC 8489); daemon/gateway/stun.ts is the answering one. */
const cookie = 0x2112a442;
const headerLength = 20;
const bindingSuccess = 0x0101;
const xorMappedAddress = 0x0020;

/** A request without attributes; `transaction`: 12 random bytes. */
export function bindingRequest(transaction: Uint8Array): Buffer {
  const header = Buffer.alloc(headerLength);
  header.writeUInt16BE(0x0001, 0);
  header.writeUInt32BE(cookie, 4);
  header.set(transaction, 8);
  return header;
}

/** `address:port` as the server saw it; undefined for what is no answer to this request. */
export function mappedAddress(answer: Buffer, transaction: Uint8Array): string | undefined {
  if (answer.length < headerLength || answer.readUInt16BE(0) !== bindingSuccess) return undefined;
  if (answer.readUInt32BE(4) !== cookie || !answer.subarray(8, headerLength).equals(transaction)) return undefined;
  for (let at = headerLength; at + 4 <= answer.length; ) {
    const length = answer.readUInt16BE(at + 2);
    const value = answer.subarray(at + 4, at + 4 + length);
    if (answer.readUInt16BE(at) === xorMappedAddress && value.length >= 8) return readAddress(value, answer);
    at += 4 + ((length + 3) & ~3);
  }
  return undefined;
}

function readAddress(value: Buffer, answer: Buffer): string | undefined {
  const port = value.readUInt16BE(2) ^ (cookie >>> 16);
  const bytes = [...value.subarray(4)].map((byte, index) => byte ^ (answer[4 + index] ?? 0));
  if (value[1] === 1 && bytes.length === 4) return `${bytes.join('.')}:${port}`;
  if (value[1] !== 2 || bytes.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return `[${groups.join(':')}]:${port}`;
}
