import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { hostAndPort } from '../../daemon/core/listen-address.ts';
import { parseGatewayUrl } from '../../daemon/mesh/gateway-url.ts';
import { parseAddress } from '../../daemon/paths/address-book.ts';
import { greetDialler, greetListener } from '../../daemon/paths/direct-greeting.ts';
import { type Signal, signalSchema } from '../../daemon/paths/signal.ts';
import {
  dataHeader,
  decodeHelperFrame,
  encodeCredit,
  encodeHelperControl,
  fromHelperSchema,
  toHelperSchema,
} from '../../daemon/webrtc/helper-protocol.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { ToDialler } from '../../shared/protocol/direct.ts';
import { directProof } from '../../shared/protocol/direct.ts';
import { iceServerSchema } from '../../shared/protocol/ice-server.ts';
import { protocolRange } from '../../shared/protocol/version.ts';
import { Random } from '../sim/random.ts';
import { fuzz, fuzzLive, must } from './support/fuzz.ts';
import { hostile, hostileBytes } from './support/hostile-bytes.ts';
import { hostileJson } from './support/hostile-json.ts';
import { machineNamed } from './support/keys.ts';
import { LooseEnd } from './support/loose-end.ts';

const [dialler, listener] = [machineNamed('dialler'), machineNamed('listener')];
const team = 'ab'.repeat(16);
const certificate = 'cd'.repeat(32);
const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const connection = 'abcdefgh1234';
const signals: readonly Signal[] = [
  { type: 'addresses', urls: ['wss://192.0.2.1:7447', 'wss://[2001:db8::1]:7447'], computer: 'abc' },
  { type: 'p2p', connection, signal: { type: 'offer', sdp: 'v=0\r\n' } },
  {
    type: 'p2p',
    connection,
    signal: {
      type: 'candidate',
      candidate: { candidate: 'candidate:1 1 udp 1 192.0.2.1 1 typ host', sdpMid: '0', sdpMLineIndex: 0 },
    },
  },
  { type: 'p2p-wanted' },
  { type: 'p2p-ended', connection },
];

describe('signals', () => {
  fuzz(
    'are taken or refused, and what is taken is small [SIG-1]',
    hostileJson(() => signals),
    (value) => {
      const parsed = v.safeParse(signalSchema, value);
      if (parsed.success) must(JSON.stringify(parsed.output).length < 200_000, 'a signal is small');
    },
  );

  test('come out as they went in', () => {
    for (const signal of signals) expect(v.parse(signalSchema, JSON.parse(JSON.stringify(signal)))).toEqual(signal);
  });

  fuzz(
    'ICE servers are taken or refused',
    hostileJson(() => [
      { urls: ['stun:192.0.2.1:3478', 'stuns:host'], username: 'u', credential: 'c' },
      { urls: ['turn:[2001:db8::1]:3478?transport=tcp'] },
    ]),
    (value) => void v.safeParse(iceServerSchema, value),
  );
});

describe('addresses that people and machines give', () => {
  const texts = [
    'wss://192.0.2.1:7447',
    '192.0.2.1:7447',
    '[::1]:1',
    '7447',
    `wss://host:1/#${'A'.repeat(64)}`,
    'host',
  ];
  fuzz(
    'are parsed, or refused with usage',
    hostileBytes({ valid: () => texts.map((text) => Buffer.from(text)), most: 400 }),
    (input) => {
      const text = Buffer.from(input).toString();
      for (const parse of [parseAddress, parseGatewayUrl, hostAndPort]) {
        try {
          parse(text);
        } catch (error) {
          must(error instanceof NiiaError && error.code === 'usage', `${parse.name} throws nothing but usage`);
        }
      }
    },
  );
});

describe('the greeting of a machine that is dialled straight', () => {
  const documented = new Set(['bad_request', 'too_large', 'denied', 'no_such_machine', 'version_mismatch', 'offline']);

  function helloFor(pipe: LooseEnd, machine: string): Uint8Array {
    const { nonce } = JSON.parse(Buffer.from(pipe.sent[0]!).toString()) as { nonce: string };
    const proved = { team, machine, to: listener.id };
    const sig = dialler.sign(directProof(nonce, certificate, proved));
    return json({ type: 'hello', protocol: protocolRange, ...proved, signKey: dialler.signKey, sig });
  }

  /** Gives messages until the greeting is over, and closes. What it came to, and with how much told. */
  async function over(greeting: Promise<unknown>, pipe: LooseEnd, messages: readonly Uint8Array[]): Promise<string> {
    const outcome = greeting.then(
      () => 'in',
      (error: unknown) => (error instanceof NiiaError ? error.code : `no code: ${String(error)}`),
    );
    for (const message of messages) pipe.give(message);
    pipe.close();
    return await outcome;
  }

  fuzzLive(
    'lets a dialler in only for the proof of its key, whatever it says [DIR-2]',
    fc.noBias(fc.integer()),
    async (start) => {
      const random = new Random(start);
      const pipe = new LooseEnd();
      const greeting = greetDialler(pipe, { certificate, team, self: listener.id });
      // A machine may sign what it likes, another one's id too.
      const hello = helloFor(pipe, random.chance(0.2) ? listener.id : dialler.id);
      const messages = Array.from({ length: 3 }, () => hostile([hello], random));
      const came = await over(greeting, pipe, messages);
      must(came === 'in' || documented.has(came), `the outcome ${came} is documented`);
      if (came !== 'in') return;
      const said = JSON.parse(Buffer.from(messages[0]!).toString()) as Record<string, unknown>;
      must(said['machine'] === dialler.id && said['to'] === listener.id, 'who came in is who proved it');
    },
    // A signature is made for each three, and mostly checked.
    { each: 3, full: 150_000 },
  );

  const answers: readonly ToDialler[] = [
    { type: 'challenge', protocol: protocolRange, nonce: 'AAAA' },
    { type: 'welcome' },
    { type: 'refused', error: { code: 'denied', message: 'no' } },
  ];

  fuzzLive(
    'does not harm the dialler, whatever the listener says [DIR-4]',
    fc.noBias(fc.integer()),
    async (start) => {
      const random = new Random(start);
      const pipe = new LooseEnd();
      const valid = answers.map(json);
      const greeting = greetListener(pipe, { certificate, team, self: dialler, to: listener.id });
      const came = await over(
        greeting,
        pipe,
        Array.from({ length: 6 }, () => (random.chance(0.3) ? random.pick(valid) : hostile(valid, random))),
      );
      must(!came.startsWith('no code') && came !== 'internal', `the outcome ${came} has a code`);
      must(pipe.sent.length <= 6, 'one answer for each challenge');
    },
    // Each challenge is signed.
    { each: 6, full: 300_000 },
  );
});

describe('frames between a daemon and its WebRTC helper', () => {
  const { type: _, ...none } = { type: '' };
  const controls = [
    encodeHelperControl(1, { type: 'open', initiator: true, iceServers: [{ urls: ['stun:host'] }], relayOnly: false }),
    encodeHelperControl(1, { type: 'signal', signal: { type: 'answer', sdp: 'v=0' } }),
    encodeHelperControl(1, { type: 'close', abrupt: true, ...none }),
    encodeHelperControl(0, { type: 'pong' }),
    encodeHelperControl(7, { type: 'closed', error: 'it broke' }),
  ];
  const frames = [...controls, Buffer.concat([dataHeader(3), Buffer.from('data')]), encodeCredit(3, 65_536)];

  fuzz('are decoded, or refused by an error', hostileBytes({ valid: () => frames }), (input) => {
    for (const schema of [fromHelperSchema, toHelperSchema]) {
      try {
        decodeHelperFrame<unknown>(input, schema);
      } catch (error) {
        must(error instanceof Error && !(error instanceof TypeError), `an error that was meant: ${String(error)}`);
      }
    }
  });
});
