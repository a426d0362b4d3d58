import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import type { Offer } from '../../shared/protocol/upgrade-methods.ts';

/** A bundle of version 9.9.9 that is whole in itself, with `code` for its entry point. */
export async function smallBundle(target: string, code: Buffer): Promise<{ bytes: Buffer; offer: Offer }> {
  const files = { 'package.json': Buffer.from('{}'), 'dist/niia.js': code };
  const described = Object.entries(files).map(([path, content]) => [
    path,
    { size: content.length, sha256: sha256(content), mode: 0o644 },
  ]);
  const manifest = {
    ...{ format: 1, name: 'niia', version: '9.9.9', build: 'b', target, natives: {}, node: 20 },
    ...{ protocol: { min: 1, max: 1 }, files: Object.fromEntries(described) },
  };
  const tar = pack();
  tar.entry({ name: 'manifest.json' }, JSON.stringify(manifest));
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  const parts: Uint8Array[] = [];
  for await (const part of tar) if (part instanceof Uint8Array) parts.push(part);
  const bytes = gzipSync(Buffer.concat(parts));
  const offer = { hash: sha256(bytes), size: bytes.length, version: '9.9.9', build: 'b', target, natives: {} };
  return { bytes, offer };
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
