import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import type { LanAddress } from './lan-peer.ts';
import type { Interfaces, Segment } from './segments.ts';
import { localSegments, plainAddress } from './segments.ts';
import { SourceLimit } from './source-limit.ts';

export interface LanSocketOptions {
  /** A datagram from a machine of one of our local networks. */
  receive(datagram: Buffer, from: LanAddress): void;
  /** Tests look at, lose or double what is sent. */
  outgoing?: (datagram: Buffer, send: (datagram: Buffer) => void) => void;
  interfaces?: Interfaces;
}

const limits = {
  perSource: { perSecond: 100, burst: 300 },
  inAll: { perSecond: 1_000, burst: 2_000 },
};

/**
 * The one UDP socket on which machines of a LAN exchange signals, at a free port. Datagrams from farther away than the
 * local networks are dropped before anything looks at them, and nothing is sent there.
 */
export class LanSocket {
  readonly port: number;
  readonly #socket: Socket;
  readonly #o: LanSocketOptions;
  readonly #limit = new SourceLimit(limits, performance.now());
  #segments: Segment[];
  #closed: Promise<void> | undefined;
  readonly counts = { received: 0, notLocal: 0, limited: 0, unsent: 0 };

  private constructor(socket: Socket, options: LanSocketOptions) {
    this.#socket = socket;
    this.#o = options;
    this.#segments = localSegments(options.interfaces);
    this.port = socket.address().port;
    // What a network without a route or a peer without a listener says of one datagram; the next may do better.
    socket.on('error', () => {
      this.counts.unsent++;
    });
    socket.on('message', (datagram, { address, port }) => this.#receive(datagram, plainAddress(address), port));
  }

  /** Throws `io` errors of the system where no socket can be had. */
  static async open(options: LanSocketOptions): Promise<LanSocket> {
    try {
      return new LanSocket(await bound('udp6'), options);
    } catch {
      // No IPv6 in this system: the other family is all there is, and its error the one that counts.
      return new LanSocket(await bound('udp4'), options);
    }
  }

  send(datagram: Buffer, to: LanAddress): void {
    const { outgoing } = this.#o;
    if (outgoing) outgoing(datagram, (altered) => this.#send(altered, to));
    else this.#send(datagram, to);
  }

  /** The computer's addresses have changed. */
  networkChanged(): void {
    this.#segments = localSegments(this.#o.interfaces);
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => this.#socket.close(() => resolve()));
    return this.#closed;
  }

  #send(datagram: Buffer, { address, port }: LanAddress): void {
    if (this.#closed || !this.#isLocal(address)) return;
    const both = this.#socket.address().family === 'IPv6';
    this.#socket.send(datagram, port, both && isIPv4(address) ? `::ffff:${address}` : address, (error) => {
      if (error) this.counts.unsent++;
    });
  }

  #receive(datagram: Buffer, address: string, port: number): void {
    if (this.#closed) return;
    this.counts.received++;
    if (!this.#isLocal(address)) this.counts.notLocal++;
    else if (!this.#limit.take(address, performance.now())) this.counts.limited++;
    else this.#o.receive(datagram, { address, port });
  }

  #isLocal(address: string): boolean {
    return this.#segments.some((segment) => segment.has(address));
  }
}

/** On all interfaces; for `udp6`, of both families. */
function bound(type: 'udp4' | 'udp6'): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type });
    const fail = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', fail);
    socket.bind({ port: 0, address: type === 'udp6' ? '::' : '0.0.0.0' }, () => {
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
