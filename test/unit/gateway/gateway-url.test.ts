import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseListen, reachableHosts } from '../../../daemon/gateway/addresses.ts';
import { encodeGatewayUrl, parseGatewayUrl } from '../../../daemon/mesh/gateway-url.ts';

describe("a gateway's URL", () => {
  it.each(['192.0.2.1', 'gateway.example', '2001:db8::1'])(
    'carries what a first machine needs to know of %s',
    (host) => {
      const admit = randomBytes(16);
      const fingerprint = randomBytes(32).toString('hex');
      const url = encodeGatewayUrl({ host, port: 7447, tls: true, fingerprint, admit });
      expect(url).toMatch(/^wss:\/\/\S+:7447\/#[A-Za-z0-9_-]{64}$/);
      const origin = host.includes(':') ? `wss://[${host}]:7447` : `wss://${host}:7447`;
      expect(parseGatewayUrl(`${url}\n`)).toEqual({ urls: [origin], fingerprint, admit: admit.toString('base64url') });
    },
  );

  it('without a fragment trusts certificate authorities; with zeros too', () => {
    expect(parseGatewayUrl('wss://gateway.example')).toEqual({ urls: ['wss://gateway.example'], fingerprint: null });
    const admit = randomBytes(16);
    const url = encodeGatewayUrl({ host: '127.0.0.1', port: 80, tls: false, fingerprint: null, admit });
    expect(parseGatewayUrl(url)).toMatchObject({ urls: ['ws://127.0.0.1'], fingerprint: null });
  });

  it.each([
    'gateway.example',
    'https://gateway.example',
    'wss://',
    'wss://user:secret@gateway.example',
    'wss://gateway.example/path',
    'wss://gateway.example/?query',
    'wss://gateway.example/#cut-off',
    `wss://gateway.example/#${'A'.repeat(63)}!`,
  ])('%s is none, and its fragment is not repeated', (text) => {
    const parse = () => parseGatewayUrl(text);
    expect(parse).toThrow(expect.objectContaining({ code: 'usage', hint: expect.any(String) }));
    expect(parse).not.toThrow(/cut-off|AAAA/);
  });
});

describe('an address to listen on', () => {
  it.each([
    ['127.0.0.1:7447', '127.0.0.1', 7447],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[::1]:65535', '::1', 65_535],
    ['localhost:1', 'localhost', 1],
  ])('%s', (text, host, port) => expect(parseListen(text)).toEqual({ host, port }));

  it.each(['7447', 'host', 'host:', ':7447', '::1:7447', '[host]:1', 'host:65536', 'host:-1'])('%s is none', (text) => {
    expect(() => parseListen(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('on all addresses is reached at those that others can use', () => {
    expect(reachableHosts('127.0.0.1')).toEqual(['127.0.0.1']);
    for (const host of reachableHosts('0.0.0.0')) expect(host).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  });
});
