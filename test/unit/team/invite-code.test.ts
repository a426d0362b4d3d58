import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeInvite, encodeInvite, joinKey, ticketHash, ticketId } from '../../../daemon/team/invite-code.ts';

const code = {
  team: randomBytes(16).toString('hex'),
  inviterKey: randomBytes(32).toString('base64url'),
  fingerprint: randomBytes(32).toString('hex'),
  secret: randomBytes(16),
  expiresAt: new Date('2030-01-02T03:04:05Z'),
  urls: ['wss://192.0.2.1:7447', 'wss://[2001:db8::1]:7447'],
};
const text = encodeInvite(code);
const badCode = expect.objectContaining({ code: 'bad_code', hint: expect.stringContaining('niia invite') });

describe('an invite code', () => {
  it('carries all that went into it', () => {
    expect(decodeInvite(text)).toEqual(code);
  });

  it('survives being wrapped and indented by a terminal [JOIN-1]', () => {
    const wrapped = text.replace(/(.{40})/g, '$1\r\n  ');
    expect(decodeInvite(`  ${wrapped}\n`)).toEqual(code);
  });

  it('is refused when any one character of it was altered [JOIN-1]', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (let index = 0; index < text.length; index++) {
      for (const character of [alphabet.at(alphabet.indexOf(text[index]!) - 1)!, 'A', '=', 'ä']) {
        if (character === text[index]) continue;
        const altered = text.slice(0, index) + character + text.slice(index + 1);
        expect(() => decodeInvite(altered), `${index} ${character}`).toThrow(badCode);
      }
    }
  });

  it('is refused when any one bit of its content was altered', () => {
    const bytes = Buffer.from(text.slice('niia1-'.length), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const altered = Buffer.from(bytes);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodeInvite(`niia1-${altered.toString('base64url')}`), `bit ${bit}`).toThrow(badCode);
    }
  });

  it('is refused when it is cut short or anything else altogether [JOIN-1]', () => {
    for (let length = 0; length < text.length; length++) {
      expect(() => decodeInvite(text.slice(0, length))).toThrow(badCode);
    }
    fc.assert(
      fc.property(fc.string(), (anything) => {
        expect(() => decodeInvite(anything)).toThrow(badCode);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(() => decodeInvite(`niia1-${Buffer.from(bytes).toString('base64url')}`)).toThrow(badCode);
      }),
    );
  });

  it('gives the gateway nothing from which the key of the handshake follows', () => {
    const id = ticketId(code.secret);
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(ticketHash(id)).toMatch(/^[0-9a-f]{64}$/);
    expect(joinKey(code.secret)).toHaveLength(32);
    expect(joinKey(code.secret).toString('hex')).not.toContain(id);
  });

  it('is not made without an address to come to', () => {
    for (const urls of [[], ['https://example.org'], ['wss://a b'], ['nonsense']]) {
      expect(() => encodeInvite({ ...code, urls })).toThrow();
    }
  });
});
