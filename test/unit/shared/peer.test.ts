import { describe, expect, it } from 'vitest';
import { NiiaError } from '../../../shared/errors.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import type { IncomingCall, Reply } from '../../../shared/rpc/call.ts';
import { forward } from '../../../shared/rpc/forward.ts';
import { encode } from '../../../shared/rpc/frames.ts';
import { Peer } from '../../../shared/rpc/peer.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';

type Serve = (call: IncomingCall) => Promise<Reply> | Reply;

function pair(serve: Serve, watermark?: number): { client: Peer; server: Peer } {
  const [a, b] = memoryTransportPair(watermark);
  const server = new Peer(b, { face: 'daemon', software: 'test', serve });
  const client = new Peer(a, { face: 'cli', software: 'test' });
  return { client, server };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const pattern = (length: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed + (i >> 8)) & 0xff);

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part.slice());
  return Buffer.concat(parts);
}

describe('a call', () => {
  it('brings parameters and body there and the result and its body back', async () => {
    const { client } = pair((call) => ({
      value: { got: call.header.p, size: call.body.length },
      body: bytes('answer'),
    }));
    const reply = await client.call('m', { x: 1 }, { body: pattern(1000) }).response;
    expect(reply.value).toEqual({ got: { x: 1 }, size: 1000 });
    expect(Buffer.from(reply.body ?? []).toString()).toBe('answer');
  });

  it('carries an error with its code, message and hint [RPC-14]', async () => {
    const { client } = pair(() => {
      throw new NiiaError('denied', 'no', 'ask an admin');
    });
    await expect(client.call('m', {}).response).rejects.toMatchObject({
      code: 'denied',
      message: 'no',
      hint: 'ask an admin',
    });
  });

  it('delivers events and stream bytes in the order in which they were sent [RPC-5]', async () => {
    const { client } = pair(async (call) => {
      const out = call.sink(1);
      for (let i = 0; i < 5; i++) {
        out.write(bytes(`${i}`));
        call.emit({ i });
      }
      return { value: null };
    });
    const call = client.call('m', {});
    const seen: string[] = [];
    call.source(1).onData((part) => void seen.push(Buffer.from(part).toString()));
    call.onEvent((event) => void seen.push(JSON.stringify(event)));
    await call.response;
    expect(seen).toEqual(['0', '{"i":0}', '1', '{"i":1}', '2', '{"i":2}', '3', '{"i":3}', '4', '{"i":4}']);
  });

  it('ends its streams before its result [RPC-6]', async () => {
    const { client } = pair(async (call) => {
      await call.sink(1).writeAll(pattern(2 * limits.window));
      return { value: 'done' };
    });
    const call = client.call('m', {});
    const [all, reply] = await Promise.all([collect(call.source(1)), call.response]);
    expect(all.equals(Buffer.from(pattern(2 * limits.window)))).toBe(true);
    expect(reply.value).toBe('done');
  });

  it('holds a sender at one window while nobody consumes [RPC-7]', async () => {
    let sent = 0;
    const { client } = pair(async (call) => {
      const out = call.sink(1);
      for (;;) {
        await out.ready();
        out.write(new Uint8Array(limits.data));
        sent += limits.data;
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const call = client.call('m', {});
    await expect.poll(() => sent, { timeout: 10_000 }).toBe(limits.window);
    // What it could send against the rule would go within this time.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sent).toBe(limits.window);
    call.source(1).discard();
    await expect.poll(() => sent, { timeout: 10_000 }).toBeGreaterThan(2 * limits.window);
    call.cancel();
  });

  it('is cancelled on the serving side when the caller cancels [RPC-11]', async () => {
    let reason: unknown;
    const aborted = new Promise<void>((resolve) => {
      const { client } = pair(async (call) => {
        call.signal.addEventListener('abort', () => {
          reason = call.signal.reason;
          resolve();
        });
        await new Promise(() => undefined);
        return { value: null };
      });
      const call = client.call('m', {});
      queueMicrotask(() => call.cancel());
    });
    await aborted;
    expect(reason).toMatchObject({ code: 'cancelled' });
  });

  it('ends with timeout on both sides when its deadline passes [RPC-12]', async () => {
    let served: unknown;
    const { client } = pair(async (call) => {
      await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
      served = call.signal.reason;
      return { value: null };
    });
    await expect(client.call('m', {}, { deadlineMs: 30 }).response).rejects.toMatchObject({ code: 'timeout' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(['timeout', 'cancelled']).toContain((served as NiiaError).code);
  });

  it('fails with link_lost when the connection goes, and its streams with it [RPC-13]', async () => {
    const { client, server } = pair(() => new Promise(() => undefined));
    const call = client.call('m', {});
    const stream = collect(call.source(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    server.close();
    await expect(call.response).rejects.toMatchObject({ code: 'link_lost' });
    await expect(stream).rejects.toMatchObject({ code: 'link_lost' });
    await expect(client.call('m', {}).response).rejects.toMatchObject({ code: 'link_lost' });
  });

  it('waits behind at most one frame of a flood in another call [RPC-15]', async () => {
    const order: string[] = [];
    const { client } = pair(async (call) => {
      if (call.header.m === 'flood') {
        await call.sink(1).writeAll(new Uint8Array(limits.window));
        return { value: null };
      }
      return { value: 'pong' };
    }, 2 * limits.data);
    const flood = client.call('flood', {});
    flood.source(1).onData(() => void order.push('flood'));
    await client.call('ping', {}).response.then(() => order.push('pong'));
    await flood.response;
    expect(order.indexOf('pong')).toBeLessThan(order.length - 1);
  });
});

describe('a connection', () => {
  it('refuses a peer of another protocol version and says which side to upgrade [VER-2]', async () => {
    const [a, b] = memoryTransportPair();
    const closed = new Promise<NiiaError>((resolve) => {
      new Peer(b, { face: 'daemon', software: 'test', closed: resolve });
    });
    a.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
    a.send(encode.json('hello', true, 0, { protocol: { min: 7, max: 9 }, software: '9.0.0', face: 'cli' }).head);
    expect(await closed).toMatchObject({
      code: 'version_mismatch',
      hint: expect.stringContaining('Upgrade niia on this side'),
    });
  });

  it.each([
    ['a frame before the hello', [encode.json('event', true, 1, {}).head]],
    ['an empty message', [new Uint8Array()]],
    ['a frame of unknown type', [Uint8Array.of(99, 0, 0, 0, 1)]],
  ])('is closed after %s [RPC-1, RPC-2]', async (_, messages) => {
    const [a, b] = memoryTransportPair();
    const closed = new Promise<NiiaError>((resolve) => {
      new Peer(b, { face: 'daemon', software: 'test', closed: resolve });
    });
    a.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
    for (const message of messages) a.send(message);
    expect(await closed).toMatchObject({ code: 'bad_request' });
  });

  it('is closed when a sender ignores its credit [RPC-7]', async () => {
    const [a, b] = memoryTransportPair();
    const closed = new Promise<NiiaError>((resolve) => {
      new Peer(b, { face: 'daemon', software: 'test', closed: resolve, serve: () => new Promise(() => undefined) });
    });
    a.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
    const hello = { protocol: { min: 1, max: 1 }, software: 'x', face: 'cli' };
    a.send(encode.json('hello', true, 0, hello).head);
    a.send(encode.withBody('request', true, 1, { m: 'm', p: {} }).head);
    for (let sent = 0; sent <= limits.window; sent += limits.data) {
      const frame = encode.data(true, 1, 0, new Uint8Array(limits.data));
      a.send(frame.head, frame.body);
    }
    expect(await closed).toMatchObject({ code: 'too_large' });
  });
});

describe('a forwarded call', () => {
  it('passes request, streams both ways, events both ways and the result on, at the pace of the slower end [RPC-17]', async () => {
    const { client: inner } = pair(async (call) => {
      call.emit({ hello: 'down' });
      const up = new Promise((resolve) => call.onEvent(resolve));
      const input = await collect(call.source(0));
      await call.sink(1).writeAll(input);
      await call.sink(2).writeAll(bytes('errors'));
      return { value: { up: await up, from: call.header.from } };
    });
    const principal = { kind: 'local', id: 'i', name: 'n', role: 'admin' } as const;
    const { client } = pair((call) => forward(call, inner, { from: { machine: 'B', principal } }));
    const call = client.call('m', {});
    const events: unknown[] = [];
    call.onEvent((event) => void events.push(event));
    call.emit({ hello: 'up' });
    const data = pattern(3 * limits.window + 17);
    const sent = call
      .sink(0)
      .writeAll(data)
      .then(() => call.sink(0).end());
    const [out, errors, reply] = await Promise.all([
      collect(call.source(1)),
      collect(call.source(2)),
      call.response,
      sent,
    ]);
    expect(out.equals(Buffer.from(data))).toBe(true);
    expect(errors.toString()).toBe('errors');
    expect(events).toEqual([{ hello: 'down' }]);
    expect(reply.value).toEqual({ up: { hello: 'up' }, from: { machine: 'B', principal } });
  });

  it('ends when more events wait to be passed on than are held, and the far side hears of it [RPC-17]', async () => {
    let far: IncomingCall | undefined;
    const { client: inner } = pair((call) => {
      far = call;
      return new Promise(() => undefined);
    });
    // Nothing gets through to the asker: its connection is never read.
    const [unread, ours] = memoryTransportPair(1);
    const asked = new Promise<Reply>((resolve, reject) => {
      const server = new Peer(ours, {
        face: 'daemon',
        software: 'test',
        serve: (call) => {
          const reply = forward(call, inner);
          reply.then(resolve, reject);
          return reply;
        },
      });
      expect(server.closed).toBe(false);
    });
    const hello = { protocol: { min: 1, max: 1 }, software: 'test', face: 'cli' };
    const frames = [
      encode.json('hello', true, 0, hello),
      encode.withBody('request', true, 1, { m: 'session.watch', p: {} }),
    ];
    for (const { head, body } of frames) unread.send(head, body);
    await expect.poll(() => far).toBeDefined();
    for (let i = 0; i < limits.pendingEvents; i++) far?.emit({ i });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(far?.signal.aborted).toBe(false);
    for (let i = 0; i < 10; i++) far?.emit({ i });
    await expect(asked).rejects.toMatchObject({ code: 'link_lost' });
    await expect.poll(() => far?.signal.aborted).toBe(true);
  });

  it('cancels on the far side when the caller goes [RPC-17]', async () => {
    let far: IncomingCall | undefined;
    const { client: inner } = pair((call) => {
      far = call;
      return new Promise(() => undefined);
    });
    const { client } = pair((call) => forward(call, inner));
    client.call('m', {});
    await expect.poll(() => far).toBeDefined();
    client.close();
    await expect.poll(() => far?.signal.aborted).toBe(true);
  });
});
