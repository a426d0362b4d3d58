import { BlockList, isIPv6 } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import { networkInterfaces } from 'node:os';

/** One address family of one network interface: a network whose machines hear each other's multicasts. */
export interface Segment {
  family: 4 | 6;
  /** Our address there: IPv4, or link-local IPv6 with its zone. */
  address: string;
  /** What the operating system's multicast options take for the interface. */
  multicastInterface: string;
  /** Whether a datagram from this address came from a machine of this network. */
  has(address: string): boolean;
}

export type Interfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>;

/** Beyond this many, further ones (of containers, mostly) are passed over. */
const mostSegments = 16;

/**
 * The local networks that this machine is on now. With none (a laptop in the air), loopback, where at least the other
 * machines of this computer are. Link-local IPv6 alone is used: every interface with IPv6 has it, and nothing that is
 * farther away than the LAN does.
 */
export function localSegments(interfaces: Interfaces = networkInterfaces): Segment[] {
  const all = Object.entries(interfaces()).flatMap(([name, infos = []]) => segmentsOf(name, infos));
  const real = all.filter(({ internal }) => !internal);
  return (real.length > 0 ? real : all).slice(0, mostSegments).map(({ segment }) => segment);
}

/** Changes when, and only when, the segments do. */
export function signatureOf(segments: readonly Segment[]): string {
  return segments.map(({ address, multicastInterface }) => `${multicastInterface} ${address}`).join('\n');
}

/** IPv4 as it is, also where a socket of both families wrote it as IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}

function segmentsOf(name: string, infos: readonly NetworkInterfaceInfo[]): { segment: Segment; internal: boolean }[] {
  const found: { segment: Segment; internal: boolean }[] = [];
  const v4 = infos.find(({ family }) => family === 'IPv4');
  if (v4) {
    const network = new BlockList();
    const prefix = Number(v4.cidr?.split('/')[1] ?? 32);
    network.addSubnet(v4.address, prefix, 'ipv4');
    const has = (address: string): boolean => !isIPv6(address) && network.check(address, 'ipv4');
    const { address, internal } = v4;
    found.push({ segment: { family: 4, address, multicastInterface: address, has }, internal });
  }
  const v6 = infos.find(({ family, address }) => family === 'IPv6' && /^fe80:/i.test(address));
  if (v6) {
    const zone = process.platform === 'win32' ? String(v6.scopeid) : name;
    const suffix = `%${zone}`;
    found.push({
      segment: {
        family: 6,
        address: v6.address + suffix,
        multicastInterface: `::${suffix}`,
        has: (address) => /^fe80:/i.test(address) && address.endsWith(suffix),
      },
      internal: v6.internal,
    });
  }
  return found;
}
