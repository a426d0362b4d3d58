import { describe, expect, it } from 'vitest';
import { NiiaError } from '../../../shared/errors.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import { protocolRange } from '../../../shared/protocol/version.ts';
import { decode, type Encoded, encode } from '../../../shared/rpc/frames.ts';
import { Peer, type PeerOptions } from '../../../shared/rpc/peer.ts';
import { LooseEnd } from '../../fuzz/support/loose-end.ts';

const whole = ({ head, body }: Encoded): Uint8Array => (body ? Buffer.concat([head, body]) : head);
const request = (call: number, params: unknown = {}) =>
  whole(encode.withBody('request', true, call, { m: 'session.list', p: params }));

/** A peer that was greeted, and the other end of its connection. */
function greeted(options: Partial<PeerOptions> = {}): {
  peer: Peer;
  pipe: LooseEnd;
  error: () => NiiaError | undefined;
} {
  let error: NiiaError | undefined;
  const pipe = new LooseEnd(1_000);
  const peer = new Peer(pipe, { face: 'daemon', software: '1', closed: (why) => (error = why), ...options });
  pipe.give(whole(encode.json('hello', true, 0, { protocol: protocolRange, software: '1', face: 'daemon' })));
  return { peer, pipe, error: () => error };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a peer whose other side means harm', () => {
  it('tells an error in bounds, however much of the request is in it [RPC-14]', async () => {
    const { peer, pipe } = greeted({
      serve: (call) => {
        throw new NiiaError('no_such_machine', `no ${String(call.header.p)}`, `try ${String(call.header.p)}`);
      },
    });
    pipe.give(request(1, 'm'.repeat(limits.header - 100)));
    await turn();
    const told = decode(pipe.sent.at(-1)!);
    expect(told).toMatchObject({ type: 'error', call: 1, json: { code: 'no_such_machine' } });
    expect(pipe.sent.at(-1)!.length).toBeLessThan(20_000);
    expect(peer.openCalls).toBe(0);
    peer.close();
  });

  it('knows a code of a later version as a failure [RPC-14]', async () => {
    const { peer, pipe } = greeted();
    const call = peer.call('session.list', {});
    pipe.give(whole(encode.json('error', false, call.id, { code: 'later', message: 'a reason' })));
    await expect(call.response).rejects.toMatchObject({ code: 'failed', message: 'a reason' });
    peer.close();
  });

  it('passes over what comes for a call that is over [RPC-11]', async () => {
    const { peer, pipe, error } = greeted({ serve: () => ({ value: {} }) });
    pipe.give(request(1));
    await turn();
    const late = [encode.cancel(true, 1), encode.data(true, 1, 0, Buffer.alloc(9)), encode.json('event', true, 1, {})];
    for (const frame of [...late, encode.withBody('result', false, 7, {})]) pipe.give(whole(frame));
    expect(error()).toBeUndefined();
    peer.close();
  });

  it('keeps nothing of bytes that are none, and little of crumbs [RPC-19]', async () => {
    let taken = 0;
    let start: () => void = () => undefined;
    const { peer, pipe, error } = greeted({
      serve: (call) => {
        start = () =>
          call.source(0).onData((bytes) => {
            taken += bytes.length;
          });
        return new Promise(() => undefined);
      },
    });
    pipe.give(request(1));
    await turn();
    const [none, crumb] = [encode.data(true, 1, 0, new Uint8Array()), encode.data(true, 1, 0, Uint8Array.of(7))];
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 500_000; i++) pipe.give(whole(none));
    for (let i = 0; i < limits.window; i++) pipe.give(whole(crumb));
    expect(error()).toBeUndefined();
    start();
    expect(taken).toBe(limits.window);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(256 << 20);
    peer.close();
  });

  it('takes no second hello [RPC-1]', () => {
    const { pipe, error } = greeted();
    pipe.give(whole(encode.json('hello', true, 0, { protocol: protocolRange, software: '1', face: 'daemon' })));
    expect(error()?.code).toBe('bad_request');
  });

  it('takes no more credit than the window: what it may have in flight stays bounded [RPC-8]', async () => {
    const { pipe, error } = greeted({
      serve: async (call) => {
        pipe.writable = false;
        call.sink(1).write(Buffer.alloc(64 << 20));
        await call.sink(1).flushed();
        return { value: {} };
      },
    });
    pipe.give(request(1));
    await turn();
    pipe.give(whole(encode.credit(true, 1, 1, 0xffffffff)));
    await turn();
    expect(error()?.code).toBe('too_large');
  });

  it('holds no more than its limit of calls, events and streams [RPC-10]', async () => {
    const { peer, pipe, error } = greeted({ serve: () => new Promise(() => undefined) });
    for (let call = 1; call <= limits.openCalls + 5; call++) pipe.give(request(call));
    await turn();
    expect(peer.openCalls).toBe(limits.openCalls);
    const refused = pipe.sent.map((bytes) => decode(bytes)).filter(({ type }) => type === 'error');
    expect(refused).toHaveLength(5);
    for (let i = 0; i < limits.pendingEvents; i++) pipe.give(whole(encode.json('event', true, 1, i)));
    expect(error()).toBeUndefined();
    pipe.give(whole(encode.json('event', true, 1, 'one more')));
    expect(error()?.code).toBe('too_large');
  });

  it('holds 64 MiB of what nobody takes, and no more, over all calls; what is taken does not count [RPC-19]', async () => {
    const { peer, pipe, error } = greeted({
      serve: (call) => {
        if (call.id === 1) call.source(0).discard();
        return new Promise(() => undefined);
      },
    });
    pipe.give(request(1));
    await turn();
    const part = Buffer.alloc(limits.window);
    const data = (call: number, stream: number) => pipe.give(whole(encode.data(true, call, stream, part)));
    for (let i = 0; i < 400; i++) data(1, 0);
    const streams = limits.held / limits.window;
    for (let i = 0; i < streams - 1; i++) {
      if (i % limits.streams === 0) pipe.give(request(2 + i / limits.streams));
      data(2 + Math.floor(i / limits.streams), i % limits.streams);
    }
    expect(error()).toBeUndefined();
    for (let i = 0; i < limits.streams && !error(); i++) {
      if (i === 0) pipe.give(request(900));
      data(900, i);
    }
    expect(error()?.code).toBe('too_large');
    expect(peer.closed).toBe(true);
  });

  it('has no stream beyond those that a call can have [RPC-9]', () => {
    for (const frame of [encode.data(true, 1, limits.streams, Buffer.alloc(1)), encode.credit(true, 1, 255, 1)]) {
      const { pipe, error } = greeted({ serve: () => new Promise(() => undefined) });
      pipe.give(request(1));
      pipe.give(whole(encode.data(true, 1, limits.streams - 1, Buffer.alloc(1))));
      expect(error()).toBeUndefined();
      pipe.give(whole(frame));
      expect(error()?.code).toBe('bad_request');
    }
  });
});
