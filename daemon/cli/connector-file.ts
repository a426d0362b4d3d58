import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno } from '../home/files.ts';

/** The text of a connector file and the folder that it lies in. Throws `usage` where there is none that can be read. */
export function readConnectorFile(file: string): { text: string; folder: string } {
  const path = resolve(file);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
    return { text, folder: dirname(path) };
  } catch (cause) {
    if (cause instanceof TypeError) throw new NiiaError('usage', `${file} is not UTF-8`, undefined, { cause });
    if (isErrno(cause, 'ENOENT', 'ENOTDIR'))
      throw new NiiaError('usage', `there is no file ${file}`, undefined, { cause });
    if (isErrno(cause, 'EISDIR')) throw new NiiaError('usage', `${file} is a folder`, undefined, { cause });
    throw cause;
  }
}
