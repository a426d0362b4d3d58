import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { NiiaError } from '../../shared/errors.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';

const port = 9;
/** Nobody acknowledges a magic packet, and a network may lose one. */
const copies = 3;

/** Six bytes FF and sixteen times the address (AMD, Magic Packet Technology, 1995). */
export function magicPacket(mac: string): Uint8Array {
  const address = Buffer.from(mac.replaceAll(/[:-]/g, ''), 'hex');
  if (address.length !== 6) throw new NiiaError('usage', `"${mac}" is not a MAC address`);
  return Buffer.concat([Buffer.alloc(6, 0xff), ...Array<Buffer>(16).fill(address)]);
}

/** The broadcast address of an IPv4 network. */
export function broadcastOf(address: string, netmask: string): string {
  const mask = netmask.split('.').map(Number);
  return address
    .split('.')
    .map((part, at) => (Number(part) & (mask[at] ?? 255)) | (~(mask[at] ?? 255) & 255))
    .join('.');
}

/** Those of this machine's networks, and the one that means the network of the default route. */
function broadcastAddresses(): string[] {
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address, netmask }) => broadcastOf(address, netmask));
  return [...new Set([...own, '255.255.255.255'])];
}

/** Sends magic packets, as many as a person needs and no more. */
export class MagicPackets {
  readonly #bucket = new TokenBucket(1 / 5, 6, performance.now());

  /** Resolves with the addresses that took it. Throws `busy` where it is asked too often, `io` where none takes it. */
  async send(mac: string, broadcast: string | undefined): Promise<string[]> {
    if (!this.#bucket.take(1, performance.now())) {
      throw new NiiaError('busy', 'this machine sends no more than a wake each 5 s', 'Try again in a moment.');
    }
    const socket = createSocket('udp4');
    try {
      socket.bind(0);
      await once(socket, 'listening');
      socket.setBroadcast(true);
      const packet = magicPacket(mac);
      const sent: string[] = [];
      let refused: unknown;
      for (const target of broadcast === undefined ? broadcastAddresses() : [broadcast]) {
        try {
          for (let copy = 0; copy < copies; copy++) await sendTo(socket, packet, target);
          sent.push(target);
        } catch (error) {
          refused = error;
        }
      }
      if (sent.length > 0) return sent;
      throw new NiiaError('io', `no network took the packet: ${String(refused)}`, 'Name an address with --broadcast.', {
        cause: refused,
      });
    } finally {
      socket.close();
    }
  }
}

function sendTo(socket: ReturnType<typeof createSocket>, packet: Uint8Array, target: string): Promise<void> {
  const [host = '', given] = target.split(':');
  return new Promise((resolve, reject) => {
    socket.send(packet, given === undefined ? port : Number(given), host, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
