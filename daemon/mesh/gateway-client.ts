import { NiiaError } from '../../shared/errors.ts';
import { gatewayLimits } from '../../shared/protocol/gateway.ts';
import type { IceServer } from '../../shared/protocol/ice-server.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Log } from '../home/log.ts';
import type { Identity } from '../team/identity.ts';
import type { Roster, SignedStatement } from '../team/roster.ts';
import type { DialledGateway } from './gateway-client-connection.ts';
import { GatewayConnection } from './gateway-client-connection.ts';
import type { HeartbeatTimes } from './gateway-client-heartbeat.ts';
import type { ReconnectEvent, ReconnectState } from './gateway-client-reconnect.ts';
import { reduceReconnect } from './gateway-client-reconnect.ts';

export interface GatewayClientState {
  state: 'connecting' | 'connected' | 'refused';
  /** When this state began, ISO 8601. */
  since: string;
  /** Why there is no connection; absent while there is one, and before the first attempt has failed. */
  error?: NiiaError;
  rttMs: number | null;
}

export interface GatewayClientEvents {
  state(state: GatewayClientState): void;
  present(machine: string, since: string): void;
  absent(machine: string, lastSeen: string | null): void;
  /**
   * A fresh pipe to `machine`, whenever it is present. It ends when the machine or the gateway goes, or when more waits
   * for the machine than the gateway holds; the next follows as soon as it can. One that its user closed is followed by
   * the next half a second later.
   */
  circuit(machine: string, circuit: Transport): void;
  /** A guest with the ticket of this hash; closing the lane sends it away. */
  guest(ticketHash: string, lane: Transport): void;
  /** The gateway's chain, unchecked: it differs from what we said ours is. */
  roster(statements: SignedStatement[]): void;
  /** STUN and TURN servers that the gateway knows of, in place of those before; at each welcome, and when they change. */
  ice?(servers: IceServer[]): void;
}

export interface GatewayClientOptions {
  identity: Identity;
  software: string;
  roster: () => Roster;
  /** One attempt: a WebSocket, or the embedded gateway in this process. */
  dial: (signal: AbortSignal) => Promise<DialledGateway>;
  /** The gateway's admission secret, base64url. */
  admit?: string;
  events: GatewayClientEvents;
  log: Log;
  /** 0 to 1, for the jitter. */
  random?: () => number;
  heartbeat?: HeartbeatTimes;
}

/** How long whoever offers a ticket waits for the gateway to have it. */
const ticketMs = 3_000;

/** Keeps this machine connected to its gateway, for ever. */
export class GatewayClient {
  readonly #o: GatewayClientOptions;
  readonly #tickets = new Map<string, string>();
  /** Who waits for the gateway to have a ticket. */
  readonly #offered = new Map<string, () => void>();
  #reconnect: ReconnectState = { phase: 'stopped' };
  #timer: NodeJS.Timeout | undefined;
  #dial: AbortController | undefined;
  #dialling: Promise<void> = Promise.resolve();
  #connection: GatewayConnection | undefined;
  #shown: Omit<GatewayClientState, 'rttMs'> | undefined;

  constructor(options: GatewayClientOptions) {
    this.#o = options;
  }

  start(): void {
    this.#show('connecting');
    this.#step({ type: 'start' });
  }

  /** Smoothed round trip to the gateway, milliseconds; null while it is not known. */
  get rttMs(): number | null {
    return this.#connection?.rttMs ?? null;
  }

  /**
   * Lets one guest in who shows the ticket with this hash, until `expiresAt` (ISO 8601) or `dropTicket`. Resolves with
   * whether the gateway has it by now; where it is away it gets it later.
   */
  offerTicket(hash: string, expiresAt: string): Promise<boolean> {
    this.#tickets.set(hash, expiresAt);
    const connection = this.#connection;
    if (!connection?.connected) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (taken: boolean): void => {
        clearTimeout(timer);
        this.#offered.delete(hash);
        resolve(taken);
      };
      const timer = setTimeout(() => settle(false), ticketMs);
      this.#offered.set(hash, () => settle(true));
      connection.offerTicket(hash, expiresAt);
    });
  }

  dropTicket(hash: string): void {
    this.#tickets.delete(hash);
    if (this.#connection?.connected) this.#connection.dropTicket(hash);
  }

  /** The machine's chain is another now: the gateway gets it, or is tried again if it refused us. */
  rosterChanged(): void {
    if (this.#connection?.connected) this.#connection.offerRoster();
    this.#step({ type: 'roster-changed' });
  }

  /** Does not wait for the next attempt. */
  retryNow(): void {
    this.#step({ type: 'retry' });
  }

  /** Hangs up; nothing is reported afterwards but the end of the circuits. */
  async close(): Promise<void> {
    this.#step({ type: 'stop' });
    await this.#dialling;
  }

  #step(event: ReconnectEvent): void {
    const { state, action } = reduceReconnect(this.#reconnect, event, this.#o.random ?? Math.random);
    this.#reconnect = state;
    if (!action) return;
    clearTimeout(this.#timer);
    switch (action.type) {
      case 'wait':
        this.#timer = setTimeout(() => this.#step({ type: 'timer' }), action.ms);
        return;
      case 'dial':
        this.#dialling = this.#attempt();
        return;
      case 'hang-up': {
        this.#dial?.abort(new NiiaError('cancelled', 'the machine hung up'));
        const connection = this.#connection;
        this.#connection = undefined;
        connection?.end();
      }
    }
  }

  async #attempt(): Promise<void> {
    const abort = new AbortController();
    this.#dial = abort;
    let gateway: DialledGateway;
    try {
      gateway = await this.#o.dial(abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) this.#lost(NiiaError.from(error), false);
      return;
    }
    if (abort.signal.aborted) {
      gateway.transport.close();
      return;
    }
    const { identity, software, roster, admit, heartbeat, events } = this.#o;
    const connection: GatewayConnection = new GatewayConnection(gateway, {
      identity,
      software,
      roster,
      admit,
      heartbeat,
      helloMs: gatewayLimits.helloMs,
      events: {
        present: (machine, since) => events.present(machine, since),
        absent: (machine, lastSeen) => events.absent(machine, lastSeen),
        circuit: (machine, circuit) => events.circuit(machine, circuit),
        guest: (ticketHash, lane) => events.guest(ticketHash, lane),
        ticketTaken: (hash) => this.#offered.get(hash)?.(),
        roster: (statements) => events.roster(statements),
        ice: (servers) => events.ice?.(servers),
        welcomed: () => this.#welcomed(connection),
        ended: (error, refused) => {
          if (this.#connection === connection) this.#lost(error, refused);
        },
      },
    });
    this.#connection = connection;
  }

  #welcomed(connection: GatewayConnection): void {
    this.#step({ type: 'connected', at: performance.now() });
    this.#show('connected');
    this.#o.log.info('connected to the gateway');
    const now = Date.now();
    for (const [hash, expiresAt] of this.#tickets) {
      if (Date.parse(expiresAt) <= now) this.#tickets.delete(hash);
      else connection.offerTicket(hash, expiresAt);
    }
  }

  #lost(error: NiiaError, refused: boolean): void {
    const wasConnected = this.#shown?.state === 'connected';
    this.#connection = undefined;
    if (this.#shown?.error?.message !== error.message) {
      this.#o.log[wasConnected || refused ? 'warn' : 'info']('no gateway', { error: error.message, code: error.code });
    }
    this.#show(refused ? 'refused' : 'connecting', error);
    this.#step(refused ? { type: 'refused' } : { type: 'lost', at: performance.now() });
  }

  #show(state: GatewayClientState['state'], error?: NiiaError): void {
    const before = this.#shown;
    if (before?.state === state && before.error?.message === error?.message) return;
    const since = before?.state === state ? before.since : new Date().toISOString();
    this.#shown = { state, since, ...(error ? { error } : {}) };
    this.#o.events.state({ ...this.#shown, rttMs: this.rttMs });
  }
}
