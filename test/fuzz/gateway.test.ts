import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayServer } from '../../daemon/gateway/server.ts';
import { GatewayStore } from '../../daemon/gateway/store.ts';
import { answerStun } from '../../daemon/gateway/stun.ts';
import { Log } from '../../daemon/home/log.ts';
import { GatewayConnection } from '../../daemon/mesh/gateway-client-connection.ts';
import {
  controlJson,
  encodeControl,
  encodePing,
  encodeRelay,
  encodeRoster,
  parseControl,
  RosterAssembly,
  readNumber,
} from '../../daemon/mesh/gateway-wire.ts';
import { Roster } from '../../daemon/team/roster.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { ToGateway, ToMachine } from '../../shared/protocol/gateway.ts';
import {
  gatewayFrame,
  gatewayLimits,
  helloProof,
  toGatewaySchema,
  toMachineSchema,
} from '../../shared/protocol/gateway.ts';
import { protocolRange } from '../../shared/protocol/version.ts';
import { Random } from '../sim/random.ts';
import { fuzz, must } from './support/fuzz.ts';
import { hostile, hostileBytes } from './support/hostile-bytes.ts';
import { hostileJsonBytes } from './support/hostile-json.ts';
import { machineNamed } from './support/keys.ts';
import { LooseEnd } from './support/loose-end.ts';

process.env['NIIA_LOG'] = 'error';
const at = '2026-01-01T00:00:00.000Z';
const [a, b] = [machineNamed('a'), machineNamed('b')];
const roster = Roster.create('fuzz', a, a.name, 'nonce', at).append(
  { op: 'add', member: { id: b.id, name: b.name, role: 'operator', signKey: b.signKey, noiseKey: b.noiseKey } },
  a,
  at,
);
const statements = [...roster.statements];
const chain = { head: roster.head, length: roster.length };
const hash = 'cd'.repeat(32);
const fingerprint = 'ab'.repeat(32);

const hello: Extract<ToGateway, { type: 'hello' }> = {
  type: 'hello',
  protocol: protocolRange,
  software: '1.0.0',
  team: roster.team.id,
  machine: b.id,
  signKey: b.signKey,
  sig: 'A'.repeat(86),
  roster: chain,
  admit: 'AAAA',
};
const toGateway: readonly ToGateway[] = [
  hello,
  { type: 'guest', protocol: protocolRange, software: '1.0.0', ticket: 'ef'.repeat(16) },
  { type: 'roster', statements },
  { type: 'roster', statements, more: true },
  { type: 'ticket', hash, expiresAt: '2030-01-01T00:00:00.000Z' },
  { type: 'ticket-drop', hash },
  { type: 'guest-end', index: 3 },
];
const toMachine: readonly ToMachine[] = [
  { type: 'challenge', protocol: protocolRange, software: '1.0.0', nonce: 'AAAA', gateway: fingerprint },
  { type: 'refused', error: { code: 'denied', message: 'no', hint: 'ask' } },
  {
    type: 'welcome',
    index: 1,
    roster: chain,
    present: [{ machine: a.id, index: 2, since: at }],
    absent: [{ machine: 'ab'.repeat(16), lastSeen: null }],
    address: '192.0.2.1',
    ice: { stunPort: 7447, servers: [{ urls: ['stun:192.0.2.1'] }] },
  },
  { type: 'ice', ice: { stunPort: 1 } },
  { type: 'roster-wanted' },
  { type: 'roster', statements },
  { type: 'present', machine: a.id, index: 2, since: at },
  { type: 'absent', machine: a.id, index: 2, lastSeen: at },
  { type: 'circuit-reset', index: 2 },
  { type: 'guest', index: 9, ticket: hash },
  { type: 'guest-gone', index: 9 },
  { type: 'draining' },
];
const frames = [
  encodeRelay(1, Buffer.from('payload')),
  encodeRelay(2, new Uint8Array()),
  encodePing(gatewayFrame.ping, 7),
  encodePing(gatewayFrame.pong, 7),
];
const kind = Uint8Array.of(gatewayFrame.control);

describe('control messages between a machine and a gateway', () => {
  for (const [name, schema, valid] of [
    ['to a machine', toMachineSchema, toMachine],
    ['to a gateway', toGatewaySchema, toGateway],
  ] as const) {
    fuzz(
      `${name} are taken or refused as bad_request`,
      hostileJsonBytes(() => valid, kind),
      (input) => {
        try {
          parseControl(schema, controlJson(input));
        } catch (error) {
          must(error instanceof NiiaError && error.code === 'bad_request', 'what is thrown is bad_request');
        }
      },
    );

    test(`${name} are decoded as they were encoded`, () => {
      for (const message of valid) expect(parseControl(schema, controlJson(encodeControl(message)))).toEqual(message);
    });
  }

  test('rosters of any length come out of their parts whole', () => {
    const signed = fc.record({
      body: fc.string({ maxLength: 4_096, size: 'max' }),
      sig: fc.string({ maxLength: 128 }),
    });
    fc.assert(
      fc.property(fc.array(signed, { minLength: 1, maxLength: 60, size: 'max' }), (all) => {
        const assembly = new RosterAssembly();
        const parts = encodeRoster(all).map((bytes) => parseControl(toMachineSchema, controlJson(bytes)));
        const wholes = parts.map((part) => (part.type === 'roster' ? assembly.add(part) : undefined));
        expect(wholes.at(-1)).toEqual(all);
        expect(wholes.slice(0, -1).every((one) => one === undefined)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a gateway', () => {
  let folder: string;
  let server: GatewayServer;
  let witness: LooseEnd;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'niia-fuzz-'));
    const log = new Log('fuzz');
    server = new GatewayServer({ store: new GatewayStore(folder, log), fingerprint, log, limits: { silentMs: 1e9 } });
    server.updateRoster(roster);
    witness = greeted(a);
  });
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  function dialled(): LooseEnd {
    const pipe = new LooseEnd();
    server.accept(pipe, { address: '192.0.2.1' });
    return pipe;
  }

  function helloOf(pipe: LooseEnd, who: typeof a): Uint8Array {
    const challenge = parseControl(toMachineSchema, controlJson(pipe.sent[0]!));
    if (challenge.type !== 'challenge') throw new Error('no challenge came');
    const sig = who.sign(helloProof(challenge.nonce, fingerprint, roster.team.id, who.id));
    return encodeControl({ ...hello, machine: who.id, signKey: who.signKey, sig });
  }

  function greeted(who: typeof a): LooseEnd {
    const pipe = dialled();
    pipe.give(helloOf(pipe, who));
    return pipe;
  }

  function endedWell(pipe: LooseEnd): void {
    const code = pipe.error instanceof NiiaError ? pipe.error.code : 'none';
    must(!['internal', 'io'].includes(code), `a connection ends for a reason of its own, not ${code}`);
    pipe.close();
    must(!witness.closed, 'the other machine keeps its connection');
    must(Number(/waiting_bytes (\d+)/.exec(server.metrics())?.[1]) === 0, 'nothing waits for who is gone');
  }

  const messages = [...toGateway.map(encodeControl), ...frames];

  fuzz(
    'goes on whatever a stranger says [GW-6]',
    fc.noBias(fc.integer()),
    (start) => {
      const random = new Random(start);
      const pipe = dialled();
      const mine = [...messages, ...(random.chance(0.3) ? [helloOf(pipe, b)] : [])];
      for (let i = 0; i < 4; i++) pipe.give(random.chance(0.2) ? random.pick(mine) : hostile(mine, random));
      endedWell(pipe);
    },
    // A connection and its challenge for each four.
    { each: 4, full: 200_000 },
  );

  fuzz(
    'goes on whatever a member says, and passes on what it relays as it is [GW-6]',
    fc.noBias(fc.integer()),
    (start) => {
      const random = new Random(start);
      const pipe = greeted(b);
      const to = readNumber(encodeRelay(parseIndex(witness), new Uint8Array()));
      const mine = [...messages, encodeRelay(to, Buffer.from('to a')), encodePing(gatewayFrame.pong, 1)];
      for (let i = 0; i < 20; i++) pipe.give(random.chance(0.3) ? random.pick(mine) : hostile(mine, random));
      endedWell(pipe);
    },
    // A connection that was greeted for each twenty.
    { each: 20, full: 500_000 },
  );

  function parseIndex(pipe: LooseEnd): number {
    for (const bytes of pipe.sent) {
      if (bytes[0] !== gatewayFrame.control) continue;
      const message = parseControl(toMachineSchema, controlJson(bytes));
      if (message.type === 'welcome') return message.index;
    }
    return 1;
  }
});

describe('a machine', () => {
  fuzz(
    'goes on or hangs up, whatever its gateway says',
    fc.noBias(fc.integer()),
    (start) => {
      const random = new Random(start);
      const pipe = new LooseEnd();
      let ended: NiiaError | undefined;
      let circuits = 0;
      const connection = new GatewayConnection(
        { transport: pipe, fingerprint, host: '192.0.2.1' },
        {
          identity: b,
          software: '1.0.0',
          roster: () => roster,
          helloMs: 10_000,
          events: {
            welcomed: () => undefined,
            ticketTaken: () => undefined,
            present: () => undefined,
            absent: () => undefined,
            circuit: (_, circuit) => {
              circuits++;
              circuit.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
            },
            guest: (_, lane) => {
              lane.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
            },
            roster: () => undefined,
            ice: () => undefined,
            ended: (error) => {
              must(!ended, 'the end is told once');
              ended = error;
            },
          },
        },
      );
      const all = [...toMachine.map(encodeControl), ...frames];
      if (random.chance(0.9)) for (const message of [all[0]!, all[2]!]) pipe.give(message);
      for (let i = 0; i < 20; i++) pipe.give(random.chance(0.4) ? random.pick(all) : hostile(all, random));
      must(ended?.code !== 'internal', 'it ends for a reason of its own');
      must(circuits <= 21, 'one circuit for each machine that came');
      connection.end();
      must(pipe.closed && ended !== undefined, 'it ends when it is told to');
      must(pipe.sentBytes < 20 * gatewayLimits.payload, 'and has not answered without end');
    },
    // A connection that was greeted for each twenty.
    { each: 20, full: 500_000 },
  );
});

describe('STUN requests', () => {
  const header = Buffer.from('000100002112a442303132333435363738396162', 'hex');
  const withLength = (attributes: Buffer): Buffer => {
    const request = Buffer.concat([header, attributes]);
    request.writeUInt16BE(attributes.length, 2);
    return request;
  };
  const attributes = ['', '8022000461626364', '0006000361626300', '002500007fff0001aa000000'];
  const valid = attributes.map((hex) => withLength(Buffer.from(hex, 'hex')));

  fuzz('are answered with little, or not at all [GW-23]', hostileBytes({ valid: () => valid, most: 700 }), (input) => {
    const request = Buffer.from(input);
    const answers = [
      answerStun(request, '192.0.2.1', 40_000),
      // As if nothing but the attributes had been altered.
      input.length < 600
        ? answerStun(withLength(request.subarray(Math.min(20, request.length))), 'fe80::1%eth0', 1)
        : undefined,
    ];
    for (const answer of answers) must(!answer || answer.length <= 20 + 2 * 548, 'an answer is not much longer');
  });
});
