import { createHash, hkdfSync, timingSafeEqual } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';

/**
 * What an invite's code holds: all that a guest needs to reach the inviter, to know that it is the inviter, and to show
 * that it was invited. Text form: `niia1-` and base64url of
 * `team (16) · inviter's Noise key (32) · gateway certificate's SHA-256 (32) · secret (16) · expiry, Unix seconds (4) ·
 * URLs, separated by spaces · first 4 bytes of the SHA-256 of all before`. The checksum tells a typing error from a refusal.
 */
export interface InviteCode {
  /** Hex, 32 digits. */
  team: string;
  /** Raw X25519 key, base64url. */
  inviterKey: string;
  /** SHA-256 of the gateway's certificate (DER), hex; null (zeros in the text): the certificate is checked the usual way. */
  fingerprint: string | null;
  secret: Uint8Array;
  expiresAt: Date;
  /** Gateway addresses (`wss://host:port`), best first. */
  urls: string[];
}

const prefix = 'niia1-';
const fixed = 16 + 32 + 32 + 16 + 4;
const checksumBytes = 4;

export function encodeInvite(code: InviteCode): string {
  if (code.urls.length === 0 || code.urls.some((url) => !isGatewayUrl(url))) {
    throw new NiiaError('internal', `an invite needs gateway addresses, not "${code.urls.join(' ')}"`);
  }
  const expiry = Buffer.alloc(4);
  expiry.writeUInt32BE(Math.ceil(code.expiresAt.getTime() / 1000));
  const content = Buffer.concat([
    sized(Buffer.from(code.team, 'hex'), 16),
    sized(Buffer.from(code.inviterKey, 'base64url'), 32),
    code.fingerprint === null ? Buffer.alloc(32) : sized(Buffer.from(code.fingerprint, 'hex'), 32),
    sized(code.secret, 16),
    expiry,
    Buffer.from(code.urls.join(' ')),
  ]);
  return prefix + Buffer.concat([content, checksum(content)]).toString('base64url');
}

/** Throws `bad_code` for anything that is not a whole code. White space is passed over: terminals wrap long lines. */
export function decodeInvite(text: string): InviteCode {
  const trimmed = text.replace(/\s+/g, '');
  if (!trimmed.startsWith(prefix)) throw badCode(`it does not start with ${prefix}`);
  const encoded = trimmed.slice(prefix.length);
  if (!/^[A-Za-z0-9_-]+$/.test(encoded)) throw badCode('it has characters that no code has');
  const bytes = Buffer.from(encoded, 'base64url');
  // Two spellings of the same bytes would be two codes for one ticket.
  if (bytes.toString('base64url') !== encoded) throw badCode('it is cut short or altered');
  const content = bytes.subarray(0, -checksumBytes);
  if (content.length <= fixed) throw badCode('it is too short');
  if (!timingSafeEqual(checksum(content), bytes.subarray(-checksumBytes))) throw badCode('its checksum is wrong');
  const urls = content.subarray(fixed).toString().split(' ');
  if (!urls.every(isGatewayUrl)) throw badCode('its gateway addresses are not addresses');
  const pinned = content.subarray(48, 80);
  return {
    team: content.subarray(0, 16).toString('hex'),
    inviterKey: content.subarray(16, 48).toString('base64url'),
    fingerprint: pinned.some((byte) => byte !== 0) ? pinned.toString('hex') : null,
    secret: content.subarray(80, 96),
    expiresAt: new Date(content.readUInt32BE(96) * 1000),
    urls,
  };
}

/** What the guest shows the gateway (16 bytes, hex): says that it was invited, and nothing about the secret. */
export function ticketId(secret: Uint8Array): string {
  return derive(secret, 'niia ticket', 16).toString('hex');
}

/** What the gateway and the inviter keep of a ticket: the SHA-256 of its id, hex. */
export function ticketHash(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

/** The pre-shared key of the join handshake, 32 bytes. */
export function joinKey(secret: Uint8Array): Buffer {
  return derive(secret, 'niia join', 32);
}

/** From which the keys of a guest's datagrams on the local network are made, 32 bytes. */
export function lanKey(secret: Uint8Array): Buffer {
  return derive(secret, 'niia lan guest', 32);
}

function isGatewayUrl(url: string): boolean {
  return !/\s/.test(url) && URL.canParse(url) && /^wss?:$/.test(new URL(url).protocol);
}

function sized(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length) throw new NiiaError('internal', `a part of ${bytes.length} bytes, not ${length}`);
  return bytes;
}

function derive(secret: Uint8Array, purpose: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, bytes));
}

function checksum(content: Uint8Array): Buffer {
  return createHash('sha256').update(content).digest().subarray(0, checksumBytes);
}

function badCode(why: string): NiiaError {
  return new NiiaError(
    'bad_code',
    `this is no invite code: ${why}`,
    'Copy the whole code, or make a new one with: niia invite',
  );
}
