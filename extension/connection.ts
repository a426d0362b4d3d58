import { NiiaError } from '../shared/errors.ts';
import type { MethodName, ParamsOf, ResultOf } from '../shared/protocol/methods.ts';
import { ask } from '../shared/rpc/client.ts';
import type { CallOptions, Peer } from '../shared/rpc/peer.ts';
import type { ConnectionEffect, ConnectionEvent, ConnectionState } from './connection-state.ts';
import { initialState, reduceConnection } from './connection-state.ts';
import type { DaemonAddress } from './daemon-connection.ts';
import { newKey, openDaemon } from './daemon-connection.ts';
import type { Disposable } from './emitter.ts';
import { Emitter } from './emitter.ts';
import { watchForFile } from './home-watch.ts';
import type { Log } from './log.ts';
import { version } from './version.ts';

/** How long a request waits for a daemon that is restarting, and how long a broken one is repeated. */
const patienceMs = 10_000;

/** This window's connection to the local daemon: made again whenever it can be, for as long as the window lives. */
export class DaemonConnection implements Disposable {
  readonly #log: Log;
  readonly #changed = new Emitter<ConnectionState>();
  #address: DaemonAddress;
  #state = initialState;
  #peer: Peer | undefined;
  #retry: NodeJS.Timeout | undefined;
  #watch: Disposable | undefined;
  /** Counts addresses and the end: what a try of an earlier one brings is not wanted any more. */
  #era = 0;
  #disposed = false;

  constructor(address: DaemonAddress, log: Log) {
    this.#address = address;
    this.#log = log;
  }

  /** Fires after every change of the phase. */
  readonly onDidChange = this.#changed.event;

  get state(): ConnectionState {
    return this.#state;
  }

  get address(): DaemonAddress {
    return this.#address;
  }

  /** The open connection; undefined while there is none. */
  get peer(): Peer | undefined {
    return this.#state.phase === 'connected' ? this.#peer : undefined;
  }

  start(): void {
    this.#watch = watchForFile(this.#address.socket, () => this.#handle({ type: 'appeared' }), this.#log);
    this.#handle({ type: 'start' });
  }

  /** Tries at once; does nothing while connected. */
  retryNow(): void {
    this.#handle({ type: 'appeared' });
  }

  /** Leaves the present daemon for that of another home. */
  moveTo(address: DaemonAddress): void {
    if (address.socket === this.#address.socket) return;
    this.#leave();
    this.#address = address;
    this.#state = initialState;
    this.#changed.fire(this.#state);
    this.start();
  }

  /** Resolves with the connection as soon as one stands; rejects with the signal's reason. */
  async whenConnected(signal: AbortSignal): Promise<Peer> {
    return await new Promise<Peer>((resolve, reject) => {
      let listening: Disposable | undefined;
      const look = (): void => {
        if (signal.aborted) reject(NiiaError.from(signal.reason));
        else if (this.peer) resolve(this.peer);
        else return;
        listening?.dispose();
        signal.removeEventListener('abort', look);
      };
      listening = this.onDidChange(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  /** Asks for something that changes nothing, or whose repetition would be seen by whoever asked. */
  async ask<M extends MethodName>(method: M, params: ParamsOf<M>, options: CallOptions = {}): Promise<ResultOf<M>> {
    return await ask(await this.#current(), method, params, options);
  }

  /**
   * Asks for a change, once: where the connection breaks before the answer, the same request goes out again under the
   * same key, which the other side remembers. Rejects with `outcome_unknown` when that does not help in time.
   */
  async change<M extends MethodName>(method: M, params: ParamsOf<M>, options: CallOptions = {}): Promise<ResultOf<M>> {
    const key = newKey();
    let until: number | undefined;
    for (;;) {
      try {
        return await ask(await this.#current(until), method, params, { ...options, key });
      } catch (cause) {
        const error = NiiaError.from(cause);
        const broke = error.code === 'link_lost';
        if (!broke && until === undefined) throw error;
        until ??= performance.now() + patienceMs;
        const away = error.code === 'daemon_not_running' || error.code === 'offline' || error.code === 'timeout';
        if (!broke && !away) throw error;
        if (away || performance.now() > until) {
          throw new NiiaError(
            'outcome_unknown',
            `the connection broke and did not come back in time; it may or may not have happened (${error.message})`,
            'Look before you repeat it.',
            { cause },
          );
        }
      }
    }
  }

  dispose(): void {
    this.#disposed = true;
    this.#leave();
    this.#changed.dispose();
  }

  /** The connection, where it stands or is about to; throws why it does not otherwise. */
  async #current(until = performance.now() + patienceMs): Promise<Peer> {
    if (this.#state.phase !== 'connecting' && !this.peer) this.retryNow();
    const given = AbortSignal.timeout(Math.max(1, Math.ceil(until - performance.now())));
    const settled = new AbortController();
    const noticed = this.onDidChange(({ phase }) => {
      if (phase === 'absent' || phase === 'incompatible') settled.abort(this.#why());
    });
    if (!this.#state.trying && this.#state.phase !== 'connecting' && !this.peer) settled.abort(this.#why());
    try {
      return await this.whenConnected(AbortSignal.any([settled.signal, given]));
    } catch (cause) {
      if (settled.signal.aborted) throw cause;
      throw this.#why();
    } finally {
      noticed.dispose();
    }
  }

  #why(): NiiaError {
    return this.#state.error ?? new NiiaError('daemon_not_running', 'niia does not run on this machine');
  }

  #handle(event: ConnectionEvent): void {
    if (this.#disposed) return;
    const before = this.#state;
    const { state, effects } = reduceConnection(before, event);
    this.#state = state;
    if (before.phase !== state.phase) this.#tell(before, state);
    for (const effect of effects) this.#perform(effect);
    // A failed try is news to those who wait for its outcome, even where the phase is the same.
    if (before.phase !== state.phase || before.error !== state.error) this.#changed.fire(state);
  }

  #tell(before: ConnectionState, { phase, error }: ConnectionState): void {
    const why = error ? `: ${error.message}` : '';
    this.#log.info(`daemon of ${this.#address.home}: ${before.phase} → ${phase}${why}`);
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.type) {
      case 'connect':
        void this.#connect();
        return;
      case 'retry':
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#handle({ type: 'retry-due' }), effect.afterMs);
        return;
      case 'cancel-retry':
        clearTimeout(this.#retry);
    }
  }

  async #connect(): Promise<void> {
    const era = this.#era;
    try {
      const peer = await openDaemon(this.#address.socket, version, (error) => {
        if (era === this.#era) this.#handle({ type: 'lost', error, random: Math.random() });
      });
      if (era !== this.#era) {
        peer.close();
        return;
      }
      this.#peer = peer;
      this.#handle({ type: 'opened' });
    } catch (error) {
      if (era === this.#era) this.#handle({ type: 'failed', error: NiiaError.from(error), random: Math.random() });
    }
  }

  #leave(): void {
    this.#era++;
    clearTimeout(this.#retry);
    this.#watch?.dispose();
    this.#watch = undefined;
    this.#peer?.close(new NiiaError('cancelled', 'the window closed the connection'));
    this.#peer = undefined;
  }
}
