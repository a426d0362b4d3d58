import { generateKeyPairSync, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact, secretsInEnvironment, textsIn } from '../../../daemon/doctor/redact.ts';

const none: ReadonlySet<string> = new Set();
const key = randomBytes(32).toString('base64url');
const { privateKey } = generateKeyPairSync('ed25519');
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

describe('secrets that nobody knew of', () => {
  it.each([
    ['a key', `noise ${key} here`, key],
    ['a key in hex', randomBytes(32).toString('hex')],
    ['a PEM key', `x\n${pem}y`, pem.split('\n')[1]],
    ['half of a PEM key', pem.slice(0, 90), pem.split('\n')[1]?.slice(0, 20)],
    ['an invite', `join niia1-abc_DEF-123`, 'abc_DEF-123'],
    ['a gateway’s fragment', `dials wss://g.example:7447/#short0 now`, 'short0'],
    ['a proxy’s password', `HTTP through http://me:hunter2@proxy:3128/`, 'hunter2'],
    ['a variable', `started with API=abc1 and MY_TOKEN="two words"`, 'two words'],
    ['a header', `Authorization: Bearer abc.def`, 'abc.def'],
    ['a field', `{"turnSecret": "s3", "name": "x"}`, 's3'],
  ])('%s', (_, text, secret = text) => {
    expect(redact(text, none, none)).not.toContain(secret);
  });
});

it('known ones are removed wherever they stand, the longer of two first', () => {
  const text = 'a hunter2hunter2 in the middle-of-hunter2-words';
  expect(redact(text, new Set(['hunter2', 'hunter2hunter2']), none)).toBe(
    'a [removed] in the middle-of-[removed]-words',
  );
});

it('what helps is kept: machine ids, paths, times, addresses, messages', () => {
  const id = randomBytes(16).toString('hex');
  const kept = [
    `2026-11-24T17:55:19.467Z info network: connected to the gateway {"machine":"${id}"}`,
    'socket /home/someone/with/a/long/path/to/.niia/headless-2f6c1ace44a2.sock',
    'wss://192.0.2.7:7447 cannot be reached: nothing listens there',
  ];
  for (const line of kept) expect(redact(line, none, new Set([id]))).toBe(line);
});

it('no key survives in any text around it', () => {
  const around = fc.string({ maxLength: 30 });
  fc.assert(
    fc.property(around, around, fc.uint8Array({ minLength: 32, maxLength: 32 }), (before, after, bytes) => {
      const secret = Buffer.from(bytes).toString('hex');
      expect(redact(before + secret + after, new Set([secret]), none)).not.toContain(secret);
    }),
    { numRuns: 500 },
  );
});

it('values of variables with secret names are known, those of others are not', () => {
  const env = {
    GITHUB_TOKEN: 'ghp_123456',
    PATH: '/usr/bin:/bin',
    DB_PASSWORD: 'hunter22',
    NIIA_TURN_SECRET: 'turn-secret',
  };
  expect(secretsInEnvironment(env).sort()).toEqual(['ghp_123456', 'hunter22', 'turn-secret']);
  expect(textsIn({ a: ['secret-1', 3, null], b: { c: 'secret-2', d: 'short' } })).toEqual(['secret-1', 'secret-2']);
});
