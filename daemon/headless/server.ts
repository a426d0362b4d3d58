import type { Server, Socket } from 'node:net';
import { NiiaError } from '../../shared/errors.ts';
import type { HeadlessMethod } from '../../shared/protocol/methods.ts';
import { isMethod, methods } from '../../shared/protocol/methods.ts';
import type { IncomingCall, Reply } from '../../shared/rpc/call.ts';
import { Peer } from '../../shared/rpc/peer.ts';
import { dispatch } from '../../shared/rpc/server.ts';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';
import { version } from '../home/version.ts';
import { listenLocal } from '../process/local-socket.ts';
import { requireAccess } from './access.ts';
import type { AskTimes } from './ask.ts';
import { Asks } from './ask.ts';
import type { Guardian } from './guardian.ts';
import type { Context } from './handlers.ts';
import { handlers } from './handlers.ts';
import type { KeepLimits } from './keep-ended.ts';
import { PromptDesk } from './prompting/prompt-desk.ts';
import { Approvals } from './prompting/questions.ts';
import type { ConnectScreens } from './screen-messages.ts';
import { Screens } from './screens.ts';
import { Sessions } from './sessions.ts';
import type { Viewer } from './viewer.ts';

export interface HeadlessOptions {
  home: Home;
  generation: string;
  /** This machine's name, for callers that do not say it. */
  machine: string;
  /** Draws the screens. */
  screens: ConnectScreens;
  /** With nobody connected and nothing running, the server ends after so long. */
  leaveAfterMs?: number;
  /** Most bytes of output that a session keeps on disk. */
  logCapBytes?: number;
  /** How long commands, and what they said, are kept for askers that come back. */
  askTimes?: Partial<AskTimes>;
  /** How much is kept of ended sessions. */
  keep?: () => KeepLimits;
  /** Brings the daemon back after a crash. */
  guardian?: Guardian;
}

const leaveAfterMs = 60_000;

const log = new Log('headless');

/** Serves the headless methods on a local socket, and owns what they are about. */
export class HeadlessServer {
  readonly socket: string;
  readonly startedAt = new Date().toISOString();
  /** Resolves when the server has ended: stopped, or because nobody needed it. */
  readonly done: Promise<void>;
  readonly #options: HeadlessOptions;
  readonly #screens: Screens;
  readonly #sessions: Sessions;
  readonly #asks: Asks;
  readonly #prompts: PromptDesk;
  readonly #approvals = new Approvals();
  readonly #viewers = new Map<string, Viewer>();
  readonly #peers = new Set<Peer>();
  #server: Server | undefined;
  #leaving: NodeJS.Timeout | undefined;
  #stopping: Promise<number> | undefined;
  #tellDone: () => void = () => undefined;

  constructor(options: HeadlessOptions) {
    this.#options = options;
    const { home, generation, machine, logCapBytes, keep } = options;
    this.socket = home.socket(`headless-${generation}`);
    this.#screens = new Screens(options.screens);
    const cap = { ...(logCapBytes === undefined ? {} : { logCapBytes }), ...(keep && { keep }) };
    this.#sessions = new Sessions({ home, generation, machine, screens: this.#screens, ...cap });
    this.#asks = new Asks(home, options.askTimes);
    this.#prompts = new PromptDesk(machine);
    this.done = new Promise((resolve) => {
      this.#tellDone = resolve;
    });
  }

  /** Listens. The caller holds the generation's lock. */
  async start(): Promise<void> {
    await this.#sessions.open();
    this.#sessions.watch(() => this.#considerLeaving());
    this.#asks.onEnd = () => this.#considerLeaving();
    const { guardian } = this.#options;
    if (guardian) guardian.onChange = () => this.#considerLeaving();
    this.#server = await listenLocal(this.socket, (socket) => this.#accept(socket));
    guardian?.guard();
    this.#considerLeaving();
  }

  /** Does now what the first request would wait for. */
  prepare(): void {
    this.#asks.prepare();
  }

  /** Ends as with the machine: sessions that are marked for it are started again by the next server. */
  async goDown(): Promise<void> {
    this.#sessions.restorer.takeAlong();
    await this.stop();
  }

  /** Ends every session and command and then the server; resolves with how many sessions were live. */
  async stop(): Promise<number> {
    const ended = await this.#endAll();
    await this.#close();
    return ended;
  }

  #endAll(): Promise<number> {
    this.#stopping ??= (async () => {
      const [ended] = await Promise.all([this.#sessions.endAll(), this.#asks.endAll()]);
      await this.#prompts.settled();
      return ended;
    })();
    return this.#stopping;
  }

  async #close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    clearTimeout(this.#leaving);
    this.#options.guardian?.close();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const peer of this.#peers) peer.close(new NiiaError('link_lost', 'the headless server has ended'));
    this.#sessions.close();
    await this.#screens.close();
    await closed;
    this.#tellDone();
  }

  #accept(socket: Socket): void {
    const peer: Peer = new Peer(new SocketTransport(socket), {
      face: 'headless',
      software: version,
      serve: (call) => this.#serve(call),
      greeted: ({ face }) => {
        if (face === 'daemon') this.#options.guardian?.connected();
      },
      closed: (error) => {
        log.debug('a connection has ended', { error });
        this.#peers.delete(peer);
        if (peer.hello?.face === 'daemon') this.#options.guardian?.disconnected();
        this.#considerLeaving();
      },
    });
    this.#peers.add(peer);
    this.#considerLeaving();
  }

  async #serve(call: IncomingCall): Promise<Reply> {
    const { m: method, from } = call.header;
    if (!isHeadlessMethod(method)) {
      throw new NiiaError(
        'unknown_method',
        `the headless server that has this session is niia ${version}, which does not know ${method}`,
        'It stays as it is until its last session ends; new sessions are in one of the present version.',
      );
    }
    const machine = from?.machine ?? this.#options.machine;
    // Whoever reaches the socket without a daemon is this user.
    const who = from?.principal ?? { kind: 'local', id: 'local', name: machine, role: 'admin' };
    requireAccess(who, method);
    const context: Context = {
      who,
      machine,
      sessions: this.#sessions,
      prompts: this.#prompts,
      approvals: this.#approvals,
      asks: this.#asks,
      viewers: this.#viewers,
      generation: this.#options.generation,
      startedAt: this.startedAt,
      stop: async () => {
        this.#sessions.restorer.unmarkAll();
        const ended = await this.#endAll();
        // The answer leaves first: it is sent in this turn, the socket closes in a later one.
        setImmediate(() => void this.#close());
        return ended;
      },
    };
    return await dispatch(handlers, method, call, context);
  }

  /** Starts, or stops, the countdown to the end of a server that nobody needs. */
  #considerLeaving(): void {
    const inUse = this.#sessions.liveCount > 0 || this.#asks.count > 0;
    const needed = this.#peers.size > 0 || inUse || this.#options.guardian?.busy;
    if (needed || !this.#server) {
      clearTimeout(this.#leaving);
      this.#leaving = undefined;
      return;
    }
    this.#leaving ??= setTimeout(() => {
      log.info('nobody is connected and no session is live: ending');
      this.stop().catch((error: unknown) => log.error('the server could not end cleanly', { error }));
    }, this.#options.leaveAfterMs ?? leaveAfterMs);
  }
}

function isHeadlessMethod(name: string): name is HeadlessMethod {
  return isMethod(name) && methods[name].at === 'headless';
}
