import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { RawData } from 'ws';
import { WebSocket, WebSocketServer } from 'ws';
import { NiiaError } from '../../shared/errors.ts';
import { gatewayClose, gatewayLimits } from '../../shared/protocol/gateway.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import { isNoFingerprint } from './gateway-url.ts';
import { messageOverhead } from './gateway-wire.ts';
import { proxyFor } from './proxy.ts';
import { TransportClosed } from './transport-closed.ts';

/** Where WebSocket upgrades are taken: by a gateway, and by a machine for those that dial it straight. */
export const connectPath = '/v1/connect';
export const linkPath = '/v1/link';

const highWatermark = 256 << 10;
const lowWatermark = 64 << 10;
const longestReason = 123;

/** Names both sides of the handshake; `closeTimeout`: a peer that froze does not keep its socket for long. */
const socketOptions = {
  perMessageDeflate: false,
  maxPayload: gatewayLimits.payload + messageOverhead,
  closeTimeout: 2_000,
};

/** Binary messages over one WebSocket. */
export class WebSocketTransport implements Transport {
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  #handler: TransportHandler | undefined;
  #blocked = false;
  #corked = false;
  #closed = false;
  #error: Error | undefined;

  constructor(ws: WebSocket, socket: Duplex) {
    this.#ws = ws;
    this.#socket = socket;
    // Nothing is read before somebody listens.
    ws.pause();
    ws.on('message', (data, isBinary) => this.#receive(data, isBinary));
    ws.on('error', (error) => {
      this.#error ??= broken(error);
    });
    ws.on('close', (code, reason) => this.#finish(this.#error ?? closeError(code, reason.toString())));
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    if (this.#closed) queueMicrotask(() => handler.closed(this.#error));
    else this.#ws.resume();
  }

  get writable(): boolean {
    return !this.#closed && this.#ws.bufferedAmount < highWatermark;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.#closed) return;
    this.#cork();
    const message = body?.length ? Buffer.concat([head, body]) : head;
    if (this.#ws.bufferedAmount + message.length > lowWatermark) this.#ws.send(message, this.#sent);
    else this.#ws.send(message);
    if (!this.writable) this.#blocked = true;
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error ??= error;
    this.#ws.resume();
    if (error) this.#ws.close(error instanceof TransportClosed ? error.closeCode : 1001, closeReason(error.message));
    else this.#ws.close(1000);
    this.#handler?.closed(error);
  }

  readonly #sent = (): void => {
    if (!this.#blocked || this.#closed || this.#ws.bufferedAmount > lowWatermark) return;
    this.#blocked = false;
    this.#handler?.writable();
  };

  /** All that one turn of the event loop sends leaves in one system call. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#closed) return;
    if (isBinary && Buffer.isBuffer(data)) this.#handler?.message(data);
    else this.close(new TransportClosed(gatewayClose.protocol, 'bad_request', 'only binary messages are understood'));
  }

  #finish(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#handler?.closed(error);
  }
}

export interface WebSocketOptions {
  /** SHA-256 of the certificate that is expected, hex; null, absent or zeros: the usual check by certificate authorities. */
  fingerprint?: string | null;
  /** Whatever certificate is shown will do: who is there is proved within. */
  anyCertificate?: boolean;
  /** What is dialled, for messages; `the gateway` unless said. */
  what?: string;
  signal?: AbortSignal;
  /** From the dial to the open WebSocket; 10 seconds unless said. */
  timeoutMs?: number;
  /** For the proxy settings. */
  env?: NodeJS.ProcessEnv;
}

export interface WebSocketConnection {
  transport: Transport;
  /** Of the certificate that was shown, hex; empty without TLS. */
  fingerprint: string;
  /** Whether exactly that certificate was asked for. */
  pinned: boolean;
  /** The host that was dialled, as URLs have it: an IPv6 address stands in brackets. */
  host: string;
}

/**
 * Dials a gateway (`wss://host:port`; `ws://` where it runs without TLS), or whatever the URL's path names. A pinned certificate is checked before a byte
 * of the request leaves. Throws `gateway_unreachable`, or what aborted the signal.
 */
export async function connectWebSocket(address: string, options: WebSocketOptions = {}): Promise<WebSocketConnection> {
  const url = new URL(address);
  url.hash = '';
  if (url.pathname === '/') url.pathname = connectPath;
  const unreachable = (why: string, cause?: Error, hint?: string): NiiaError =>
    notReached(options.what ?? 'the gateway', url, why, cause, hint);
  const pin =
    options.fingerprint && !isNoFingerprint(options.fingerprint) ? options.fingerprint.toLowerCase() : undefined;
  if (pin && url.protocol !== 'wss:') throw unreachable('its certificate is known, and this address goes without TLS');
  const proxy = proxyFor(url, options.env);
  const agent = proxy === undefined ? undefined : new (await import('./proxy-agent.ts')).HttpsProxyAgent(proxy);
  options.signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    let fingerprint = '';
    let socket: Duplex | undefined;
    const ws = new WebSocket(url, {
      ...socketOptions,
      ...(agent ? { agent } : {}),
      ...(pin || options.anyCertificate ? { rejectUnauthorized: false } : {}),
      // Masking guards middleboxes that read plain HTTP (RFC 6455, 10.3); within TLS there is nothing to guard.
      ...(url.protocol === 'wss:' ? { generateMask: (mask: Buffer) => void mask.fill(0) } : {}),
      finishRequest: (request) =>
        sendWhenTrusted(request, pin, unreachable, (shown) => {
          fingerprint = shown;
        }),
    });
    const timeoutMs = options.timeoutMs ?? 10_000;
    const timer = setTimeout(() => fail(unreachable(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const abort = (): void => fail(options.signal?.reason);
    options.signal?.addEventListener('abort', abort, { once: true });
    const done = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    };
    const fail = (error: unknown): void => {
      done();
      reject(
        error instanceof Error && !(error instanceof NiiaError) && !options.signal?.aborted
          ? unreachable(reasonOf(error), error)
          : error,
      );
      ws.terminate();
    };
    ws.on('error', fail);
    ws.on('unexpected-response', (request, response) => {
      response.destroy();
      request.destroy();
      fail(
        unreachable(response.statusCode === 503 ? 'it is shutting down' : `it answered HTTP ${response.statusCode}`),
      );
    });
    ws.on('upgrade', (response) => {
      socket = response.socket;
    });
    ws.on('open', () => {
      done();
      ws.off('error', fail);
      if (!socket) throw new NiiaError('internal', 'a WebSocket opened without an upgrade');
      resolve({
        transport: new WebSocketTransport(ws, socket),
        fingerprint,
        pinned: pin !== undefined,
        host: url.hostname,
      });
    });
  });
}

/** Lets the request out once the certificate is the one that was asked for; without TLS at once. */
function sendWhenTrusted(
  request: ClientRequest,
  pin: string | undefined,
  unreachable: (why: string, cause?: Error, hint?: string) => NiiaError,
  shown: (fingerprint: string) => void,
): void {
  request.once('proxyConnect', ({ statusCode }: { statusCode: number }) => {
    if (statusCode !== 200) request.destroy(unreachable(`the proxy answered HTTP ${statusCode}`));
  });
  request.once('socket', (socket) => {
    if (!(socket instanceof TLSSocket)) {
      request.end();
      return;
    }
    socket.once('secureConnect', () => {
      const fingerprint = (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase();
      shown(fingerprint);
      if (pin === undefined || fingerprint === pin) request.end();
      else
        request.destroy(
          unreachable('it shows another certificate than the one that is known', undefined, otherCertificate),
        );
    });
  });
}

const otherCertificate =
  'Somebody may be in between, or the gateway was set up anew: get a new invite, or its new URL with: niia up --gateway URL';

const acceptor = new WebSocketServer({ ...socketOptions, noServer: true, clientTracking: false });

/** Takes an HTTP upgrade. A request that is no WebSocket handshake is answered with an error and goes no further. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  accepted: (transport: Transport) => void,
): void {
  acceptor.handleUpgrade(request, socket, head, (ws) => accepted(new WebSocketTransport(ws, socket)));
}

function closeError(code: number, reason: string): Error | undefined {
  switch (code) {
    case 1000:
    case 1005:
      return undefined;
    case 1006:
      return new NiiaError('offline', 'the connection broke');
    case 1009:
      return new TransportClosed(code, 'too_large', reason || 'a message was too large for the other side');
    case gatewayClose.protocol:
      return new TransportClosed(code, 'bad_request', reason || 'the other side did not understand a message');
    case gatewayClose.refused:
      return new TransportClosed(code, 'denied', reason || 'the gateway refused the connection');
    default:
      return new TransportClosed(code, 'offline', reason || `the other side ended the connection (${code})`);
  }
}

function closeReason(message: string): string {
  let reason = message;
  while (Buffer.byteLength(reason) > longestReason) reason = reason.slice(0, -1);
  return reason;
}

function broken(cause: Error): NiiaError {
  const tooLarge = 'code' in cause && cause.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';
  return new NiiaError(tooLarge ? 'too_large' : 'offline', `the connection broke: ${cause.message}`, undefined, {
    cause,
  });
}

function notReached(what: string, url: URL, why: string, cause?: Error, hint?: string): NiiaError {
  return new NiiaError(
    'gateway_unreachable',
    `${what} ${url.protocol}//${url.host} cannot be reached: ${why}`,
    hint ?? 'Check that it runs, and that a firewall or proxy lets this machine through. This machine keeps trying.',
    cause ? { cause } : undefined,
  );
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it broke the connection off',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'its name cannot be looked up now',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'no answer',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is its own, and no fingerprint of it is known',
  CERT_HAS_EXPIRED: 'its certificate has expired',
};

function reasonOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  return reasons[code] ?? (error.message || code || 'the dial failed');
}
