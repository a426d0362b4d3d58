import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Header } from 'tar-stream';
import { extract } from 'tar-stream';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';
import { badBundle, bundleLimits, type Manifest, manifestName, parseManifest } from './manifest.ts';

/** SHA-256 and size of a file. */
export async function measure(path: string): Promise<{ hash: string; size: number }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { hash: hash.digest('hex'), size: statSync(path).size };
}

/** What a bundle says of itself, without unpacking it. Throws `bad_bundle`. */
export async function readManifest(path: string): Promise<Manifest> {
  let manifest: Manifest | undefined;
  await eachEntry(path, async (header, content) => {
    manifest = parseManifest(await firstEntry(header, content));
    return 'enough';
  });
  if (!manifest) throw badBundle('it is empty');
  return manifest;
}

/**
 * Unpacks a bundle into the folder `into`, which is empty: nothing but the files of its manifest, each with the size and
 * the hash that it says, all of them on the disk when this resolves. Throws `bad_bundle`, and leaves what was written to
 * the caller to remove.
 */
export async function unpack(path: string, into: string): Promise<Manifest> {
  let manifest: Manifest | undefined;
  const missing = new Map<string, Manifest['files'][string]>();
  await eachEntry(path, async (header, content) => {
    if (!manifest) {
      manifest = parseManifest(await firstEntry(header, content));
      for (const entry of Object.entries(manifest.files)) missing.set(...entry);
      return 'more';
    }
    const { name } = header;
    const told = missing.get(name);
    if (header.type !== 'file' || !told || header.size !== told.size) {
      throw badBundle(`its entry ${JSON.stringify(name.slice(0, 200))} (${header.type}) is not what its manifest says`);
    }
    missing.delete(name);
    await writeFile(join(into, name), told, content, name);
    return 'more';
  });
  if (!manifest) throw badBundle('it is empty');
  if (missing.size > 0)
    throw badBundle(`${missing.size} of its files are missing, ${[...missing.keys()][0]} among them`);
  await writeFile(
    join(into, manifestName),
    undefined,
    [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)],
    manifestName,
  );
  return manifest;
}

async function firstEntry(header: Header, content: Content): Promise<Uint8Array> {
  if (header.name !== manifestName || header.type !== 'file') throw badBundle(`it does not start with ${manifestName}`);
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of chunks(content)) {
    size += part.length;
    if (size > bundleLimits.manifestBytes) throw badBundle(`its ${manifestName} is too long`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** The bytes of an entry. */
type Content = AsyncIterable<unknown> | Iterable<unknown>;
type Each = (header: Header, content: Content) => Promise<'more' | 'enough'>;

async function eachEntry(path: string, each: Each): Promise<void> {
  const source = createReadStream(path);
  const tar = extract();
  const reading = pipeline(source, createGunzip(), tar);
  // Where it breaks off, the loop below hears of it as well.
  reading.catch(() => undefined);
  try {
    for await (const entry of tar) {
      if ((await each(entry.header, entry)) === 'enough') return;
      entry.resume();
    }
    await reading;
  } catch (error) {
    if (error instanceof NiiaError || isErrno(error, 'ENOENT', 'EACCES', 'EISDIR', 'ENOSPC', 'EDQUOT', 'EIO', 'EROFS'))
      throw error;
    throw badBundle(error instanceof Error ? error.message : String(error), error);
  } finally {
    source.destroy();
    tar.destroy();
  }
}

async function* chunks(content: Content): AsyncGenerator<Uint8Array> {
  for await (const part of content) if (part instanceof Uint8Array) yield part;
}

/** Writes one file and has it on the disk; checks it against what was `told` of it. */
async function writeFile(
  to: string,
  told: Manifest['files'][string] | undefined,
  content: Content,
  name: string,
): Promise<void> {
  mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
  const file = await open(to, 'wx', told?.mode ?? 0o644);
  try {
    const hash = createHash('sha256');
    let size = 0;
    for await (const part of chunks(content)) {
      size += part.length;
      if (told && size > told.size) throw badBundle(`${name} is longer than its manifest says`);
      hash.update(part);
      await file.writeFile(part);
    }
    if (told && hash.digest('hex') !== told.sha256) throw badBundle(`${name} is not the file that its manifest names`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Has the names in a folder, and in those below it, on the disk. */
export async function syncFolders(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name));
  }
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some file systems, and Windows, do not sync folders.
    if (!isErrno(error, 'EINVAL', 'EPERM', 'ENOTSUP')) throw error;
  } finally {
    await handle.close();
  }
}
