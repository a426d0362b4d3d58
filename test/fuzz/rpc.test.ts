import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { NiiaError } from '../../shared/errors.ts';
import { limits } from '../../shared/protocol/limits.ts';
import { isMethod, methods } from '../../shared/protocol/methods.ts';
import { protocolRange } from '../../shared/protocol/version.ts';
import type { IncomingCall, Reply } from '../../shared/rpc/call.ts';
import { explain } from '../../shared/rpc/client.ts';
import { decode, type Encoded, encode } from '../../shared/rpc/frames.ts';
import { Peer } from '../../shared/rpc/peer.ts';
import { SocketTransport, type StreamSocket } from '../../shared/transport/socket-transport.ts';
import { Random } from '../sim/random.ts';
import { fuzz, fuzzLive, must, settled } from './support/fuzz.ts';
import { hostile, hostileBytes } from './support/hostile-bytes.ts';
import { hostileJson } from './support/hostile-json.ts';
import { LooseEnd } from './support/loose-end.ts';

const whole = ({ head, body }: Encoded): Uint8Array => (body ? Buffer.concat([head, body]) : head);
const hello = whole(encode.json('hello', true, 0, { protocol: protocolRange, software: '1.0.0', face: 'daemon' }));
const request = (call: number, m: string, p: unknown, more = {}) =>
  whole(encode.withBody('request', true, call, { m, p, ...more }, Buffer.from('body')));

const frames: readonly Uint8Array[] = [
  request(1, 'session.list', {}),
  request(1, 'session.attach', { client: 'c', cols: 80, rows: 24, session: 'local-1' }),
  request(2, 'path.pin', { machine: 'm', path: 'p2p' }, { d: 5_000, k: 'key' }),
  request(3, 'machine.ask', { command: 'true', stdin: true }, { to: 'm' }),
  whole(encode.json('event', true, 1, { type: 'resize', cols: 80, rows: 24 })),
  whole(encode.data(true, 1, 0, Buffer.from('typed'))),
  whole(encode.credit(true, 1, 1, 65_536)),
  whole(encode.end(true, 1, 0)),
  whole(encode.cancel(true, 1)),
  // Frames of a call that the receiver opened.
  whole(encode.withBody('result', false, 1, { sessions: [] })),
  whole(encode.json('error', false, 1, { code: 'denied', message: 'no' })),
  whole(encode.json('event', false, 1, { sessions: [] })),
  whole(encode.data(false, 1, 1, Buffer.from('output'))),
  whole(encode.credit(false, 1, 0, 1_000)),
  // Frames that make no sense from this side.
  whole(encode.cancel(false, 1)),
  whole(encode.withBody('result', true, 1, {})),
  whole(encode.json('error', true, 1, {})),
  whole(encode.withBody('request', false, 1, { m: 'session.list', p: {} })),
];

const documented = new Set(['bad_request', 'too_large', 'version_mismatch', 'link_lost', 'timeout']);

describe('frames of the RPC', () => {
  fuzz('are decoded, or refused with a code [RPC-2]', hostileBytes({ valid: () => [hello, ...frames] }), (input) => {
    try {
      const frame = decode(input);
      if (frame.type !== 'request' && frame.type !== 'result') return;
      const header = Buffer.from(input).readUInt32BE(5);
      must(9 + header + frame.body.length === input.length, 'header and body are the whole');
    } catch (error) {
      must(error instanceof NiiaError && documented.has(error.code), 'what is thrown has a documented code');
    }
  });

  test('that are encoded are decoded to the same [RPC-2]', () => {
    const id = fc.nat(0xffffffff);
    fc.assert(
      fc.property(id, fc.jsonValue(), fc.uint8Array(), fc.boolean(), fc.nat(7), (call, json, body, ours, stream) => {
        const mine = !ours;
        const value = JSON.parse(JSON.stringify(json)) as unknown;
        const opened = decode(whole(encode.withBody('request', ours, call, json, body)));
        expect(opened).toMatchObject({ type: 'request', mine, call });
        if (opened.type === 'request') {
          expect(opened.json).toEqual(value);
          expect(Buffer.from(opened.body)).toEqual(Buffer.from(body));
        }
        expect(decode(whole(encode.json('event', ours, call, json)))).toEqual({
          type: 'event',
          mine,
          call,
          json: value,
        });
        expect(decode(whole(encode.credit(ours, call, stream, call)))).toEqual({
          type: 'credit',
          mine,
          call,
          stream,
          granted: call,
        });
      }),
    );
  });
});

describe('the parameters, results and events of every method', () => {
  const schemas = Object.values(methods).flatMap(({ params, result, down, up }) => [params, result, down, up]);
  fuzz(
    'are taken or refused, with a reason that can be told [RPC-18]',
    hostileJson(() => [
      ...Object.keys(methods).map((machine) => ({ machine, session: 'local-1', cols: 80, rows: 24, client: 'c' })),
      {
        role: 'viewer',
        expiresMs: 60_000,
        code: 'niia1-AAAA',
        until: { type: 'idle', ms: 1 },
        argv: ['sh'],
        env: { A: 'b' },
      },
      { type: 'snapshot', offset: 0, length: 5, gap: { from: 0, to: 3 }, cols: 80, rows: 24 },
      { to: 'ab'.repeat(16), signal: { type: 'p2p-wanted' }, sessions: [], machines: [] },
    ]),
    (value) => {
      for (const schema of schemas) {
        const parsed = v.safeParse(schema as v.GenericSchema, value);
        if (!parsed.success) must(explain(parsed.issues).length > 0, 'there is a reason');
      }
    },
    // Each is checked against the schemas of all methods.
    { full: 300_000 },
  );
});

/** Serves as a machine does: checks parameters, reads what is typed, and answers with events, bytes and a result. */
async function serve(call: IncomingCall): Promise<Reply> {
  const { m: method, p: params } = call.header;
  if (!isMethod(method)) throw new NiiaError('unknown_method', `this niia does not know "${method}"`);
  const parsed = v.safeParse(methods[method].params as v.GenericSchema, params ?? {});
  if (!parsed.success) throw new NiiaError('usage', `${method}: ${explain(parsed.issues)}`);
  if (method === 'path.pin') throw new NiiaError('no_such_machine', `there is no ${JSON.stringify(parsed.output)}`);
  if (method === 'machine.ask') call.source(0).discard();
  call.onEvent(() => call.emit({ type: 'noted' }));
  await call.sink(1).writeAll(Buffer.alloc(1_000));
  await settled();
  return { value: { sessions: [] } };
}

describe('a peer', () => {
  const script = fc.noBias(fc.integer());

  /** Twenty frames on one connection; the greeting is right nearly always. */
  fuzzLive(
    'answers or closes, whatever comes, and holds no call for ever [RPC-13]',
    script,
    async (start) => {
      const random = new Random(start);
      const pipe = new LooseEnd();
      let over: NiiaError | undefined;
      const peer = new Peer(pipe, {
        face: 'daemon',
        software: '1.0.0',
        serve,
        closed: (error) => {
          over = error;
        },
      });
      const own = peer.call('session.watch', {});
      own.onEvent(() => undefined);
      own.source(1).discard();
      pipe.give(random.chance(0.9) ? hello : hostile([hello], random));
      for (let i = 0; i < 20; i++) {
        pipe.give(random.chance(0.4) ? random.pick(frames) : hostile(frames, random));
        if (random.chance(0.2)) await settled();
      }
      must(peer.openCalls <= limits.openCalls + 1, 'open calls are bounded');
      must(peer.closed === pipe.closed, 'a peer that gave up closed its connection');
      if (over) must(documented.has(over.code), `the code ${over.code} is documented`);
      peer.close();
      await settled();
      must(peer.openCalls === 0, 'no call outlives its connection');
    },
    { each: 20 },
  );
});

describe('messages over a socket', () => {
  /** The part of a socket that the transport uses; the test is what is at its other end. */
  class Socket implements StreamSocket {
    readonly writableLength = 0;
    destroyed = false;
    say: (chunk: Uint8Array) => void = () => undefined;
    on(event: string, listener: (given: never) => void): void {
      if (event === 'data') this.say = listener as (chunk: Uint8Array) => void;
    }
    write = () => true;
    cork = () => undefined;
    uncork = () => undefined;
    end = () => undefined;
    destroy = () => {
      this.destroyed = true;
    };
  }

  fuzz(
    'arrive whole, in whatever pieces they come, up to the first that is too long [NET-1, NET-2]',
    fc.noBias(fc.integer()),
    (start) => {
      const random = new Random(start);
      const socket = new Socket();
      const transport = new SocketTransport(socket);
      const got: Buffer[] = [];
      let error: Error | undefined;
      transport.start({
        message: (bytes) => got.push(Buffer.from(bytes)),
        writable: () => undefined,
        closed: (why) => {
          error = why;
        },
      });
      const sent: Buffer[] = [];
      const wire: Buffer[] = [];
      let spoilt = false;
      for (let i = random.integer(0, 8); i > 0; i--) {
        const message = Buffer.alloc(random.chance(0.1) ? random.integer(0, 9_000) : random.integer(0, 40), i);
        const length = Buffer.alloc(4);
        spoilt = random.chance(0.05);
        length.writeUInt32BE(spoilt ? random.pick([limits.message + 1, 2 ** 31, 2 ** 32 - 1]) : message.length);
        wire.push(length, message);
        if (spoilt) break;
        sent.push(message);
      }
      let rest = Buffer.concat(wire);
      while (rest.length > 0) {
        const count = random.chance(0.5) ? random.integer(1, 8) : random.integer(1, rest.length);
        socket.say(rest.subarray(0, count));
        rest = rest.subarray(count);
      }
      must(got.length === sent.length && got.every((one, at) => one.equals(sent[at]!)), 'what was sent arrives');
      must(socket.destroyed === spoilt, 'a connection with a message that is too long is cut');
      must((NiiaError.from(error).code === 'too_large') === spoilt, 'and that is the reason');
    },
  );

  test('take no longer when a message comes byte by byte [NET-1]', () => {
    const socket = new Socket();
    const transport = new SocketTransport(socket);
    const got: number[] = [];
    transport.start({
      message: (bytes) => got.push(bytes.length),
      writable: () => undefined,
      closed: () => undefined,
    });
    const length = Buffer.alloc(4);
    length.writeUInt32BE(limits.message / 2);
    const started = performance.now();
    for (const byte of length) socket.say(Uint8Array.of(byte));
    for (let i = 0; i < limits.message / 2; i++) socket.say(new Uint8Array(1));
    expect(got).toEqual([limits.message / 2]);
    expect(performance.now() - started).toBeLessThan(8_000);
  });
});
