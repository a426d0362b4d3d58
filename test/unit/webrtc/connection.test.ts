import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { helperLimits } from '../../../daemon/webrtc/helper-protocol.ts';
import type { P2pSignal } from '../../../daemon/webrtc/p2p-signal.ts';
import { p2pSignalSchema } from '../../../daemon/webrtc/p2p-signal.ts';
import { inTier } from '../../support/tier.ts';
import { bundleHelper, cleanup, connect, End, ends, Receiver, remove, webRtc } from './support.ts';

let bundle: { folder: string; entry: string };
beforeAll(async () => {
  bundle = await bundleHelper();
});
afterAll(() => remove(bundle.folder));

const pair = () => [webRtc({ entry: bundle.entry }), webRtc({ entry: bundle.entry })] as const;

/**
 * Sends `count` numbered messages of sizes from 4 bytes on, as fast as the transport lets it, with no more on their way
 * than a link has. Returns how often the transport made it wait.
 */
async function sendNumbered(
  [from, to]: readonly [Receiver, Receiver],
  count: number,
  sizeOf: (index: number) => number,
): Promise<number> {
  let waits = 0;
  let sent = 0;
  for (let index = 0; index < count; index++) {
    if (!from.transport.writable) {
      waits++;
      await from.drained();
    }
    const message = Buffer.alloc(sizeOf(index), index & 0xff);
    message.writeUInt32BE(index);
    from.transport.send(message.subarray(0, 4), message.subarray(4));
    sent += message.length;
    await to.until(() => sent - to.bytes < helperLimits.incoming / 4);
  }
  return waits;
}

function checkNumbered(from: Receiver, sizeOf: (index: number) => number): { next: number; wrong: number } {
  const seen = { next: 0, wrong: 0 };
  from.onMessage = (bytes) => {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const size = sizeOf(seen.next);
    const whole = view.length === size && (size === 4 || view[size - 1] === (seen.next & 0xff));
    if (!whole || view.readUInt32BE() !== seen.next) seen.wrong++;
    seen.next++;
  };
  return seen;
}

test('two machines connect, and each says something to the other', async () => {
  const [a, b] = await connect(...pair());
  a.transport.send(Buffer.from('to '), Buffer.from('b'));
  b.transport.send(Buffer.from('to a'));
  await Promise.all([a.until(() => a.messages.length > 0), b.until(() => b.messages.length > 0)]);
  expect(Buffer.from(a.messages[0]!).toString()).toBe('to a');
  expect(Buffer.from(b.messages[0]!).toString()).toBe('to b');
});

const many = inTier(10_000, 20_000);

test(`${many.toLocaleString('en')} messages of mixed sizes arrive once and in order, both ways at once, and the sender is made to wait`, async () => {
  const [a, b] = await connect(...pair());
  const sizeOf = (index: number): number => (index % 400 === 0 ? helperLimits.message : 4 + ((index * 7919) % 1000));
  const count = many;
  const [atA, atB] = [checkNumbered(a, sizeOf), checkNumbered(b, sizeOf)];
  const waits = await Promise.all([sendNumbered([a, b], count, sizeOf), sendNumbered([b, a], count, sizeOf)]);
  await Promise.all([a.until(() => atA.next === count), b.until(() => atB.next === count)]);
  expect(atA).toEqual({ next: count, wrong: 0 });
  expect(atB).toEqual({ next: count, wrong: 0 });
  expect(Math.min(...waits)).toBeGreaterThan(10);
}, 120_000);

test('what comes before the transport is started is kept for its start', async () => {
  const [one, other] = ends(...pair());
  const [left, right] = await Promise.all([one.connected, other.connected]);
  const a = new Receiver(left);
  for (let index = 0; index < 100; index++) a.transport.send(Buffer.from([index]));
  a.transport.close();
  const error = await a.ended;
  expect(error).toBeUndefined();
  const b = new Receiver(right);
  expect(await b.ended).toBeUndefined();
  expect(b.messages.map(([first]) => first)).toEqual(Array.from({ length: 100 }, (_, index) => index));
});

test('an orderly close lets out all that was sent before, and tells both sides once, without an error', async () => {
  const [a, b] = await connect(...pair());
  const chunk = new Uint8Array(60_000);
  for (let index = 0; index < 50; index++) a.transport.send(chunk);
  a.transport.close();
  a.transport.send(chunk);
  expect(await a.ended).toBeUndefined();
  expect(await b.ended).toBeUndefined();
  expect(b.messages.length).toBe(50);
  expect(a.transport.writable).toBe(false);
  b.transport.close();
  a.transport.close();
  expect([a.closedCalls, b.closedCalls]).toEqual([1, 1]);
});

test('a close with an error tells it to its own side, and the other side hears of the end at once', async () => {
  const [a, b] = await connect(...pair());
  const error = new Error('enough');
  a.transport.close(error);
  expect(await a.ended).toBe(error);
  await b.ended;
  expect([a.closedCalls, b.closedCalls]).toEqual([1, 1]);
});

test('a message that is too large closes the connection it was sent on', async () => {
  const [a, b] = await connect(...pair());
  a.transport.send(new Uint8Array(4), new Uint8Array(helperLimits.message));
  expect(await a.ended).toMatchObject({ code: 'too_large' });
  await b.ended;
  expect(b.messages).toEqual([]);
});

test('who sends more than is taken is cut off', async () => {
  const [one, other] = ends(...pair());
  const [left, right] = await Promise.all([one.connected, other.connected]);
  // Nobody starts `right`, so nothing of it is taken.
  const a = new Receiver(left);
  const over = a.ended.then(() => true);
  const chunk = new Uint8Array(64 << 10);
  let sent = 0;
  for (let ended = false; !ended; sent += chunk.length) {
    a.transport.send(chunk);
    if (!a.transport.writable) ended = await Promise.race([a.drained().then(() => false), over]);
  }
  // What the association and both windows hold comes on top.
  expect(sent).toBeLessThan(helperLimits.incoming + (4 << 20));
  expect(await new Receiver(right).ended).toMatchObject({ code: 'offline', message: expect.stringContaining('taken') });
});

/** Connects to a far end that is not ours. */
async function oddPeer(what: string): Promise<Receiver> {
  const rtc = webRtc({ entry: bundle.entry });
  const script = fileURLToPath(new URL('./odd-peer.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, what], { stdio: ['pipe', 'pipe', 'inherit'] });
  cleanup(() => child.kill('SIGKILL'));
  const end = new End(rtc, false);
  end.carry((signal) => child.stdin.write(`${JSON.stringify(signal)}\n`));
  createInterface(child.stdout).on('line', (line) => end.attempt.signal(v.parse(p2pSignalSchema, JSON.parse(line))));
  return new Receiver(await end.connected);
}

test.each([
  ['says text', 'text'],
  ['opens another channel', 'second data channel'],
  ['sends too much at once', 'bytes'],
])('a peer that %s is cut off', async (what, why) => {
  let peer: Receiver | undefined;
  const end = async () => {
    peer = await oddPeer(what);
    return await peer.ended;
  };
  // It may be cut off before the connection counts as made.
  const error = await end().catch((early: unknown) => early);
  expect(error).toMatchObject({ code: 'offline', message: expect.stringContaining(why) });
  expect(peer?.messages ?? []).toEqual([]);
});

test('a message of no bytes is one', async () => {
  const peer = await oddPeer('sends a message of no bytes');
  await peer.until(() => peer.messages.length === 2);
  expect(peer.messages.map(({ length }) => length)).toEqual([0, 1]);
});

test('signals that are doubled and out of order still make a connection', async () => {
  const [a, b] = pair();
  const [one, other] = [new End(a, true), new End(b, false)];
  // The initiator's candidates overtake its offer, and everything comes twice.
  const held: P2pSignal[] = [];
  one.carryTo(other, (signal) => {
    held.push(signal);
    if (held.length < 2) return [];
    return held
      .splice(0)
      .reverse()
      .flatMap((each) => [each, each]);
  });
  other.carryTo(one, (signal) => [signal, signal]);
  const [left, right] = (await Promise.all([one.connected, other.connected])).map((each) => new Receiver(each));
  left!.transport.send(Buffer.from('x'));
  await right!.until(() => right!.messages.length === 1);
});

const garbage: Record<string, P2pSignal> = {
  'an offer that is no SDP': { type: 'offer', sdp: 'v=0 nonsense' },
  'an empty offer': { type: 'offer', sdp: '' },
  'an offer of a video': {
    type: 'offer',
    sdp: 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n',
  },
  'an offer cut short': {
    type: 'offer',
    sdp: 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n',
  },
};
for (const [what, signal] of Object.entries(garbage)) {
  test(`${what} fails the attempt at once, and the helper lives on`, async () => {
    const [a, b] = pair();
    const end = new End(b, false);
    end.attempt.signal(signal);
    expect(await end.failure()).toMatchObject({ code: 'offline' });
    const before = b.pid;
    await connect(a, b);
    expect(b.pid).toBe(before);
  });
}

const harmless: P2pSignal[] = [
  { type: 'answer', sdp: 'nonsense' },
  { type: 'candidate', candidate: { candidate: 'nonsense', sdpMid: '0', sdpMLineIndex: 0 } },
  { type: 'candidate', candidate: { candidate: '', sdpMid: '9', sdpMLineIndex: 99 } },
  { type: 'candidate', candidate: { candidate: 'candidate:1 1 udp 2122265343 x.local 9 typ host', sdpMid: '0' } },
  {
    type: 'candidate',
    candidate: { candidate: 'candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active', sdpMid: '0' },
  },
  { type: 'candidate', candidate: { candidate: 'candidate:1 1 udp 1 127.0.0.1 9 typ host', sdpMid: null } },
  {
    type: 'candidate',
    candidate: { candidate: 'candidate:1 1 udp 1 127.0.0.1 99999 typ host', sdpMid: '7', sdpMLineIndex: -5 },
  },
];
test('signals that make no sense do not keep the real ones from connecting', async () => {
  const [a, b] = pair();
  const [one, other] = [new End(a, true), new End(b, false)];
  for (const signal of harmless) other.attempt.signal(signal);
  one.carryTo(other);
  other.carryTo(one);
  await Promise.all([one.connected, other.connected]);
});
