import { randomBytes } from 'node:crypto';
import fc from 'fast-check';

/** Multicast DNS packets (RFC 1035, 4.1) by hand: what a library writes is not what an enemy sends. */
const types = { ptr: 12, txt: 16, srv: 33 } as const;

function name(text: string): Buffer {
  return Buffer.concat([...text.split('.').map((label) => lengthFirst(Buffer.from(label))), Buffer.of(0)]);
}

function lengthFirst(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function u16(...values: number[]): Buffer {
  const out = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) out.writeUInt16BE(value, index * 2);
  return out;
}

export function query(service: string): Buffer {
  return Buffer.concat([u16(0, 0, 1, 0, 0, 0), name(service), u16(types.ptr, 1)]);
}

export function answer(records: { name: string; type: number; data: Buffer; ttl?: number }[]): Buffer {
  const parts = records.map(({ name: owner, type, data, ttl = 120 }) =>
    Buffer.concat([name(owner), u16(type, 1, 0, ttl, data.length), data]),
  );
  return Buffer.concat([u16(0, 0x8400, 0, records.length, 0, 0), ...parts]);
}

export function announcement(of: { instance: string; port: number; hash?: string; text?: string[] }): Buffer {
  const instance = `${of.instance}._niia._udp.local`;
  const text = of.text ?? (of.hash ? ['v=1', `k=${of.hash}`] : undefined);
  return answer([
    { name: '_niia._udp.local', type: types.ptr, data: name(instance) },
    { name: instance, type: types.srv, data: Buffer.concat([u16(0, 0, of.port), name('host.local')]) },
    ...(text
      ? [{ name: instance, type: types.txt, data: Buffer.concat(text.map((one) => lengthFirst(Buffer.from(one)))) }]
      : []),
  ]);
}

const honest = announcement({ instance: 'honest', hash: randomBytes(16).toString('hex'), port: 9 });

const mutated = fc
  .tuple(fc.array(fc.tuple(fc.nat(honest.length - 1), fc.nat(255)), { maxLength: 8 }), fc.nat(honest.length))
  .map(([changes, cut]) => {
    const copy = Buffer.from(honest);
    for (const [where, byte] of changes) copy[where] = byte;
    return cut === 0 ? copy : copy.subarray(0, cut);
  });

/** Records without data, names that point at themselves, counts beyond the packet, no TXT, reserved and empty keys. */
const ill = fc.constantFrom(
  answer([{ name: '_niia._udp.local', type: types.ptr, data: Buffer.alloc(0) }]),
  Buffer.concat([answer([]), Buffer.from('055f6e696961c00c', 'hex')]),
  Buffer.concat([Buffer.from('0000840000ffffffffffffff', 'hex'), Buffer.from('\x05_niia')]),
  announcement({ instance: 'mute', port: 9 }),
  announcement({ instance: '__proto__', hash: '0'.repeat(32), port: 9 }),
  announcement({ instance: 'p', port: 0, text: ['__proto__=1', 'k', '='] }),
);

const endless = fc
  .nat()
  .map((n) => announcement({ instance: `liar${n}`, hash: n.toString(16).padStart(32, '0'), port: 1 + (n % 65_535) }));

const random = fc
  .uint8Array({ maxLength: 600, size: 'max' })
  .map((bytes) => Buffer.concat([bytes, Buffer.from('\x05_niia')]));

/** Packets about our service, of every ill will. */
export const anyPacket = fc.oneof(mutated, ill, endless, random);
