import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';

export interface Certificate {
  /** PEM; the chain where a file has one. */
  cert: string;
  key: string;
  /** SHA-256 of the certificate (DER), hex. */
  fingerprint: string;
  /** Whether it vouches for itself: then it is pinned, since no authority can be asked. */
  selfSigned: boolean;
  /** A name that it is made out to; undefined for addresses and wildcards only. */
  name: string | undefined;
}

const validDays = 3_650;

/** The gateway's own certificate in `dir`, made at the first start. Machines know it by its fingerprint. */
export async function ownCertificate(dir: string): Promise<Certificate> {
  const path = join(dir, 'certificate.pem');
  const kept = readIfThere(path);
  if (kept !== undefined) {
    const [key, cert] = splitPem(kept);
    if (key && cert) return describe(cert, key, path);
  }
  // The default export: a bundled CommonJS module has no named ones where it is imported dynamically.
  const { default: selfsigned } = await import('selfsigned');
  const made = await selfsigned.generate([{ name: 'commonName', value: 'niia gateway' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - 86_400_000),
    notAfterDate: new Date(Date.now() + validDays * 86_400_000),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  });
  // One file, so that key and certificate are replaced together.
  writeAtomically(path, `${made.private.trim()}\n${made.cert.trim()}\n`);
  return describe(made.cert, made.private, path);
}

/** The certificate (with its chain) and key in two PEM files. Throws `usage` where they cannot be used. */
export function certificateFromFiles(certPath: string, keyPath: string): Certificate {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch (cause) {
      throw new NiiaError('usage', `${path} cannot be read: ${String(cause)}`, 'Give two PEM files: --tls CERT,KEY', {
        cause,
      });
    }
  };
  return describe(read(certPath), read(keyPath), certPath);
}

function describe(cert: string, key: string, path: string): Certificate {
  const hint = 'Give two PEM files that belong together: --tls CERT,KEY';
  let parsed: X509Certificate;
  let matches: boolean;
  try {
    parsed = new X509Certificate(cert);
    matches = parsed.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw new NiiaError('usage', `${path} holds no certificate with its key: ${String(cause)}`, hint, { cause });
  }
  if (!matches) throw new NiiaError('usage', `the certificate in ${path} is not made for that key`, hint);
  const names = [...(parsed.subjectAltName ?? '').matchAll(/DNS:([^,\s]+)/g)].map(([, name]) => name ?? '');
  return {
    cert,
    key,
    fingerprint: createHash('sha256').update(parsed.raw).digest('hex'),
    selfSigned: parsed.issuer === parsed.subject && parsed.verify(parsed.publicKey),
    name: names.find((name) => !name.includes('*')),
  };
}

function splitPem(text: string): [key: string | undefined, cert: string | undefined] {
  const block = (label: string): string | undefined =>
    new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`).exec(text)?.[0];
  return [block('PRIVATE KEY'), block('CERTIFICATE')];
}
