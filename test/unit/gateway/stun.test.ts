import type { RemoteInfo } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import * as fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { answerStun } from '../../../daemon/gateway/stun.ts';
import type { StunLimits } from '../../../daemon/gateway/stun-server.ts';
import { StunServer } from '../../../daemon/gateway/stun-server.ts';
import { log } from './machines.ts';

const cookie = 0x2112a442;
const transaction = Buffer.from('0123456789ab');

/** A binding request; attributes as type and value. */
function bindingRequest(...attributes: Array<[type: number, value: Buffer]>): Buffer {
  const parts = attributes.map(([type, value]) => {
    const part = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    part.writeUInt16BE(type, 0);
    part.writeUInt16BE(value.length, 2);
    value.copy(part, 4);
    return part;
  });
  const header = Buffer.alloc(20);
  header.writeUInt16BE(1, 0);
  header.writeUInt16BE(Buffer.concat(parts).length, 2);
  header.writeUInt32BE(cookie, 4);
  transaction.copy(header, 8);
  return Buffer.concat([header, ...parts]);
}

/** The address that a success response tells, IPv6 as eight groups. */
function mappedAddress(response: Buffer): { address: string; port: number } {
  expect(response.readUInt16BE(0)).toBe(0x0101);
  expect(response.subarray(8, 20)).toEqual(transaction);
  expect(response.readUInt16BE(20)).toBe(0x0020);
  const value = response.subarray(24, 24 + response.readUInt16BE(22));
  const bytes = Buffer.from(value.subarray(4).map((byte, index) => byte ^ response[4 + index]!));
  const address =
    value[1] === 1
      ? bytes.join('.')
      : bytes
          .toString('hex')
          .match(/.{4}/g)!
          .map((group) => Number.parseInt(group, 16).toString(16))
          .join(':');
  return { address, port: value.readUInt16BE(2) ^ (cookie >>> 16) };
}

async function udp(
  address: string,
  from = address,
): Promise<{ send(bytes: Buffer, port: number): void; next(): Promise<Buffer>; port: number; answers: Buffer[] }> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  onTestFinished(() => void socket.close());
  socket.bind(0, from);
  await once(socket, 'listening');
  const answers: Buffer[] = [];
  socket.on('message', (bytes) => answers.push(bytes));
  return {
    answers,
    port: socket.address().port,
    send: (bytes, port) => socket.send(bytes, port, address),
    next: async () => ((await once(socket, 'message')) as [Buffer, RemoteInfo])[0],
  };
}

async function serve(host: string, limits?: StunLimits): Promise<StunServer> {
  const probe = await udp(host);
  const { port } = probe;
  const free = await new Promise<number>((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.bind(0, host, () => {
      const found = socket.address().port;
      socket.close(() => resolve(found));
    });
  });
  expect(free).not.toBe(port);
  const server = await StunServer.start({ host, port: free, log, ...(limits ? { limits } : {}) });
  if (!server) throw new Error('STUN is not served');
  onTestFinished(() => server.close());
  return server;
}

for (const [host, told] of [
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '0:0:0:0:0:0:0:1'],
]) {
  test(`who asks from ${host} is told its address and port`, async () => {
    const server = await serve(host!);
    const asker = await udp(host!);
    const answer = asker.next();
    asker.send(bindingRequest(), server.port);
    expect(mappedAddress(await answer)).toEqual({ address: told, port: asker.port });
  });
}

test('addresses are told in their own family, however they were written', () => {
  const told = (address: string) => mappedAddress(answerStun(bindingRequest(), address, 4242)!);
  expect(told('::ffff:192.0.2.7')).toEqual({ address: '192.0.2.7', port: 4242 });
  expect(told('2001:db8::a:1')).toEqual({ address: '2001:db8:0:0:0:0:a:1', port: 4242 });
  expect(told('fe80::1%eth0')).toEqual({ address: 'fe80:0:0:0:0:0:0:1', port: 4242 });
  expect(told('::192.0.2.33').address).toBe('0:0:0:0:0:0:c000:221');
});

test('the answer of RFC 5769 is given to its request', () => {
  // Section 2.2: a response to 192.0.2.1 port 32853 has this XOR-MAPPED-ADDRESS.
  const request = bindingRequest([0x8022, Buffer.from('STUN test client')]);
  Buffer.from('b7e7a701bc34d686fa87dfae', 'hex').copy(request, 8);
  const answer = answerStun(request, '192.0.2.1', 32_853)!;
  expect(answer.subarray(20).toString('hex')).toBe('002000080001a147e112a643');
});

test('an attribute that must be understood and is not is named in the answer', () => {
  const answer = answerStun(bindingRequest([0x0003, Buffer.alloc(4)], [0x8022, Buffer.from('x')]), '192.0.2.1', 1)!;
  expect(answer.readUInt16BE(0)).toBe(0x0111);
  expect(answer.subarray(20).toString('hex')).toBe('0009000400000414' + '000a000200030000');
});

test('no answer is much larger than its request [GW-23]', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(0xffff), fc.uint8Array({ maxLength: 12 })), { maxLength: 40 }),
      fc.ipV6(),
      (attributes, address) => {
        const request = bindingRequest(
          ...attributes.map(([type, value]): [number, Buffer] => [type, Buffer.from(value)]),
        );
        const answer = answerStun(request, address, 65_535);
        expect(answer?.length ?? 0).toBeLessThanOrEqual(2.2 * request.length);
      },
    ),
    { numRuns: 500 },
  );
});

test('nothing but a whole binding request is answered [GW-23]', () => {
  const whole = bindingRequest([0x8022, Buffer.from('niia')]);
  for (let length = 0; length < whole.length; length++) {
    expect(answerStun(whole.subarray(0, length), '192.0.2.1', 1)).toBeUndefined();
  }
  expect(answerStun(Buffer.concat([whole, Buffer.alloc(1)]), '192.0.2.1', 1)).toBeUndefined();
  for (const type of [0x0011, 0x0101, 0x0111, 0x0003]) {
    const other = Buffer.from(whole);
    other.writeUInt16BE(type, 0);
    expect(answerStun(other, '192.0.2.1', 1)).toBeUndefined();
  }
  const overlong = Buffer.from(whole);
  overlong.writeUInt16BE(0xffff, 22);
  expect(answerStun(overlong, '192.0.2.1', 1)).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
      expect(answerStun(Buffer.from(bytes), '192.0.2.1', 1)).toBeUndefined();
    }),
  );
});

test('hostile datagrams of all sizes are ignored, and the next request is answered', async () => {
  const server = await serve('127.0.0.1');
  const asker = await udp('127.0.0.1');
  const answer = asker.next();
  for (const size of [0, 1, 19, 20, 21, 549, 9_000, 60_000]) asker.send(Buffer.alloc(size, 0x21), server.port);
  asker.send(Buffer.concat([bindingRequest(), Buffer.alloc(60_000)]), server.port);
  asker.send(bindingRequest(), server.port);
  expect(mappedAddress(await answer).port).toBe(asker.port);
  expect(asker.answers.length).toBe(1);
});

test('a flood from one address is answered within its limit, and others are answered beside it [GW-23]', async () => {
  const server = await serve('127.0.0.1', { perAddress: 5, inAll: 1_000, addresses: 10 });
  const flooding = await udp('127.0.0.1');
  const other = await udp('127.0.0.1', '127.0.0.2');
  for (let count = 0; count < 200; count++) flooding.send(bindingRequest(), server.port);
  // Requests are looked at in their order: an answer to the last one shows that all were.
  const answer = other.next();
  other.send(bindingRequest(), server.port);
  expect(mappedAddress(await answer).address).toBe('127.0.0.2');
  expect(flooding.answers.length).toBeGreaterThan(0);
  expect(flooding.answers.length).toBeLessThanOrEqual(2 * 5 + 5);
});

test('a flood from more addresses than are remembered is answered within the limit for all', async () => {
  const server = await serve('127.0.0.1', { perAddress: 5, inAll: 10, addresses: 4 });
  const flooding = await Promise.all(
    Array.from({ length: 20 }, (_, index) => udp('127.0.0.1', `127.0.1.${index + 1}`)),
  );
  for (let count = 0; count < 10; count++) for (const each of flooding) each.send(bindingRequest(), server.port);
  const answered = () => flooding.reduce((sum, { answers }) => sum + answers.length, 0);
  await expect.poll(answered).toBeGreaterThanOrEqual(20);
  expect(answered()).toBeLessThanOrEqual(2 * 10 + 10);
});

test('a port that is taken is a warning, not an end', async () => {
  const other = await udp('127.0.0.1');
  expect(await StunServer.start({ host: '127.0.0.1', port: other.port, log })).toBeUndefined();
  expect(await StunServer.start({ host: '192.0.2.250', port: 0, log })).toBeUndefined();
});
