import { readFileSync } from 'node:fs';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';

/** The index of our first argument in `process.argv`. */
const ourFirst = 2;

/**
 * The bytes of an argument as they were given: of the one that stands at `place` of our command line. Node decodes
 * arguments as UTF-8; where that lost something, Linux still has them. Throws `usage`, with the hint, where nobody does.
 */
export function exactBytes(text: string, place: number | undefined, hint?: string): Buffer {
  if (!text.includes('\ufffd')) return Buffer.from(text);
  const given = rawArguments();
  // Node and its own options stand before ours.
  const raw = place === undefined ? undefined : given?.[given.length - (process.argv.length - ourFirst) + place];
  if (raw?.toString() === text) return raw;
  throw new NiiaError('usage', 'an argument is not valid UTF-8', hint);
}

function rawArguments(): Buffer[] | undefined {
  try {
    const line = readFileSync('/proc/self/cmdline');
    const words: Buffer[] = [];
    for (let at = 0; at < line.length; ) {
      const end = line.indexOf(0, at);
      words.push(line.subarray(at, end));
      at = end + 1;
    }
    return words;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
