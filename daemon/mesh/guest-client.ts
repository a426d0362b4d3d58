import { NiiaError } from '../../shared/errors.ts';
import type { ToGateway, ToMachine } from '../../shared/protocol/gateway.ts';
import { gatewayClose, gatewayFrame, gatewayLimits, toMachineSchema } from '../../shared/protocol/gateway.ts';
import { agreeOnVersion, protocolRange } from '../../shared/protocol/version.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import { version } from '../home/version.ts';
import { Circuit } from './gateway-client-circuit.ts';
import type { DialledGateway } from './gateway-client-connection.ts';
import { checkGateway } from './gateway-client-connection.ts';
import {
  controlJson,
  encodeControl,
  encodePing,
  parseControl,
  pingLength,
  readNumber,
  relayHeader,
} from './gateway-wire.ts';
import { TransportClosed } from './transport-closed.ts';
import { connectWebSocket } from './websocket.ts';

export interface GuestOptions {
  /** Gateway addresses, best first. */
  urls: readonly string[];
  /** SHA-256 of the gateway's certificate, hex; zeros: its certificate is checked the usual way. */
  fingerprint: string | null;
  /** The ticket's id, as the invite's secret gives it. */
  ticket: string;
  signal: AbortSignal;
  /** For each address, until the lane is there. */
  timeoutMs?: number;
}

/**
 * The lane of a machine that joins: a pipe to the inviter and to nobody else. Tries the addresses in turn. Throws what
 * the gateway refused it with (`code_used`, `code_expired`, `denied`, `offline`, `busy`), or `gateway_unreachable`.
 */
export async function connectGuest({ urls, fingerprint, ticket, signal, timeoutMs }: GuestOptions): Promise<Transport> {
  let failure: unknown = new NiiaError('bad_code', 'the invite names no gateway', 'Ask for a new one: niia invite');
  for (const url of urls) {
    try {
      const gateway = await connectWebSocket(url, {
        fingerprint,
        signal,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
      return await new GuestGreeting(gateway, ticket, signal, timeoutMs ?? gatewayLimits.helloMs).lane;
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
      if (error instanceof NiiaError && error.code !== 'gateway_unreachable') break;
    }
  }
  throw failure;
}

/** A guest's side of its connection: the greeting, then the lane's bytes. */
class GuestGreeting implements TransportHandler {
  readonly lane: Promise<Transport>;
  readonly #gateway: DialledGateway;
  readonly #ticket: string;
  readonly #done: () => void;
  #resolve: (lane: Transport) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #circuit: Circuit | undefined;
  #greeted = false;

  constructor(gateway: DialledGateway, ticket: string, signal: AbortSignal, timeoutMs: number) {
    this.#gateway = gateway;
    this.#ticket = ticket;
    this.lane = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const abort = (): void => this.#fail(NiiaError.from(signal.reason));
    const timer = setTimeout(
      () => this.#fail(new NiiaError('gateway_unreachable', 'the gateway did not finish its greeting')),
      timeoutMs,
    );
    signal.addEventListener('abort', abort, { once: true });
    this.#done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    gateway.transport.start(this);
  }

  message(bytes: Uint8Array): void {
    try {
      this.#receive(bytes);
    } catch (error) {
      this.#fail(NiiaError.from(error));
    }
  }

  writable(): void {
    this.#circuit?.drained();
  }

  closed(error?: Error): void {
    this.#done();
    this.#reject(
      new NiiaError('gateway_unreachable', 'the gateway ended the connection during the greeting', undefined, {
        cause: error,
      }),
    );
    this.#circuit?.end(error);
  }

  #receive(bytes: Uint8Array): void {
    switch (bytes[0]) {
      case gatewayFrame.control:
        this.#control(parseControl(toMachineSchema, controlJson(bytes)));
        return;
      case gatewayFrame.relay:
        if (bytes.length < relayHeader) break;
        if (readNumber(bytes) === this.#circuit?.index) this.#circuit.receive(bytes.subarray(relayHeader));
        return;
      case gatewayFrame.ping:
        if (bytes.length !== pingLength) break;
        this.#gateway.transport.send(encodePing(gatewayFrame.pong, readNumber(bytes)));
        return;
      case gatewayFrame.pong:
        return;
    }
    throw new NiiaError('bad_request', `the gateway sent a message of kind ${bytes[0]} that is not whole`);
  }

  #control(message: ToMachine): void {
    switch (message.type) {
      case 'refused':
        this.#fail(NiiaError.fromWire(message.error));
        return;
      case 'challenge': {
        if (this.#greeted) return;
        this.#greeted = true;
        agreeOnVersion(message.protocol, 'the gateway');
        checkGateway(message.gateway, this.#gateway);
        const hello: ToGateway = { type: 'guest', protocol: protocolRange, software: version, ticket: this.#ticket };
        this.#gateway.transport.send(encodeControl(hello));
        return;
      }
      case 'lane': {
        if (this.#circuit) return;
        this.#done();
        this.#circuit = new Circuit(message.index, this.#gateway.transport, () => this.#gateway.transport.close());
        this.#resolve(this.#circuit);
      }
    }
  }

  #fail(error: NiiaError): void {
    this.#done();
    this.#reject(error);
    this.#circuit?.end(error);
    this.#gateway.transport.close(new TransportClosed(gatewayClose.protocol, error.code, error.message));
  }
}
