import { NiiaError } from '../../shared/errors.ts';
import type { NameBytes } from '../../shared/protocol/copy-methods.ts';

const slash = 0x2f;
const longestName = 255;
const deepest = 512;

/** Names are bytes: not all of them are text. */
export function toName(bytes: Buffer): NameBytes {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : { base64: bytes.toString('base64') };
}

export function fromName(name: NameBytes): Buffer {
  return typeof name === 'string' ? Buffer.from(name) : Buffer.from(name.base64, 'base64');
}

/** For messages: control characters and what is no text are escaped. */
export function shown(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('utf8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/**
 * The bytes of one name in a folder, whoever sent it. Throws `denied` for what could lead anywhere else: no name at all,
 * `.`, `..`, anything with a slash or a NUL (on Windows also what stands for a drive, a stream or a device there).
 */
export function safeName(name: NameBytes | Buffer, platform: NodeJS.Platform = process.platform): Buffer {
  const bytes = Buffer.isBuffer(name) ? name : fromName(name);
  const text = bytes.toString('latin1');
  const bad =
    bytes.length === 0 ||
    bytes.length > longestName ||
    text === '.' ||
    text === '..' ||
    bytes.includes(slash) ||
    bytes.includes(0) ||
    (platform === 'win32' && /[\\:*?"<>|]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(text));
  if (bad) throw new NiiaError('denied', `"${shown(bytes)}" is no name of a file in a folder: it is not written`);
  return bytes;
}

/** The names of a path below a source. */
export function safePath(path: readonly NameBytes[]): Buffer[] {
  if (path.length > deepest) throw new NiiaError('denied', `a path of ${path.length} names is not written`);
  return path.map((name) => safeName(name));
}

/**
 * Whether a link that stands `depth` folders below the top of a copy leads to a place within it: a relative target that
 * goes up only at its start, and not above the top. (`a/../..` may lead out by way of another link.)
 */
export function linkStaysWithin(target: Uint8Array, depth: number): boolean {
  const parts = Buffer.from(target).toString('latin1').split('/');
  if (target.length === 0 || parts[0] === '' || target.includes(0)) return false;
  const names = parts.filter((part) => part !== '' && part !== '.');
  const up = names.findIndex((part) => part !== '..');
  const leading = up < 0 ? names.length : up;
  return leading <= depth && !names.slice(leading).includes('..');
}

/** Order of a walk: folder by folder, names by their bytes, a folder before what is in it. */
export function comparePaths(a: readonly Uint8Array[], b: readonly Uint8Array[]): number {
  for (let at = 0; at < a.length && at < b.length; at++) {
    const [one, other] = [a[at], b[at]];
    if (!one || !other) break;
    const order = Buffer.compare(one, other);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}
