import { NiiaError } from '../../shared/errors.ts';

/** Splits `HOST:PORT`, `[IPv6]:PORT` or `PORT` (on loopback). Throws `usage`. */
export function hostAndPort(address: string): { host: string; port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):)?(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new NiiaError('usage', `"${address}" is no address to listen on`, 'Give HOST:PORT, for example 0.0.0.0:7447');
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}
