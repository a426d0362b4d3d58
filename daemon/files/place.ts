import { realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { posix, resolve } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';
import { shown } from './names.ts';
import { messageOf } from './sender.ts';

export interface Found {
  /** Absolute. */
  path: Buffer;
  kind: 'file' | 'folder' | 'other' | 'missing';
}

/** A path as bytes, absolute: from `base`, or from the user's home where it begins with `~`. */
export function absolute(path: Buffer, base: string): Buffer {
  const text = path.toString('latin1');
  const home = Buffer.from(homedir()).toString('latin1');
  const from = Buffer.from(base).toString('latin1');
  if (process.platform === 'win32')
    return Buffer.from(resolve(base, path.toString('utf8').replace(/^~(?=$|[\\/])/, homedir())));
  // Every byte is a character in latin1, so that nothing of a name is lost.
  return Buffer.from(
    posix.resolve(
      from,
      text.replace(/^~(?=$|\/)/, () => home),
    ),
    'latin1',
  );
}

/** What is there. A folder is named by its real path. */
export async function look(path: Buffer, base: string): Promise<Found> {
  const at = absolute(path, base);
  try {
    const stats = await stat(at);
    if (stats.isDirectory()) return { path: await realpath(at, { encoding: 'buffer' }), kind: 'folder' };
    return { path: at, kind: stats.isFile() ? 'file' : 'other' };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { path: at, kind: 'missing' };
    throw new NiiaError('io', `${shown(at)}: ${messageOf(error)}`);
  }
}
