import { NiiaError } from '../../shared/errors.ts';
import type { ToGateway, ToMachine } from '../../shared/protocol/gateway.ts';
import { gatewayClose, gatewayFrame, toGatewaySchema } from '../../shared/protocol/gateway.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import type { Log } from '../home/log.ts';
import {
  controlJson,
  encodeControl,
  encodePing,
  messageOverhead,
  parseControl,
  pingLength,
  readNumber,
  relayHeader,
} from '../mesh/gateway-wire.ts';
import { TransportClosed } from '../mesh/transport-closed.ts';
import type { ServerLimits } from './limits.ts';
import { Outbox } from './outbox.ts';

/** What a line does with what it receives; it depends on who is at its other end. */
export interface LineUser {
  /** Sees a control message before it is checked; may end the line. */
  json?(value: unknown): void;
  control(message: ToGateway): void;
  /** A relay message for `index`, whole; its bytes may be changed. */
  relay(index: number, bytes: Uint8Array): void;
  /** Once; nothing follows. */
  ended(): void;
}

/** One connection to the gateway: its frames, its limits, its heartbeat and what waits for it. */
export class Line implements TransportHandler {
  readonly index: number;
  readonly address: string;
  readonly startedAt: number;
  readonly outbox: Outbox;
  readonly #transport: Transport;
  readonly #limits: ServerLimits;
  readonly #log: Log;
  readonly #control: TokenBucket;
  /** Indexes for which nothing is taken until the pong with this token: it closes off what was sent before a reset. */
  readonly #held = new Map<number, number>();
  #user: LineUser;
  #token = 0;
  #heardAt: number;
  #backlog = 0;
  #ended = false;

  constructor(index: number, transport: Transport, address: string, limits: ServerLimits, log: Log, user: LineUser) {
    const now = performance.now();
    this.index = index;
    this.address = address;
    this.startedAt = now;
    this.#heardAt = now;
    this.#transport = transport;
    this.#limits = limits;
    this.#log = log;
    this.#user = user;
    this.#control = new TokenBucket(limits.controlPerSecond, limits.controlPerSecond * 60, now);
    this.outbox = new Outbox(
      (message) => transport.send(message),
      () => transport.writable,
      limits.circuit,
    );
  }

  /** Begins to receive. */
  start(): void {
    this.#transport.start(this);
  }

  /** The greeting is over: another takes what comes. */
  handTo(user: LineUser): void {
    this.#user = user;
  }

  get ended(): boolean {
    return this.#ended;
  }

  send(message: ToMachine): void {
    this.sendBytes(encodeControl(message));
  }

  /** A control message, encoded. A machine that lets too many wait is cut off. */
  sendBytes(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#transport.send(bytes);
    if (this.#transport.writable) return;
    this.#backlog += bytes.length;
    if (this.#backlog > this.#limits.controlBacklog) {
      this.end(new TransportClosed(gatewayClose.tooFast, 'busy', 'the machine does not read what it is sent'));
    }
  }

  /** Counts `messages` against the rate of control messages; ends the line where there are too many. */
  charge(messages: number): boolean {
    if (this.#control.take(messages, performance.now())) return true;
    this.end(
      new TransportClosed(
        gatewayClose.tooFast,
        'busy',
        `more than ${this.#limits.controlPerSecond} control messages a second`,
      ),
    );
    return false;
  }

  /** Ends what runs between this line and `index`: the machine is told, and what it sent before it knew is dropped. */
  reset(index: number): void {
    this.outbox.drop(index);
    this.#token = (this.#token + 1) >>> 0;
    this.#held.set(index, this.#token);
    this.send({ type: 'circuit-reset', index });
    this.sendBytes(encodePing(gatewayFrame.ping, this.#token));
  }

  /** Whether messages for `index` still belong to a conversation that was reset. */
  holds(index: number): boolean {
    return this.#held.has(index);
  }

  /** `index` left; `notice` follows the last of what it sent. */
  left(index: number, notice: ToMachine): void {
    if (this.#ended) return;
    this.#held.delete(index);
    this.outbox.finish(index, encodeControl(notice));
  }

  /** Pings a quiet machine; ends a silent one. */
  tick(now: number): void {
    const silence = now - this.#heardAt;
    if (silence >= this.#limits.silentMs) {
      this.end(
        new TransportClosed(gatewayClose.protocol, 'offline', `nothing was heard for ${Math.round(silence)} ms`),
      );
    } else if (silence >= this.#limits.pingMs) {
      this.#token = (this.#token + 1) >>> 0;
      this.sendBytes(encodePing(gatewayFrame.ping, this.#token));
    }
  }

  /** This process stood still: nobody is to blame for the silence. */
  forgive(now: number): void {
    this.#heardAt = now;
  }

  /** Says why and ends the line. */
  refuse(error: NiiaError): void {
    this.send({ type: 'refused', error: error.toJSON() });
    this.end(new TransportClosed(gatewayClose.refused, error.code, error.message));
  }

  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.outbox.clear();
    this.#transport.close(error);
    this.#user.ended();
  }

  message(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#heardAt = performance.now();
    try {
      this.#receive(bytes);
    } catch (error) {
      const { code, message } = NiiaError.from(error);
      if (code === 'internal' || code === 'io') this.#log.error('a message could not be handled', { error });
      this.end(new TransportClosed(gatewayClose.protocol, code, message));
    }
  }

  writable(): void {
    this.#backlog = 0;
    this.outbox.flush();
  }

  closed(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.outbox.clear();
    this.#user.ended();
  }

  #receive(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length > this.#limits.payload + messageOverhead) {
      throw new NiiaError('too_large', `a message of ${length} bytes is over the limit`);
    }
    switch (bytes[0]) {
      case gatewayFrame.control:
        if (this.charge(1)) this.#controlMessage(controlJson(bytes));
        return;
      case gatewayFrame.relay:
        if (length < relayHeader) break;
        if (length - relayHeader > this.#limits.payload) {
          throw new NiiaError(
            'too_large',
            `a payload of ${length - relayHeader} bytes is over ${this.#limits.payload}`,
          );
        }
        this.#user.relay(readNumber(bytes), bytes);
        return;
      case gatewayFrame.ping:
        if (length !== pingLength) break;
        if (this.charge(1)) this.sendBytes(encodePing(gatewayFrame.pong, readNumber(bytes)));
        return;
      case gatewayFrame.pong: {
        if (length !== pingLength) break;
        const token = readNumber(bytes);
        for (const [index, held] of this.#held) if (held === token) this.#held.delete(index);
        return;
      }
    }
    throw new NiiaError('bad_request', `a message of kind ${bytes[0]} that is not whole`);
  }

  #controlMessage(json: unknown): void {
    this.#user.json?.(json);
    if (!this.#ended) this.#user.control(parseControl(toGatewaySchema, json));
  }
}
