import { createHash } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { isErrno, readIfThere } from '../home/files.ts';

/**
 * The same for all machines (homes) of one team on one computer, and nothing else to anybody: they can reach each other
 * on loopback. 32 hex digits.
 */
export function thisComputer(team: string): string {
  const boot = readIfThere('/proc/sys/kernel/random/boot_id') ?? [hostname(), ...hardwareAddresses()].join('\n');
  const words = ['niia computer 1', team, boot.trim(), networkNamespace()];
  return createHash('sha256').update(words.join('\n')).digest('hex').slice(0, 32);
}

/** Containers on one computer have a loopback each. */
function networkNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/net');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES', 'EPERM')) return '';
    throw error;
  }
}

function hardwareAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return [...new Set(all.map(({ mac }) => mac))].sort();
}
