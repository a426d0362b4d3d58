import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Home } from '../../../daemon/home/home.ts';
import { Identity } from '../../../daemon/team/identity.ts';

/** PKCS #8 prefixes of raw 25519 secrets (RFC 8410). */
const prefixes = { sign: '302e020100300506032b657004220420', noise: '302e020100300506032b656e04220420' };

/** A machine whose keys follow from its name, so that a failing input is the same again. */
export function machineNamed(name: string): Identity {
  const pair = (use: keyof typeof prefixes) => {
    const secret = createHash('sha256').update(`${use} ${name}`).digest();
    const key = createPrivateKey({
      key: Buffer.concat([Buffer.from(prefixes[use], 'hex'), secret]),
      format: 'der',
      type: 'pkcs8',
    });
    return { publicKey: createPublicKey(key).export({ format: 'jwk' }).x, secretKey: secret.toString('base64url') };
  };
  const folder = mkdtempSync(join(tmpdir(), 'niia-fuzz-'));
  try {
    const file = { version: 1, name, sign: pair('sign'), noise: pair('noise') };
    writeFileSync(join(folder, 'identity.json'), JSON.stringify(file));
    return Identity.load(new Home(folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
