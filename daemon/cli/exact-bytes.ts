import { readFileSync } from 'node:fs';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';

/**
 * The bytes of an argument as they were given. Node decodes arguments as UTF-8; where that lost something, Linux still
 * has them.
 */
export function exactBytes(text: string, hint?: string): Buffer {
  if (!text.includes('\ufffd')) return Buffer.from(text);
  const given = rawArguments();
  const raw = given?.[given.length - (process.argv.length - process.argv.indexOf(text))];
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
