import { NiiaError } from '../../shared/errors.ts';
import { ask } from '../../shared/rpc/client.ts';
import type { Log } from '../home/log.ts';
import { RestartBackoff } from '../process/restart-backoff.ts';
import type { HeadlessServer, HeadlessServers } from './headless-servers.ts';

export interface HeadlessKeeperOptions {
  servers: HeadlessServers;
  /** Whether a server shall be there without being asked for. */
  wanted: () => boolean;
  log: Log;
}

/** A server that is on its way out is gone within this time. */
const tidyMs = 10_000;
/** What is asked of servers on the way out may not hold that up. */
const leaveMs = 2_000;

/**
 * Has a headless server of this generation run, so that there is always somebody who brings a crashed daemon back, and
 * has it take over the sessions of those of other generations that ended.
 */
export class HeadlessKeeper {
  readonly #o: HeadlessKeeperOptions;
  readonly #backoff = new RestartBackoff();
  /** Generations that are, or were, there and whose sessions nobody else has taken over. */
  readonly #others = new Map<string, HeadlessServer>();
  #timer: NodeJS.Timeout | undefined;
  #wasUp = false;
  #unsubscribe: () => void = () => undefined;
  #closed = false;

  constructor(options: HeadlessKeeperOptions) {
    this.#o = options;
  }

  /** From now on; does not wait for a server to be up. */
  start(): void {
    this.#unsubscribe = this.#o.servers.onServers(() => this.#look());
    this.#look();
    if (this.#o.wanted() && !this.#wasUp) this.#startServer();
  }

  /** The setting was changed. */
  reconsider(): void {
    if (this.#o.wanted()) {
      if (!this.#wasUp && !this.#timer) this.#startServer();
    } else {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  /** What is kept of ended sessions was changed. */
  tidy(): void {
    for (const server of this.#o.servers.all) {
      this.#ask(server, ask(server.peer, 'headless.adopt', {}, { deadlineMs: tidyMs }));
    }
  }

  /** Sends away, before this daemon ends, every server in which nothing lives; resolves with their process ids. */
  async dismiss(): Promise<number[]> {
    this.close();
    await this.#o.servers.settled();
    const answers = await Promise.allSettled(
      this.#o.servers.all.map(({ peer }) => ask(peer, 'headless.retire', {}, { deadlineMs: leaveMs })),
    );
    return answers.flatMap((one) =>
      one.status === 'fulfilled' && one.value.retired && one.value.pid !== undefined ? [one.value.pid] : [],
    );
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    if (this.#closed) return;
    const { servers, wanted } = this.#o;
    const current = servers.all.find(({ generation }) => generation === servers.generation);
    if (current) {
      this.#wasUp = true;
      this.#backoff.up(performance.now());
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (this.#wasUp) {
      this.#wasUp = false;
      if (wanted()) this.#startLater();
    }
    this.#lookAtOthers(current);
  }

  #lookAtOthers(current: HeadlessServer | undefined): void {
    for (const server of this.#o.servers.all) {
      if (server !== current) this.#others.set(server.generation, server);
    }
    if (!current) return;
    for (const [generation, server] of this.#others) {
      if (this.#o.servers.all.includes(server)) continue;
      this.#others.delete(generation);
      this.#ask(current, ask(current.peer, 'headless.adopt', { after: generation }, { deadlineMs: tidyMs }));
    }
  }

  #ask(server: HeadlessServer, answer: Promise<unknown>): void {
    answer.catch((cause: unknown) => {
      const error = NiiaError.from(cause);
      // One that went meanwhile, or an older one that does not know the question, goes when this daemon goes.
      if (error.code === 'link_lost' || error.code === 'unknown_method') return;
      this.#o.log.warn('a headless server could not be told', { generation: server.generation, error });
    });
  }

  #startLater(): void {
    const pauseMs = this.#backoff.ended(performance.now());
    this.#o.log.warn('the headless server ended by itself; it is started again', { pauseMs });
    this.#timer = setTimeout(() => this.#startServer(), pauseMs);
  }

  #startServer(): void {
    this.#timer = undefined;
    this.#o.servers.current().catch((error: unknown) => {
      if (this.#closed) return;
      const pauseMs = this.#backoff.ended(performance.now());
      this.#o.log.error('the headless server could not be started', { error, pauseMs });
      if (this.#o.wanted()) this.#timer = setTimeout(() => this.#startServer(), pauseMs);
    });
  }
}
