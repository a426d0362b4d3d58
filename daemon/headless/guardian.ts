import type { Log } from '../home/log.ts';
import { RestartBackoff } from '../process/restart-backoff.ts';

/**
 * `crashed`: it ran and has ended without saying so. `busy`: somebody else is at it, an upgrade say, or it is there and
 * only not connected.
 */
export type DaemonState = 'stopped' | 'crashed' | 'busy';

export interface GuardianOptions {
  /** What is known of the daemon now. */
  look: () => DaemonState;
  /** Starts the daemon; its process id. */
  start: () => number;
  alive: (pid: number) => boolean;
  /** Milliseconds of a clock that never goes back. */
  now?: () => number;
  log: Pick<Log, 'info' | 'warn' | 'error'>;
}

/**
 * How often to look, also while a pause is not over: an upgrade that lost its supervisor is none of the failures that
 * make pauses long, and looking is what finds it.
 */
const againMs = 1_000;

/**
 * Starts the daemon again after a crash: the headless server outlives it, so it can. Guardians of several generations
 * may start one each; the daemon's lock lets one of them live.
 */
export class Guardian {
  readonly #o: GuardianOptions;
  readonly #now: () => number;
  readonly #backoff = new RestartBackoff();
  #daemons = 0;
  /** It is not started before; of the clock's time. */
  #notBefore = 0;
  #timer: NodeJS.Timeout | undefined;
  #started: number | undefined;
  #closed = false;
  /** Told when `busy` may have changed. */
  onChange: () => void = () => undefined;

  constructor(options: GuardianOptions) {
    this.#o = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** A crashed daemon is to be brought back: the server stays for that. */
  get busy(): boolean {
    return this.#timer !== undefined;
  }

  /** A daemon is connected. */
  connected(): void {
    this.#daemons++;
    this.#backoff.up(this.#now());
    if (this.#started !== undefined) this.#o.log.info('the daemon is back', { pid: this.#started });
    this.#started = undefined;
    this.#wait(undefined);
  }

  /** One is no longer. */
  disconnected(): void {
    this.#daemons--;
    this.guard();
  }

  /** Looks after a daemon that is not connected, until one is, or until it turns out that it was stopped. */
  guard(): void {
    if (this.#daemons > 0 || this.#timer || this.#o.look() === 'stopped') return;
    this.#pause();
  }

  close(): void {
    this.#closed = true;
    this.#wait(undefined);
  }

  #wait(ms: number | undefined): void {
    clearTimeout(this.#timer);
    this.#timer = ms === undefined || this.#closed ? undefined : setTimeout(() => this.#act(), ms);
    this.onChange();
  }

  #act(): void {
    const state = this.#o.look();
    const starting = this.#started !== undefined && this.#o.alive(this.#started);
    if (state === 'stopped') this.#wait(undefined);
    else if (state === 'busy' || starting) this.#wait(againMs);
    else if (this.#now() < this.#notBefore) this.#waitOn();
    else this.#startAgain();
  }

  #startAgain(): void {
    try {
      this.#started = this.#o.start();
      this.#o.log.warn('the daemon ended without saying so; it is started again', { pid: this.#started });
    } catch (error) {
      this.#o.log.error('the daemon could not be started again', { error });
    }
    this.#pause();
  }

  #pause(): void {
    const now = this.#now();
    this.#notBefore = now + this.#backoff.ended(now);
    this.#waitOn();
  }

  #waitOn(): void {
    this.#wait(Math.min(this.#notBefore - this.#now(), againMs));
  }
}
