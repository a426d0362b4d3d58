import { NiiaError } from '../errors.ts';
import type { ByteSource } from './byte-stream.ts';

/** All bytes of a stream. Rejects with `too_large` where there are more than `most`, and where it breaks off. */
export async function wholeStream(source: ByteSource, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of source) {
    length += bytes.length;
    if (length > most) throw new NiiaError('too_large', `more than ${most} bytes came in one stream`);
    chunks.push(Uint8Array.from(bytes));
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
