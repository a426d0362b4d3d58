import type { RemoteInfo, Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { Log } from '../home/log.ts';
import { addressKey } from './rate-limit.ts';
import { answerStun } from './stun.ts';

export interface StunOptions {
  /** Where the gateway listens; the same address and port number are used with UDP. */
  host: string;
  port: number;
  log: Log;
  /** Answers a second to one address, and to all. */
  limits?: StunLimits;
}

export interface StunLimits {
  perAddress: number;
  inAll: number;
  /** Addresses that are remembered. */
  addresses: number;
}

const usual: StunLimits = { perAddress: 20, inAll: 2_000, addresses: 10_000 };

/** Tells whoever asks over UDP from which address it does (STUN). */
export class StunServer {
  readonly port: number;
  readonly #socket: Socket;
  readonly #limits: StunLimits;
  readonly #all: TokenBucket;
  readonly #each = new Map<string, TokenBucket>();
  #closed = false;

  private constructor(socket: Socket, { port, log, limits = usual }: StunOptions) {
    this.port = port;
    this.#socket = socket;
    this.#limits = limits;
    this.#all = new TokenBucket(limits.inAll, 2 * limits.inAll, performance.now());
    socket.on('message', (request, from) => this.#answer(request, from));
    socket.on('error', (error) => {
      log.warn('STUN is served no more', { error });
      this.close();
    });
  }

  /** Undefined, with a warning, where the port is not to be had: everything else works without STUN. */
  static async start(options: StunOptions): Promise<StunServer | undefined> {
    const { host, port, log } = options;
    let socket: Socket | undefined;
    try {
      const { family, address } = await lookup(host);
      socket = createSocket(family === 6 ? 'udp6' : 'udp4');
      socket.bind({ address, port, exclusive: true });
      await once(socket, 'listening');
      return new StunServer(socket, options);
    } catch (error) {
      socket?.close();
      log.warn('STUN is not served: machines behind a NAT find fewer ways to each other', { host, port, error });
      return undefined;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #answer(request: Buffer, { address, port }: RemoteInfo): void {
    const answer = port === 0 ? undefined : answerStun(request, address, port);
    if (!answer || this.#closed || !this.#mayAnswer(address)) return;
    // Whether a datagram arrives is not known anyway: who gets no answer asks again.
    this.#socket.send(answer, port, address, () => undefined);
  }

  /** A source address may be forged: nobody's machine is to be flooded with answers to what it never asked. */
  #mayAnswer(address: string): boolean {
    const now = performance.now();
    const { perAddress, addresses } = this.#limits;
    const key = addressKey(address);
    let bucket = this.#each.get(key);
    if (!bucket) {
      if (this.#each.size >= addresses) this.#forget(now);
      bucket = new TokenBucket(perAddress, 2 * perAddress, now);
      this.#each.set(key, bucket);
    }
    return bucket.take(1, now) && this.#all.take(1, now);
  }

  #forget(now: number): void {
    for (const [key, bucket] of this.#each) if (bucket.full(now)) this.#each.delete(key);
    if (this.#each.size >= this.#limits.addresses) this.#each.clear();
  }
}
