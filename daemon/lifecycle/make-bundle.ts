import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { NiiaError } from '../../shared/errors.ts';
import { protocolRange } from '../../shared/protocol/version.ts';
import type { Installation } from '../process/installation.ts';
import { type Manifest, manifestName } from './manifest.ts';
import { findNatives } from './native-packages.mjs';
import { anyTarget, ownTarget, packagePlatform } from './target.ts';

/** A bundle on this disk, and what one must know to offer it. */
export interface BundleFile {
  path: string;
  /** SHA-256 of the whole file, hex. */
  hash: string;
  size: number;
  manifest: Manifest;
}

interface Source {
  path: string;
  file: string;
}

/** What a running machine does not need of a build: the editor's part, the tour, and what only a debugger reads. */
const leftAtHome = /^(extension(-\w+)?|tour)[.]js$|[.]map$/;

/** The versions of the native parts that an installation finds, and what it could bring for `target`. */
export function nativesOf(
  installation: Pick<Installation, 'entry'>,
  target = ownTarget(),
): ReturnType<typeof findNatives> {
  const platform = packagePlatform(target);
  const natives = findNatives(dirname(installation.entry), platform ?? 'none');
  return platform === undefined ? { ...natives, missing: [target] } : natives;
}

/**
 * Packs an installation into one file, for machines of `target`; `any`: without native parts, for machines that have
 * the same ones. The same installation gives the same bytes, so that a transfer that broke off can be taken up with a
 * bundle made anew. Throws `failed` where native parts for the target are not on this disk.
 */
export async function makeBundle(installation: Installation, target: string, out: string): Promise<BundleFile> {
  const natives = target === anyTarget ? nativesOf(installation) : nativesOf(installation, target);
  if (target !== anyTarget && natives.missing.length > 0) {
    throw new NiiaError(
      'failed',
      `this machine cannot make a bundle for ${target}: it has no ${natives.missing.join(', ')}`,
      'Make it on a machine of that kind with: niia bundle, and give the file with: --bundle FILE',
    );
  }
  const sources = [
    ...productFiles(installation),
    ...(target === anyTarget ? [] : natives.files.map(({ path, source }) => ({ path, file: source }))),
  ];
  const manifest: Manifest = {
    format: 1,
    name: 'niia',
    version: installation.version,
    build: installation.build,
    target,
    natives: natives.versions,
    node: 20,
    protocol: protocolRange,
    files: Object.fromEntries(sources.map(({ path, file }) => [path, describe(file)])),
  };
  const fresh = `${out}.${process.pid}.new`;
  try {
    const made = await write(fresh, manifest, sources);
    await rename(fresh, out);
    return { path: out, manifest, ...made };
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

function productFiles({ entry }: Installation): Source[] {
  const dist = dirname(entry);
  const root = dirname(dist);
  const code = readdirSync(dist)
    .filter((name) => /[.]js$/.test(name) && !leftAtHome.test(name))
    .sort();
  const packageFile = join(root, 'package.json');
  if (!existsSync(packageFile))
    throw new NiiaError('failed', `${root} is no installation of niia: it has no package.json`);
  return [
    { path: 'package.json', file: packageFile },
    ...(existsSync(join(root, 'LICENSE')) ? [{ path: 'LICENSE', file: join(root, 'LICENSE') }] : []),
    ...code.map((name) => ({ path: `dist/${name}`, file: join(dist, name) })),
  ];
}

function describe(file: string): Manifest['files'][string] {
  const content = readFileSync(file);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { size: content.length, sha256, mode: (statSync(file).mode & 0o100) === 0 ? 0o644 : 0o755 };
}

async function write(
  to: string,
  manifest: Manifest,
  sources: readonly Source[],
): Promise<{ hash: string; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  const tar = pack();
  const feed = async (): Promise<void> => {
    await add(tar, manifestName, 0o644, Buffer.from(`${JSON.stringify(manifest)}\n`));
    for (const { path, file } of sources) {
      const content = readFileSync(file);
      const told = manifest.files[path];
      if (content.length !== told?.size)
        throw new NiiaError('failed', `${file} changed while it was packed`, 'Try again.');
      await add(tar, path, told.mode, content);
    }
    tar.finalize();
  };
  const measure = new Transform({
    transform: (chunk: Buffer, _, done) => {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  await Promise.all([
    feed().catch((error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error)))),
    pipeline(tar, createGzip(), measure, createWriteStream(to, { mode: 0o644 })),
  ]);
  return { hash: hash.digest('hex'), size };
}

/** Nothing of when, where and by whom goes in. */
function add(tar: ReturnType<typeof pack>, name: string, mode: number, content: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const header = { name, mode, size: content.length, mtime: new Date(0), uid: 0, gid: 0 };
    tar.entry(header, content, (error) => (error ? reject(error) : resolve()));
  });
}
