import { isIPv6 } from 'node:net';
import { NiiaError } from '../../shared/errors.ts';
import type { GatewayTarget } from '../home/config.ts';

const fingerprintBytes = 32;
const secretBytes = 16;
const hint = 'Give the whole line that niia gateway printed: wss://HOST:PORT/#…';

export interface GatewayUrl {
  host: string;
  port: number;
  tls: boolean;
  /** SHA-256 of its certificate, hex; null: the certificate is checked the usual way, or there is none. */
  fingerprint: string | null;
  /** Admission secret, 16 bytes. */
  admit: Uint8Array;
}

/**
 * `wss://HOST:PORT/#` and base64url of `fingerprint (32; zeros where none is pinned) · admission secret (16)`. The
 * fragment never goes over the wire.
 */
export function encodeGatewayUrl({ host, port, tls, fingerprint, admit }: GatewayUrl): string {
  const pinned = fingerprint === null ? Buffer.alloc(fingerprintBytes) : Buffer.from(fingerprint, 'hex');
  const fragment = Buffer.concat([pinned, admit]).toString('base64url');
  return `${gatewayOrigin(host, port, tls)}/#${fragment}`;
}

/** `wss://HOST:PORT`, with brackets around an IPv6 address. */
export function gatewayOrigin(host: string, port: number, tls = true): string {
  return `${tls ? 'wss' : 'ws'}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Throws `usage` for what is no gateway's URL. */
export function parseGatewayUrl(text: string): GatewayTarget {
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch (cause) {
    throw new NiiaError('usage', `"${withoutFragment(text)}" is no URL`, hint, { cause });
  }
  if (url.protocol !== 'wss:' && url.protocol !== 'ws:') {
    throw new NiiaError('usage', `"${withoutFragment(text)}" is no gateway: it does not start with wss://`, hint);
  }
  if (url.username || url.password || url.search || url.pathname.length > 1) {
    throw new NiiaError('usage', `"${withoutFragment(text)}" has more than a host and a port`, hint);
  }
  const urls = [`${url.protocol}//${url.host}`];
  if (url.hash.length <= 1) return { urls, fingerprint: null };
  const bytes = Buffer.from(url.hash.slice(1), 'base64url');
  if (!/^#[A-Za-z0-9_-]+$/.test(url.hash) || bytes.length !== fingerprintBytes + secretBytes) {
    throw new NiiaError('usage', `the part after # in the URL of ${url.host} is not whole`, hint);
  }
  const fingerprint = bytes.subarray(0, fingerprintBytes).toString('hex');
  return {
    urls,
    fingerprint: isNoFingerprint(fingerprint) ? null : fingerprint,
    admit: bytes.subarray(fingerprintBytes).toString('base64url'),
  };
}

/** Zeros stand for "not pinned" where a fingerprint has a fixed place. */
export function isNoFingerprint(fingerprint: string): boolean {
  return /^0*$/.test(fingerprint);
}

/** The secret in it must not reach a log. */
function withoutFragment(text: string): string {
  return text.split('#', 1)[0] ?? '';
}
