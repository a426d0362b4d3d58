import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayStore } from '../../daemon/gateway/store.ts';
import { ConfigStore } from '../../daemon/home/config.ts';
import { Home } from '../../daemon/home/home.ts';
import { Log } from '../../daemon/home/log.ts';
import { AddressBook } from '../../daemon/paths/address-book.ts';
import { Identity, machineId } from '../../daemon/team/identity.ts';
import { decodeInvite, encodeInvite, type InviteCode } from '../../daemon/team/invite-code.ts';
import { Roster, type SignedStatement } from '../../daemon/team/roster.ts';
import { TeamStore } from '../../daemon/team/team-store.ts';
import { Tickets } from '../../daemon/team/tickets.ts';
import { NiiaError } from '../../shared/errors.ts';
import { Random } from '../sim/random.ts';
import { breathe, fuzz, fuzzLive, must } from './support/fuzz.ts';
import { hostile, hostileBytes } from './support/hostile-bytes.ts';
import { hostileJsonBytes, hostileValue } from './support/hostile-json.ts';
import { machineNamed } from './support/keys.ts';

process.env['NIIA_LOG'] = 'error';
const at = '2026-01-01T00:00:00.000Z';
const [a, b, c] = [machineNamed('a'), machineNamed('b'), machineNamed('c')];
const member = ({ id, name, signKey, noiseKey }: Identity) => ({ id, name, role: 'admin' as const, signKey, noiseKey });
const roster = Roster.create('fuzz', a, a.name, 'nonce', at)
  .append({ op: 'add', member: member(b) }, a, at)
  .append({ op: 'role', machine: b.id, role: 'operator' }, a, at);

describe('invite codes', () => {
  const code: InviteCode = {
    team: 'ab'.repeat(16),
    inviterKey: Buffer.alloc(32, 1).toString('base64url'),
    fingerprint: 'cd'.repeat(32),
    secret: new Uint8Array(16).fill(3),
    expiresAt: new Date(1_800_000_000_000),
    urls: ['wss://192.0.2.1:7447', 'wss://host:1'],
  };
  const text = encodeInvite(code);

  function taken(given: string): InviteCode | undefined {
    try {
      return decodeInvite(given);
    } catch (error) {
      must(error instanceof NiiaError && error.code === 'bad_code', 'what is thrown is bad_code');
      return undefined;
    }
  }

  fuzz(
    'are taken whole or refused as bad_code [JOIN-1]',
    hostileBytes({ valid: () => [Buffer.from(text)] }),
    (input) => {
      const given = Buffer.from(input).toString();
      if (taken(given)) must(given.replace(/\s+/g, '') === text, 'a code that was altered is none');
    },
  );

  /** Anybody can make a checksum: what is below it has to hold by itself. */
  const content = Buffer.from(text.slice('niia1-'.length), 'base64url').subarray(0, -4);
  fuzz('with a right checksum are taken or refused all the same', hostileBytes({ valid: () => [content] }), (input) => {
    const sum = createHash('sha256').update(input).digest().subarray(0, 4);
    const decoded = taken(`niia1-${Buffer.concat([input, sum]).toString('base64url')}`);
    if (decoded) must(decoded.urls.length > 0 && !Number.isNaN(decoded.expiresAt.getTime()), 'a code leads somewhere');
  });

  test('come out as they went in', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const host = fc.integer({ min: 1, max: 65_535 }).map((port) => `wss://192.0.2.1:${port}`);
    fc.assert(
      fc.property(bytes(16), bytes(32), bytes(16), fc.nat(0xffffffff), fc.array(host, { minLength: 1 }), (...of) => {
        const [team, key, secret, seconds, urls] = of;
        const made: InviteCode = {
          team: Buffer.from(team).toString('hex'),
          inviterKey: Buffer.from(key).toString('base64url'),
          fingerprint: null,
          secret: Buffer.from(secret),
          expiresAt: new Date(seconds * 1_000),
          urls,
        };
        expect(decodeInvite(encodeInvite(made))).toEqual(made);
      }),
    );
  });
});

describe('the statements of a roster', () => {
  const bodies = roster.statements.map(({ body }) => JSON.parse(body) as Record<string, unknown>);

  function check(statements: readonly SignedStatement[]): Roster | undefined {
    try {
      return Roster.verify(statements, roster);
    } catch (error) {
      must(error instanceof NiiaError && error.code === 'not_a_member', `not_a_member is thrown, not ${String(error)}`);
      return undefined;
    }
  }

  fuzzLive(
    'altered, cut, repeated or mixed up make no other chain [TEAM-1]',
    fc.noBias(fc.integer()),
    async (start) => {
      await breathe();
      const random = new Random(start);
      const statements = roster.statements.map((one) => ({ ...one }));
      const at = random.integer(0, statements.length - 1);
      const one = statements[at]!;
      switch (random.integer(0, 3)) {
        case 0:
          one.body = Buffer.from(hostile([Buffer.from(one.body)], random)).toString();
          break;
        case 1:
          one.sig = Buffer.from(hostile([Buffer.from(one.sig)], random)).toString();
          break;
        case 2:
          one.body = JSON.stringify(hostileValue(bodies, random)) ?? '';
          break;
        default:
          statements.splice(at, random.integer(0, 1), random.pick(statements));
      }
      const verified = check(statements);
      if (!verified) return;
      // A chain may be cut at its end: that is an older one.
      const known = verified.statements.every(({ body }, seq) => body === roster.statements[seq]?.body);
      must(known, 'nobody says what was not signed');
    },
    // Signatures are checked.
    { full: 100_000 },
  );

  fuzzLive(
    'that an admin signed are right in themselves, or refused [TEAM-3]',
    fc.noBias(fc.integer()),
    async (start) => {
      await breathe();
      const random = new Random(start);
      const next = { v: 1, seq: 3, prev: roster.head, at, by: a.id };
      const changes = [
        { ...next, op: 'add', member: member(c) },
        { ...next, op: 'remove', machine: b.id },
        { ...next, op: 'role', machine: b.id, role: 'viewer' },
      ];
      const body = JSON.stringify(hostileValue(changes, random)) ?? '';
      const verified = check([...roster.statements, { body, sig: a.sign(Buffer.from(body)) }]);
      if (verified) {
        const { seq, prev } = JSON.parse(body) as Record<string, unknown>;
        must(seq === 3 && prev === roster.head, 'a statement follows the one before it');
      }
      for (const { id, name, signKey } of verified?.members.values() ?? []) {
        must(id === machineId(signKey) && /^[A-Za-z0-9._-]{1,63}$/.test(name), 'members have the id of their key');
      }
    },
    // A signature is made and one is checked.
    { full: 50_000 },
  );
});

/** In memory where the system has such a folder. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

describe('files of a home, whatever is in them,', () => {
  let folder: string;
  let home: Home;
  const log = new Log('fuzz');
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  beforeAll(() => {
    folder = mkdtempSync(join(scratch, 'niia-fuzz-'));
    home = new Home(folder);
    home.prepare();
    home.folder('team');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const config = {
    gateway: { urls: ['wss://host:1'], fingerprint: null, admit: 'AAAA' },
    listen: '0.0.0.0:7447',
    embeddedPort: 7447,
    labels: { os: 'linux' },
    p2p: 'off',
    ask: 'operator',
  };
  const book = { machines: { [a.id]: [{ url: 'wss://host:1', source: 'told', former: true, lastGoodAt: at }] } };
  const key = 'A'.repeat(43);
  const identity = {
    version: 1,
    name: 'a',
    sign: { publicKey: key, secretKey: key },
    noise: { publicKey: key, secretKey: key },
  };
  const ticket = {
    hash: 'ab',
    key,
    role: 'operator',
    lanKey: key,
    createdAt: at,
    expiresAt: at,
    expired: false,
    usedAt: null,
    usedBy: null,
  };

  /** What reads the file, and whether it says that it is damaged or goes on without it. */
  const files: ReadonlyArray<readonly [name: string, valid: unknown, open: () => unknown]> = [
    ['config.json', config, () => new ConfigStore(home).current],
    ['addresses.json', book, () => new AddressBook(home, quiet).of(a.id)],
    ['identity.json', identity, () => Identity.load(home)],
    [
      'team/roster.json',
      { version: 1, statements: roster.statements },
      () => TeamStore.open({ home, identity: a, log }),
    ],
    ['team/tickets.json', { version: 1, tickets: [ticket] }, () => new Tickets(home)],
    [
      'seen.json',
      { [roster.team.id]: { [a.id]: at } },
      () => new GatewayStore(folder, Object.assign(Object.create(log), quiet) as Log),
    ],
  ];

  for (const [name, valid, open] of files) {
    fuzz(
      `${name} is read, or refused as io`,
      hostileJsonBytes(() => [valid]),
      (input) => {
        writeFileSync(join(folder, name), input);
        try {
          open();
        } catch (error) {
          must(error instanceof NiiaError && error.code === 'io', `io is thrown, not ${String(error)}`);
        }
      },
      // A file written and read for each. Nobody but this user writes there.
      { full: 20_000 },
    );
  }
});
