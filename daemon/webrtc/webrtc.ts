import { NiiaError } from '../../shared/errors.ts';
import type { IceServer } from '../../shared/protocol/ice-server.ts';
import type { Log } from '../home/log.ts';
import { HelperProcess } from './helper-process.ts';
import type { P2pAttempt, P2pEvents } from './p2p-connection.ts';
import { P2pConnection } from './p2p-connection.ts';
import { RestartPause } from './restart.ts';

export type { P2pAttempt, P2pEvents } from './p2p-connection.ts';

export interface WebRtcOptions {
  log: Log;
  /** Asked for each attempt. */
  iceServers: () => readonly IceServer[];
  /** Only through TURN servers; by any way unless said. */
  relayOnly?: boolean;
  /** From `open` to the open data channel, milliseconds; 20 s unless said. */
  timeoutMs?: number;
  /** How long a helper without connections is kept, milliseconds; 60 s unless said. */
  idleMs?: number;
  /** How often a helper that has connections is asked whether it is there, milliseconds; 2 s unless said. */
  pingMs?: number;
  /** The helper's bundle; the product's own unless said. */
  entry?: string;
}

/**
 * Makes WebRTC connections. The library and its native part live in a process of their own, started when the first
 * connection is wanted: its crash ends its connections and nothing else.
 */
export class WebRtc {
  readonly #o: WebRtcOptions;
  readonly #pause = new RestartPause();
  readonly #connections = new Map<number, P2pConnection>();
  #helper: HelperProcess | undefined;
  #stopping: Promise<void> = Promise.resolve();
  #notBefore = 0;
  #why: NiiaError | undefined;
  #idle: NodeJS.Timeout | undefined;
  #next = 1;
  #closed = false;

  constructor(options: WebRtcOptions) {
    this.#o = options;
  }

  /** The helper's process id, while there is one. */
  get pid(): number | undefined {
    return this.#helper?.pid;
  }

  /** Starts one attempt. One end is the initiator, the other is not. */
  open(initiator: boolean, events: P2pEvents): P2pAttempt {
    const number = this.#next++;
    const connection = new P2pConnection(events, this.#o.timeoutMs ?? 20_000, () => this.#over(number));
    this.#connections.set(number, connection);
    clearTimeout(this.#idle);
    try {
      connection.begin(number, this.#helperNow(), {
        type: 'open',
        initiator,
        iceServers: this.#o.iceServers().filter(isUsable),
        relayOnly: this.#o.relayOnly ?? false,
      });
    } catch (error) {
      queueMicrotask(() => connection.lost(NiiaError.from(error)));
    }
    return connection;
  }

  /** Ends every connection and the helper. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    for (const connection of [...this.#connections.values()]) connection.close();
    this.#stop();
    await this.#stopping;
  }

  /** Throws where none can be started now. */
  #helperNow(): HelperProcess {
    if (this.#closed) throw new NiiaError('cancelled', 'this machine shuts down');
    if (this.#helper) return this.#helper;
    if (performance.now() < this.#notBefore) {
      throw this.#why ?? new NiiaError('failed', 'the WebRTC helper could not be started');
    }
    const helper: HelperProcess = new HelperProcess({
      log: this.#o.log,
      entry: this.#o.entry,
      pingMs: this.#o.pingMs,
      ended: (error) => this.#ended(helper, error),
    });
    this.#helper = helper;
    this.#o.log.debug('the WebRTC helper started', { pid: helper.pid });
    return helper;
  }

  #ended(helper: HelperProcess, error: NiiaError | undefined): void {
    if (this.#helper === helper) this.#helper = undefined;
    if (!error) return;
    const pauseMs = this.#pause.after(helper);
    this.#notBefore = performance.now() + pauseMs;
    this.#why = error;
    this.#o.log.warn(error.message, { pauseMs });
  }

  #over(number: number): void {
    this.#connections.delete(number);
    if (this.#connections.size > 0 || this.#closed) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#stop(), this.#o.idleMs ?? 60_000);
    this.#idle.unref();
  }

  #stop(): void {
    const helper = this.#helper;
    this.#helper = undefined;
    if (helper) this.#stopping = Promise.all([this.#stopping, helper.stop()]).then(() => undefined);
  }
}

/** A TURN server is of no use without a name and a credential, and the library takes no connection with one. */
function isUsable({ urls, username, credential }: IceServer): boolean {
  const isTurn = urls.some((url) => /^turns?:/i.test(url));
  return !isTurn || (username !== undefined && credential !== undefined);
}
