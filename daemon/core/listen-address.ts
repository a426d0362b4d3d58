import { NiiaError } from '../../shared/errors.ts';
import type { Config } from '../home/config.ts';

/** Splits `HOST:PORT`, `[IPv6]:PORT` or `PORT` (on loopback). Throws `usage`. */
export function hostAndPort(address: string): { host: string; port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):)?(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new NiiaError('usage', `"${address}" is no address to listen on`, 'Give HOST:PORT, for example 0.0.0.0:7447');
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port };
}

/** Throws `usage` where this address is none, or where nothing would listen on it. */
export function mayListen({ gateway, direct }: Pick<Config, 'gateway' | 'direct'>, address: string): void {
  hostAndPort(address);
  if (!gateway || direct === 'on') return;
  throw new NiiaError(
    'usage',
    `this machine uses the gateway at ${gateway.urls[0]} and takes no direct paths: nothing would listen on ${address}`,
    'To take them: niia config set direct on',
  );
}
