import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { NiiaError } from '../../shared/errors.ts';

/** Where machines reach what listens on `host`: itself, or for "all addresses" those that others can use. */
export function reachableHosts(host: string): string[] {
  const everyIPv4 = host === '0.0.0.0';
  const everyIPv6 = host === '::';
  if (!everyIPv4 && !everyIPv6) return [host];
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal, address }) => !internal && !address.toLowerCase().startsWith('fe80:'));
  // An IPv6 socket for all addresses takes IPv4 connections too.
  const hosts = [
    ...outside.filter(({ family }) => family === 'IPv4'),
    ...outside.filter(({ family }) => everyIPv6 && family === 'IPv6'),
  ].map(({ address }) => address);
  return hosts.length > 0 ? hosts : ['127.0.0.1'];
}

/** Whether only this computer reaches what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Splits `HOST:PORT` or `[IPv6]:PORT`. Throws `usage`. */
export function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (!match || port > 65_535 || (match[1] !== undefined && !isIPv6(host))) {
    throw new NiiaError('usage', `"${text}" is no address to listen on`, 'Give HOST:PORT, for example 0.0.0.0:7447');
  }
  return { host, port };
}
