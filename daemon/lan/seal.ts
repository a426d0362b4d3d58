import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  randomBytes,
} from 'node:crypto';

/** One direction of a pair that shares a secret: the key, and the tag by which the receiver finds the key. */
export interface DirectionKey {
  key: Buffer;
  /**
   * 8 bytes from the shared secret: nobody else can compute them, and they say nothing about either machine. They do
   * not change: that two addresses keep talking is plain to see anyway, and so is the hash that each announces.
   */
  tag: Buffer;
}

export interface PairKeys {
  send: DirectionKey;
  receive: DirectionKey;
}

const version = 1;
const tagBytes = 8;
const nonceBytes = 12;
const macBytes = 16;
const headerBytes = 1 + tagBytes;

/** What sealing adds to a plain text, bytes. */
export const sealOverhead = headerBytes + nonceBytes + macBytes;
/** A datagram that no link of the Internet has to fragment (IPv6 minimum MTU 1280, less the headers). */
export const longestDatagram = 1_200;

/** DER prefixes that turn raw X25519 keys into the forms that node:crypto reads (RFC 8410). */
const der = {
  secret: Buffer.from('302e020100300506032b656e04220420', 'hex'),
  public: Buffer.from('302a300506032b656e032100', 'hex'),
};

/** What a machine announces on the LAN: 16 bytes of a hash of its Noise key (raw), hex. */
export function announcedHash(noiseKey: Uint8Array): string {
  return createHash('sha256').update('niia lan 1\n').update(noiseKey).digest('hex').slice(0, 32);
}

/**
 * Keys of two members of one team. `theirs`: raw X25519 key, base64url. Undefined where it is a key with which nobody
 * can share a secret (a point of small order).
 */
export function memberKeys(
  own: { publicKey: Uint8Array; secretKey: Uint8Array },
  theirs: string,
  team: string,
): PairKeys | undefined {
  const ownName = Buffer.from(own.publicKey).toString('base64url');
  let shared: Buffer;
  try {
    shared = diffieHellman({
      privateKey: createPrivateKey({ key: Buffer.concat([der.secret, own.secretKey]), format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({
        key: Buffer.concat([der.public, Buffer.from(theirs, 'base64url')]),
        format: 'der',
        type: 'spki',
      }),
    });
  } catch {
    return undefined;
  }
  return {
    send: direction(shared, team, `niia lan member 1\n${ownName}\n${theirs}`),
    receive: direction(shared, team, `niia lan member 1\n${theirs}\n${ownName}`),
  };
}

/** Keys of an inviter and the holders of one invite code. `lanKey`: what is kept of the code's secret, base64url. */
export function ticketKeys(lanKey: string, side: 'inviter' | 'guest'): PairKeys {
  const secret = Buffer.from(lanKey, 'base64url');
  const toGuest = direction(secret, '', 'niia lan ticket 1\nto the guest');
  const toInviter = direction(secret, '', 'niia lan ticket 1\nto the inviter');
  return side === 'inviter' ? { send: toGuest, receive: toInviter } : { send: toInviter, receive: toGuest };
}

/** `version (1) · tag (8) · nonce (12) · AES-256-GCM cipher text · MAC (16)`; version and tag are authenticated too. */
export function seal({ key, tag }: DirectionKey, plain: Uint8Array): Buffer {
  const header = Buffer.concat([Buffer.of(version), tag]);
  // Random nonces are safe to 2^32 datagrams of a pair; signals are a few hundred a day.
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(header);
  return Buffer.concat([header, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** The tag of a datagram, as the receiver looks it up; undefined for what cannot be one of ours. */
export function tagOf(datagram: Buffer): bigint | undefined {
  if (datagram.length <= sealOverhead || datagram.length > longestDatagram || datagram[0] !== version) return undefined;
  return datagram.readBigUInt64BE(1);
}

/** The plain text, undefined where it was not sealed with this key. Only for datagrams that have a tag. */
export function open({ key }: DirectionKey, datagram: Buffer): Buffer | undefined {
  const nonce = datagram.subarray(headerBytes, headerBytes + nonceBytes);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: macBytes })
    .setAAD(datagram.subarray(0, headerBytes))
    .setAuthTag(datagram.subarray(-macBytes));
  try {
    return Buffer.concat([decipher.update(datagram.subarray(headerBytes + nonceBytes, -macBytes)), decipher.final()]);
  } catch {
    return undefined;
  }
}

function direction(secret: Uint8Array, salt: string, info: string): DirectionKey {
  const bytes = Buffer.from(hkdfSync('sha256', secret, salt, info, 32 + tagBytes));
  return { key: bytes.subarray(0, 32), tag: bytes.subarray(32) };
}
