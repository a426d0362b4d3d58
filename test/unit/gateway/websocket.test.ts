import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { ownCertificate } from '../../../daemon/gateway/certificate.ts';
import { serverLimits } from '../../../daemon/gateway/limits.ts';
import type { ServedGateway } from '../../../daemon/gateway/listener.ts';
import { listenGateway } from '../../../daemon/gateway/listener.ts';
import { proxyFor } from '../../../daemon/mesh/proxy.ts';
import { TransportClosed } from '../../../daemon/mesh/transport-closed.ts';
import type { WebSocketOptions } from '../../../daemon/mesh/websocket.ts';
import { connectWebSocket } from '../../../daemon/mesh/websocket.ts';
import { gatewayClose, gatewayLimits } from '../../../shared/protocol/gateway.ts';
import { Probe, Recorder } from './machines.ts';

const certificateFolder = mkdtempSync(join(tmpdir(), 'niia-certificate-'));
const certificate = await ownCertificate(certificateFolder);
afterAll(() => rmSync(certificateFolder, { recursive: true }));

/** A listener that hands out the accepted transports, over TLS unless told otherwise. */
async function listen({ tls = true } = {}) {
  const accepted = new Recorder<Probe>();
  const server: ServedGateway = {
    ready: true,
    limits: serverLimits,
    accept: (transport) => accepted.push(new Probe(transport)),
    metrics: () => '',
  };
  const listener = await listenGateway({ host: '127.0.0.1', port: 0, tls: tls ? certificate : null, server });
  onTestFinished(() => listener.close());
  return { accepted, url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${listener.port}`, port: listener.port };
}

async function connected(options: WebSocketOptions & { url: string }) {
  const { url, ...rest } = options;
  const connection = await connectWebSocket(url, rest);
  const probe = new Probe(connection.transport);
  onTestFinished(() => connection.transport.close());
  return { ...connection, probe };
}

describe('a WebSocket', () => {
  it('carries binary messages of any length in order, head and body as one', async () => {
    const { accepted, url } = await listen();
    const { transport, fingerprint, pinned } = await connected({ url, fingerprint: certificate.fingerprint });
    expect([fingerprint, pinned]).toEqual([certificate.fingerprint, true]);
    const far = await accepted.first(() => true);
    for (const length of [0, 1, 125, 126, 65_535, 65_536, gatewayLimits.payload]) {
      transport.send(Buffer.from([1, 0, 0, 0, 1]), Buffer.alloc(length, length));
    }
    await far.nextRelay(7);
    expect(far.relayed.map(({ payload }) => payload.length)).toEqual([0, 1, 125, 126, 65_535, 65_536, 131_072]);
  });

  it('says when it is full, and when there is room again; nothing is lost', async () => {
    const { accepted, url } = await listen();
    const { transport, probe } = await connected({ url, fingerprint: certificate.fingerprint });
    const far = await accepted.first(() => true);
    const count = 200;
    for (let sent = 0; sent < count; ) {
      await probe.until(() => transport.writable);
      while (transport.writable && sent < count) probe.relay(sent++, Buffer.alloc(100_000));
    }
    await far.nextRelay(count);
    expect(far.relayed.map(({ index }) => index)).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  it('ends in order after all that was sent, with its close code', async () => {
    const { accepted, url } = await listen();
    const { probe } = await connected({ url, fingerprint: certificate.fingerprint });
    const far = await accepted.first(() => true);
    for (let i = 0; i < 50; i++) far.relay(i, Buffer.alloc(10_000));
    far.transport.close(new TransportClosed(gatewayClose.draining, 'offline', 'the gateway shuts down'));
    const error = await probe.closedWith();
    expect(probe.relayed).toHaveLength(50);
    expect(error).toMatchObject({ closeCode: gatewayClose.draining, message: 'the gateway shuts down' });
  });

  it('that is closed without an error ends without one', async () => {
    const { accepted, url } = await listen();
    const { transport } = await connected({ url, fingerprint: certificate.fingerprint });
    const far = await accepted.first(() => true);
    transport.close();
    expect(await far.closedWith()).toBeUndefined();
  });

  it('ends where a message is too large, on both sides [NET-2]', async () => {
    const { accepted, url } = await listen();
    const { transport, probe } = await connected({ url, fingerprint: certificate.fingerprint });
    const far = await accepted.first(() => true);
    transport.send(Buffer.alloc(gatewayLimits.payload + 1_000));
    expect(await far.closedWith()).toMatchObject({ code: 'too_large' });
    expect(await probe.closedWith()).toMatchObject({ code: 'too_large' });
    expect(far.relayed).toEqual([]);
  });

  it('goes without TLS where the URL says so', async () => {
    const { accepted, url } = await listen({ tls: false });
    const { probe, fingerprint } = await connected({ url });
    probe.relay(1, 'plain');
    const far = await accepted.first(() => true);
    expect((await far.nextRelay()).payload.toString()).toBe('plain');
    expect(fingerprint).toBe('');
  });
});

describe('a dial fails with what, why and what to do', () => {
  const failing = (url: string, options: WebSocketOptions = {}) =>
    connectWebSocket(url, options).then(
      () => Promise.reject(new Error('it connected')),
      (error: unknown) => error,
    );

  it('where another certificate is shown, and not a byte of the request leaves', async () => {
    const { accepted, url } = await listen();
    const error = await failing(url, { fingerprint: 'cd'.repeat(32) });
    expect(error).toMatchObject({ code: 'gateway_unreachable', hint: expect.stringContaining('in between') });
    expect(String(error)).toContain('another certificate');
    expect(accepted.items).toEqual([]);
  });

  it('where the certificate is its own and none was pinned', async () => {
    const { url } = await listen();
    expect(await failing(url)).toMatchObject({
      code: 'gateway_unreachable',
      message: expect.stringContaining('fingerprint'),
    });
  });

  it('where a certificate was pinned and the URL goes without TLS', async () => {
    const { url } = await listen({ tls: false });
    expect(await failing(url, { fingerprint: certificate.fingerprint })).toMatchObject({ code: 'gateway_unreachable' });
  });

  it('where nothing listens', async () => {
    const free = createTcpServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address() as AddressInfo;
    free.close();
    await once(free, 'close');
    expect(await failing(`wss://127.0.0.1:${port}`)).toMatchObject({
      code: 'gateway_unreachable',
      message: `the gateway wss://127.0.0.1:${port} cannot be reached: nothing listens there`,
    });
  });

  it('where nobody answers in time, or the caller gave up', async () => {
    const sockets: Socket[] = [];
    const mute = createTcpServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    onTestFinished(() => {
      mute.close();
      for (const socket of sockets) socket.destroy();
    });
    await once(mute, 'listening');
    const url = `wss://127.0.0.1:${(mute.address() as AddressInfo).port}`;
    expect(await failing(url, { timeoutMs: 50 })).toMatchObject({
      message: expect.stringContaining('no answer within 50 ms'),
    });
    const reason = new Error('given up');
    const abort = new AbortController();
    const outcome = failing(url, { signal: abort.signal });
    abort.abort(reason);
    expect(await outcome).toBe(reason);
  });

  it('where something else answers', async () => {
    const { port } = await listen({ tls: false });
    expect(await failing(`ws://127.0.0.1:${port}/elsewhere`)).toMatchObject({
      code: 'gateway_unreachable',
      message: expect.stringContaining('404'),
    });
  });
});

describe('a proxy', () => {
  /** A CONNECT proxy that takes every name for this computer. */
  async function proxy(answer = '200 Connection established') {
    const asked = new Recorder<{ target: string; auth: string | undefined }>();
    const server = createServer();
    server.on('connect', (request, client: Socket, head: Buffer) => {
      asked.push({ target: request.url ?? '', auth: request.headers['proxy-authorization'] });
      if (!answer.startsWith('200')) {
        client.end(`HTTP/1.1 ${answer}\r\n\r\n`);
        return;
      }
      const upstream = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
        client.write(`HTTP/1.1 ${answer}\r\n\r\n`);
        upstream.write(head);
        upstream.pipe(client).pipe(upstream);
      });
      for (const socket of [client, upstream])
        socket.on('error', () => [client, upstream].map((each) => each.destroy()));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    return { asked, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  it('is used for a gateway elsewhere, with its password, and the certificate is still the pinned one', async () => {
    const { accepted, port } = await listen();
    const { asked, address } = await proxy();
    const env = { HTTPS_PROXY: `http://user:secret@${address}` };
    const url = `wss://gateway.example:${port}`;
    const { probe } = await connected({ url, fingerprint: certificate.fingerprint, env });
    probe.relay(1, 'through');
    const far = await accepted.first(() => true);
    expect((await far.nextRelay()).payload.toString()).toBe('through');
    const auth = `Basic ${Buffer.from('user:secret').toString('base64')}`;
    expect(asked.items).toEqual([{ target: `gateway.example:${port}`, auth }]);
    await expect(connectWebSocket(url, { fingerprint: 'cd'.repeat(32), env })).rejects.toMatchObject({
      message: expect.stringContaining('another certificate'),
    });
  });

  it('that refuses is named as the reason', async () => {
    const { address } = await proxy('407 Proxy Authentication Required');
    const options = { fingerprint: certificate.fingerprint, env: { HTTPS_PROXY: `http://${address}` } };
    await expect(connectWebSocket('wss://gateway.example:7447', options)).rejects.toMatchObject({
      code: 'gateway_unreachable',
      message: expect.stringContaining('the proxy answered HTTP 407'),
    });
  });

  it('is never used for this computer', async () => {
    const { accepted, url } = await listen();
    await connected({ url, fingerprint: certificate.fingerprint, env: { HTTPS_PROXY: 'http://127.0.0.1:1' } });
    await accepted.first(() => true);
  });

  it.each([
    ['gateway.example', '', true],
    ['gateway.example', 'gateway.example', false],
    ['gateway.example', 'other.example, .example', false],
    ['gateway.example', 'ample', true],
    ['gateway.example', '*.example', false],
    ['gateway.example', 'gateway.example:7447', false],
    ['gateway.example', 'gateway.example:443', true],
    ['gateway.example', '*', false],
    ['[2001:db8::1]', '2001:db8::1', false],
    ['[2001:db8::1]', '[2001:db8::1]:7447', false],
    ['localhost', '', false],
    ['127.8.8.8', '', false],
    ['[::1]', '', false],
  ])('for %s with NO_PROXY="%s": %s', (host, exceptions, used) => {
    const env = { HTTPS_PROXY: 'proxy.example:3128', NO_PROXY: exceptions };
    expect(proxyFor(new URL(`wss://${host}:7447`), env)).toBe(used ? 'http://proxy.example:3128' : undefined);
  });

  it('in lower case goes first', () => {
    const env = { https_proxy: 'http://lower:1', HTTPS_PROXY: 'http://upper:1' };
    expect(proxyFor(new URL('wss://gateway.example'), env)).toBe('http://lower:1');
  });
});
