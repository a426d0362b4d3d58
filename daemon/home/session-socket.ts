import { lstatSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from './files.ts';
import type { Home } from './home.ts';

/** Socket addresses are limited to 104 to 108 bytes, by platform. */
const longestAddress = 100;

/**
 * Address for the socket of a worker's session: alone in a new folder outside of the home, private to its user, so that a
 * sandbox can be given that folder and not the home. On Windows a named pipe.
 */
export function newSessionSocket(home: Home, session: string): string {
  if (process.platform === 'win32') return pipeOf(home, session);
  const places = [process.env['XDG_RUNTIME_DIR'] || tmpdir(), tmpdir(), '/tmp'];
  for (const [index, place] of places.entries()) {
    try {
      const folder = mkdtempSync(join(place, prefixOf(home)));
      const address = join(folder, 'niia.sock');
      if (Buffer.byteLength(address) <= longestAddress) return address;
      rmSync(folder, { recursive: true });
    } catch (error) {
      if (!isErrno(error) || index === places.length - 1) throw error;
    }
  }
  throw new NiiaError('io', `${places.join(', ')}: too deep for a session's own socket`);
}

/** Whether it is the address of a session's socket of this home. */
export function isSessionSocket(home: Home, session: string, address: string): boolean {
  if (process.platform === 'win32') return address === pipeOf(home, session);
  return basename(dirname(address)).startsWith(prefixOf(home));
}

/** Makes its folder again where somebody tidied up. Throws where it is not, or no longer, private to this user. */
export function keepSessionSocketFolder(address: string): void {
  if (process.platform === 'win32') return;
  const folder = dirname(address);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  const { uid, mode } = lstatSync(folder);
  if (uid === process.getuid?.() && (mode & 0o170_077) === 0o040_000) return;
  throw new NiiaError('io', `${folder} is not a folder that only this user can reach`);
}

export function removeSessionSocket(address: string): void {
  if (process.platform !== 'win32') rmSync(dirname(address), { recursive: true, force: true });
}

function prefixOf(home: Home): string {
  return `niia-${home.hash}-`;
}

function pipeOf(home: Home, session: string): string {
  return home.socket(`worker-${session}`);
}
