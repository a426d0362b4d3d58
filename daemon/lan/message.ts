import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { NiiaError } from '../../shared/errors.ts';
import { longestPart, mostParts } from './frames.ts';

/** Longest JSON text that is sent or taken, bytes. */
export const longestJson = 65_536;
/** Longest message as it travels, deflated or not, bytes. */
const longestMessage = mostParts * longestPart;

/** A JSON value cut into parts that fit datagrams. Throws `too_large`. */
export function cutMessage(value: unknown): { parts: Buffer[]; deflated: boolean } {
  const text = Buffer.from(JSON.stringify(value) ?? 'null');
  const small = text.length > longestJson ? text : deflateRawSync(text);
  const deflated = small.length < text.length;
  const bytes = deflated ? small : text;
  if (bytes.length > longestMessage || text.length > longestJson) {
    throw new NiiaError(
      'too_large',
      `a signal of ${text.length} bytes does not fit the datagrams of the local network`,
    );
  }
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += longestPart) parts.push(bytes.subarray(at, at + longestPart));
  return { parts, deflated };
}

/** The value of a whole message; undefined where it is none. */
export function readMessage(bytes: Buffer, deflated: boolean): { value: unknown } | undefined {
  try {
    const text = deflated ? inflateRawSync(bytes, { maxOutputLength: longestJson }) : bytes;
    const value: unknown = JSON.parse(text.toString());
    return { value };
  } catch {
    return undefined;
  }
}
