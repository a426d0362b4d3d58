import type { KeyObject } from 'node:crypto';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { hostname } from 'node:os';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { nameSchema } from '../../shared/protocol/shapes.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';

const keySchema = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, 'a key has 32 bytes'));

/** Raw 32-byte keys, base64url. */
const keyPairSchema = v.object({ publicKey: keySchema, secretKey: keySchema });

const identityFileSchema = v.object({
  version: v.literal(1),
  name: nameSchema,
  /** Ed25519: signs roster statements and proves the machine to gateways. */
  sign: keyPairSchema,
  /** X25519: the static key of the Noise handshakes between daemons. */
  noise: keyPairSchema,
});

/** DER prefixes that turn raw 25519 keys into the forms that node:crypto reads (RFC 8410). */
const der = {
  ed25519Secret: Buffer.from('302e020100300506032b657004220420', 'hex'),
  ed25519Public: Buffer.from('302a300506032b6570032100', 'hex'),
  x25519Secret: Buffer.from('302e020100300506032b656e04220420', 'hex'),
};

/** A machine's keys and first name. Made at the first start; never leaves the machine. */
export class Identity {
  /** First 128 bits of the SHA-256 of the signing key, hex. */
  readonly id: string;
  readonly name: string;
  readonly signKey: string;
  readonly noiseKey: string;
  readonly noise: { publicKey: Uint8Array; secretKey: Uint8Array };
  readonly #secret: string;

  private constructor(file: v.InferOutput<typeof identityFileSchema>) {
    this.id = machineId(file.sign.publicKey);
    this.name = file.name;
    this.signKey = file.sign.publicKey;
    this.noiseKey = file.noise.publicKey;
    this.noise = {
      publicKey: Buffer.from(file.noise.publicKey, 'base64url'),
      secretKey: Buffer.from(file.noise.secretKey, 'base64url'),
    };
    this.#secret = file.sign.secretKey;
  }

  /** The identity in `home`, made there (0600) where there is none. `name` counts at that first time only. */
  static load(home: Home, name?: string): Identity {
    const path = home.path('identity.json');
    const text = readIfThere(path);
    if (text !== undefined) return new Identity(parseIdentity(text, path));
    const file = {
      version: 1 as const,
      name: name ?? defaultName(),
      sign: rawPair('ed25519'),
      noise: rawPair('x25519'),
    };
    const parsed = v.safeParse(identityFileSchema, file);
    if (!parsed.success) {
      throw new NiiaError(
        'usage',
        `"${file.name}" cannot be a machine's name`,
        'Use letters, digits, dots and dashes: --name N',
      );
    }
    writeAtomically(path, `${JSON.stringify(file, null, 2)}\n`);
    return new Identity(parsed.output);
  }

  /** Ed25519 signature, base64url. */
  sign(message: Uint8Array): string {
    const key = secretKey(der.ed25519Secret, this.#secret);
    return sign(null, message, key).toString('base64url');
  }
}

/** The id of the machine with this signing key (base64url). */
export function machineId(signKey: string): string {
  return createHash('sha256').update(Buffer.from(signKey, 'base64url')).digest('hex').slice(0, 32);
}

/** Whether `signature` (base64url) over `message` was made with the secret of `signKey` (base64url, Ed25519). */
export function verifySignature(signKey: string, message: Uint8Array, signature: string): boolean {
  const raw = Buffer.from(signKey, 'base64url');
  if (raw.length !== 32) return false;
  const key = createPublicKey({ key: Buffer.concat([der.ed25519Public, raw]), format: 'der', type: 'spki' });
  return verify(null, message, key, Buffer.from(signature, 'base64url'));
}

function rawPair(type: 'ed25519' | 'x25519'): { publicKey: string; secretKey: string } {
  const { publicKey, privateKey } = type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519');
  const { x } = publicKey.export({ format: 'jwk' });
  const { d } = privateKey.export({ format: 'jwk' });
  if (!x || !d) throw new NiiaError('internal', `no ${type} keys could be made`);
  return { publicKey: x, secretKey: d };
}

function secretKey(prefix: Buffer, secret: string): KeyObject {
  return createPrivateKey({
    key: Buffer.concat([prefix, Buffer.from(secret, 'base64url')]),
    format: 'der',
    type: 'pkcs8',
  });
}

/** A damaged file must not become a machine with keys that nobody knows: public and secret keys have to match. */
function parseIdentity(text: string, path: string): v.InferOutput<typeof identityFileSchema> {
  const hint = 'Restore it from a backup. If it is lost, remove the home and join the team again.';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new NiiaError('io', `${path} is damaged: not JSON`, hint, { cause });
  }
  const parsed = v.safeParse(identityFileSchema, json);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new NiiaError('io', `${path} is damaged: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`, hint);
  }
  const { sign, noise } = parsed.output;
  if (!matches(der.ed25519Secret, sign) || !matches(der.x25519Secret, noise)) {
    throw new NiiaError('io', `${path} is damaged: a public key does not belong to its secret key`, hint);
  }
  return parsed.output;
}

function matches(prefix: Buffer, pair: v.InferOutput<typeof keyPairSchema>): boolean {
  return createPublicKey(secretKey(prefix, pair.secretKey)).export({ format: 'jwk' }).x === pair.publicKey;
}

function defaultName(): string {
  const fromEnvironment = process.env['NIIA_MACHINE_NAME'];
  if (fromEnvironment) return fromEnvironment;
  const cleaned = hostname()
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63);
  return cleaned || 'machine';
}
