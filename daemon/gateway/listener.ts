import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { isErrno } from '../home/files.ts';
import { acceptWebSocket, connectPath, linkPath } from '../mesh/websocket.ts';
import type { ServerLimits } from './limits.ts';
import { serverLimits } from './limits.ts';
import { AddressQuota, AddressRate } from './rate-limit.ts';
import type { Remote } from './server.ts';

/** What is served; a `GatewayServer`. */
export interface ServedGateway {
  readonly ready: boolean;
  readonly limits: Pick<
    ServerLimits,
    'greetingsPerAddress' | 'greetings' | 'connectionsPerSecond' | 'connectionsAtOnce' | 'requestMs'
  >;
  accept(transport: Transport, remote: Remote): void;
  metrics(): string;
}

export interface ListenOptions {
  host: string;
  /** 0: any that is free. */
  port: number;
  /** PEM; null: plain HTTP and `ws://`, for a gateway behind something that ends TLS. */
  tls: { cert: string; key: string } | null;
  /** Serves `/v1/connect`. */
  server?: ServedGateway;
  /** Serves `/v1/link`: a machine that dials this one straight. */
  link?: (transport: Transport, remote: Remote) => void;
}

export interface GatewayListener {
  readonly port: number;
  /** Takes no connection any more and waits for those whose close is on its way; what is left after 2.5 s is cut. */
  close(): Promise<void>;
}

const maxHeaderSize = 8 << 10;
const closeMs = 2_500;
const sweepMs = 60_000;

/**
 * The one port of a machine or gateway, over HTTPS: a gateway's `/healthz`, `/readyz`, `/metrics` and WebSockets on
 * `/v1/connect`, and a machine's own on `/v1/link`.
 */
export async function listenGateway({ host, port, tls, server, link }: ListenOptions): Promise<GatewayListener> {
  const limits = server?.limits ?? serverLimits;
  const { requestMs } = limits;
  const options = {
    headersTimeout: requestMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(1_000, requestMs),
    keepAliveTimeout: 2_000,
    maxHeaderSize,
    noDelay: true,
  };
  const answer: RequestListener = (request, response) => serve(server, request, response);
  const http: Server = tls
    ? createHttpsServer({ ...options, handshakeTimeout: requestMs, cert: tls.cert, key: tls.key }, answer)
    : createHttpServer(options, answer);
  const quota = new AddressQuota(limits.greetingsPerAddress, limits.greetings);
  const rate = new AddressRate(limits.connectionsPerSecond, limits.connectionsAtOnce);
  const sweeper = setInterval(() => rate.sweep(performance.now()), sweepMs).unref();
  const connections = new Map<string, { socket: Socket; release: () => void; upgraded: boolean }>();

  // Counted from the first packet on: a connection holds a place until it is known who it is. One that finds none costs
  // nothing more than that: it never gets as far as TLS.
  const goOn = http.listeners('connection');
  http.removeAllListeners('connection').on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const release = rate.take(address, performance.now()) ? quota.take(address) : undefined;
    if (!release) {
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    connections.set(name, { socket, release, upgraded: false });
    socket.once('close', () => {
      connections.delete(name);
      release();
    });
    for (const listener of goOn) listener.call(http, socket);
  });
  http.on('tlsClientError', (_, socket) => socket.destroy());
  http.on('clientError', (_, socket) => socket.destroy());
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const path = pathOf(request);
    const accept =
      path === connectPath && server
        ? (transport: Transport, remote: Remote) => server.accept(transport, remote)
        : path === linkPath
          ? link
          : undefined;
    if (!accept) {
      refuseUpgrade(socket, '404 Not Found');
      return;
    }
    if (path === connectPath && !server?.ready) {
      refuseUpgrade(socket, '503 Service Unavailable');
      return;
    }
    const connection = connections.get(nameOf(request.socket));
    if (connection) connection.upgraded = true;
    const address = request.socket.remoteAddress ?? '';
    acceptWebSocket(request, socket, head, (transport) =>
      accept(transport, { address, greeted: () => connection?.release() }),
    );
  });

  try {
    http.listen({ host, port });
    await once(http, 'listening');
  } catch (error) {
    throw listenError(error, host, port);
  }
  const address = http.address();
  if (address === null || typeof address === 'string') throw new NiiaError('internal', 'the listener has no port');
  return {
    port: address.port,
    close: async () => {
      clearInterval(sweeper);
      const closed = once(http, 'close');
      http.close();
      for (const { socket, upgraded } of connections.values()) if (!upgraded) socket.destroy();
      const timer = setTimeout(() => {
        for (const { socket } of connections.values()) socket.destroy();
      }, closeMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

function serve(server: ServedGateway | undefined, request: IncomingMessage, response: ServerResponse): void {
  const { method } = request;
  const reply = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
    response.end(method === 'HEAD' ? undefined : text);
  };
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('connection', 'close');
    reply(405, 'only GET is served\n');
    return;
  }
  const path = pathOf(request);
  if (!server) {
    reply(404, 'not found\n');
    return;
  }
  switch (path) {
    case '/healthz':
      reply(200, 'ok\n');
      return;
    case '/readyz':
      reply(server.ready ? 200 : 503, server.ready ? 'ready\n' : 'draining\n');
      return;
    case '/metrics':
      reply(200, server.metrics(), 'text/plain; version=0.0.4; charset=utf-8');
      return;
    case connectPath:
      reply(426, 'a WebSocket is served here\n');
      return;
    default:
      reply(404, 'not found\n');
  }
}

function pathOf({ url }: IncomingMessage): string {
  return url?.split('?', 1)[0] ?? '';
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}

/** A TLS socket and the TCP socket below it have this in common. */
function nameOf({ remoteAddress, remotePort, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localPort}`;
}

function listenError(cause: unknown, host: string, port: number): NiiaError {
  const where = `${host}:${port}`;
  const options = { cause };
  if (isErrno(cause, 'EADDRINUSE')) {
    const hint = 'Choose another port with --listen HOST:PORT, or end the process that has it.';
    return new NiiaError('port_taken', `the gateway cannot listen on ${where}: another process does`, hint, options);
  }
  if (isErrno(cause, 'EACCES')) {
    const hint = 'Choose a port from 1024 on with --listen HOST:PORT.';
    return new NiiaError('io', `the gateway cannot listen on ${where}: this user may not`, hint, options);
  }
  if (isErrno(cause, 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN')) {
    const hint = 'Use 127.0.0.1 for this computer only, or 0.0.0.0 for all of its addresses.';
    return new NiiaError(
      'io',
      `the gateway cannot listen on ${where}: ${host} is no address of this computer`,
      hint,
      options,
    );
  }
  return new NiiaError('io', `the gateway cannot listen on ${where}: ${String(cause)}`, undefined, options);
}
