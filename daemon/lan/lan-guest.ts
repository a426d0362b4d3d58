import type { Log } from '../home/log.ts';
import { lanKey } from '../team/invite-code.ts';
import { Discovery } from './discovery.ts';
import type { Correspondent } from './exchange.ts';
import { Exchange } from './exchange.ts';
import type { LanPeer } from './lan-peer.ts';
import type { LanSocketOptions } from './lan-socket.ts';
import { LanSocket } from './lan-socket.ts';
import { announcedHash, ticketKeys } from './seal.ts';
import type { Interfaces } from './segments.ts';

export interface LanGuestOptions {
  /** As the invite code has them. */
  inviterKey: string;
  secret: Uint8Array;
  log: Pick<Log, 'debug' | 'info'>;
  /** A JSON value from the inviter, each at most once and in no certain order. */
  signal(value: unknown): void;
  interfaces?: Interfaces;
  outgoing?: LanSocketOptions['outgoing'];
}

/** The guest's side of a join over the LAN: finds the inviter by the code alone. Announces nothing itself. */
export class LanGuest {
  readonly #o: LanGuestOptions;
  readonly #exchange: Exchange;
  readonly #peer: LanPeer;
  #socket: LanSocket | undefined;
  #discovery: Discovery | undefined;
  #told: (found: boolean) => void = () => undefined;
  #closed = false;

  constructor(options: LanGuestOptions) {
    this.#o = options;
    const keys = ticketKeys(lanKey(options.secret).toString('base64url'), 'guest');
    const inviter: Correspondent = {
      keys,
      greeted: () => undefined,
      message: (value) => {
        if (!this.#closed) options.signal(value);
      },
    };
    const tag = keys.receive.tag.readBigUInt64BE();
    this.#exchange = new Exchange({
      transmit: (datagram, to) => this.#socket?.send(datagram, to),
      lookup: (other) => (other === tag ? inviter : undefined),
    });
    this.#peer = this.#exchange.peer({ keys, found: () => this.#told(true) });
  }

  /** True once the inviter has answered; false when not within `timeoutMs`, when aborted, or where there is no network. */
  async find(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.#peer.present) return true;
    if (signal.aborted || this.#closed) return false;
    let timer: NodeJS.Timeout | undefined;
    const give = (): void => this.#told(false);
    const answer = new Promise<boolean>((resolve) => {
      this.#told = resolve;
      timer = setTimeout(give, timeoutMs);
      signal.addEventListener('abort', give, { once: true });
    });
    try {
      if (!this.#socket && !(await this.#open())) return false;
      return await answer;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
    }
  }

  /** True once acknowledged, false when not within 5 s. Rejects with `too_large` beyond 18 KB deflated. */
  async send(value: unknown): Promise<boolean> {
    return await this.#peer.send(value);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#told(false);
    this.#exchange.close();
    await this.#discovery?.close();
    await this.#socket?.close();
  }

  /** How many datagrams came and what became of them. */
  get counts(): Record<string, number> {
    return { ...this.#exchange.counts, ...this.#socket?.counts };
  }

  async #open(): Promise<boolean> {
    const { log, inviterKey, interfaces, outgoing } = this.#o;
    let socket: LanSocket;
    try {
      socket = await LanSocket.open({
        receive: (datagram, from) => this.#exchange.receive(datagram, from),
        ...(interfaces && { interfaces }),
        ...(outgoing && { outgoing }),
      });
    } catch (error) {
      log.info('the inviting machine cannot be looked for on the local network: no socket', { error });
      return false;
    }
    if (this.#closed) {
      await socket.close();
      return false;
    }
    this.#socket = socket;
    const hash = announcedHash(Buffer.from(inviterKey, 'base64url'));
    this.#discovery = new Discovery({
      log,
      publish: undefined,
      wanted: (other) => other === hash,
      found: (_hash, where) => this.#peer.addCandidate(where),
      gone: (_hash, where) => this.#peer.doubt(where),
      segmentsChanged: () => socket.networkChanged(),
      ...(interfaces && { interfaces }),
    });
    await this.#discovery.start();
    return true;
  }
}
