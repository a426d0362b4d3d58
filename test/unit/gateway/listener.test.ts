import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ownCertificate } from '../../../daemon/gateway/certificate.ts';
import type { ServerLimits } from '../../../daemon/gateway/limits.ts';
import { listenGateway } from '../../../daemon/gateway/listener.ts';
import { connectWebSocket } from '../../../daemon/mesh/websocket.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { Roster } from '../../../daemon/team/roster.ts';
import { gatewayClose } from '../../../shared/protocol/gateway.ts';
import { newServer, newTeam, Probe, scratch } from './machines.ts';

/** A gateway that listens: with TLS and its own certificate, or without. */
async function serve({ tls = false, limits }: { tls?: boolean; limits?: Partial<ServerLimits> } = {}) {
  const { roster, machines } = newTeam(['a', 'b']);
  const server = newServer({ roster, ...(limits ? { limits } : {}) });
  const certificate = tls ? await ownCertificate(scratch()) : null;
  const listener = await listenGateway({ host: '127.0.0.1', port: 0, tls: certificate, server });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    server.close();
    closing ??= listener.close();
    return closing;
  };
  onTestFinished(close);
  const origin = `${tls ? 'wss' : 'ws'}://127.0.0.1:${listener.port}`;
  const join = async (machine: Identity, chain: Roster = roster): Promise<Probe> => {
    const options = certificate ? { fingerprint: certificate.fingerprint } : {};
    const probe = new Probe((await connectWebSocket(origin, options)).transport);
    onTestFinished(() => probe.transport.close());
    await probe.hello(machine, chain);
    return probe;
  };
  const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${listener.port}${path}`, init);
  return { server, listener, roster, machines, certificate, join, get, close, port: listener.port };
}

/** A connection that says `text` and nothing more; resolves with all that came until it was ended. */
async function mute(port: number, text = ''): Promise<{ socket: Socket; ended: Promise<string> }> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const chunks: Buffer[] = [];
  const ended = new Promise<string>((resolve) => {
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  });
  await once(socket, 'connect');
  socket.write(text);
  return { socket, ended };
}

describe('over HTTP', () => {
  it('says that it is healthy and ready, and what it did', async () => {
    const { get, join, machines } = await serve();
    const [a, b] = [await join(machines[0]!), await join(machines[1]!)];
    await Promise.all([a.next('welcome'), b.next('welcome')]);
    a.relay(b.index, 'four');
    await b.nextRelay();
    for (const path of ['/healthz', '/readyz']) expect((await get(path)).status).toBe(200);
    const metrics = await get('/metrics');
    expect(metrics.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const text = await metrics.text();
    for (const line of [
      'niia_gateway_connections 2',
      'niia_gateway_teams 1',
      'niia_gateway_guests 0',
      'niia_gateway_relayed_bytes_total 4',
      'niia_gateway_relayed_messages_total 1',
      'niia_gateway_circuit_resets_total 0',
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
    expect(text).toMatch(/\nprocess_resident_memory_bytes \d+\n/);
  });

  it('says while it drains that it is not ready, and takes no machine', async () => {
    const { get, server, machines, join } = await serve();
    const member = await join(machines[0]!);
    await member.next('welcome');
    const draining = server.drain();
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/readyz')).status).toBe(503);
    await expect(join(machines[1]!)).rejects.toMatchObject({ message: expect.stringContaining('shutting down') });
    await draining;
    expect(await member.closedWith()).toMatchObject({ closeCode: gatewayClose.draining });
  });

  it('serves nothing else', async () => {
    const { get, port } = await serve();
    expect((await get('/')).status).toBe(404);
    expect((await get('/v1/connect')).status).toBe(426);
    expect((await get('/healthz', { method: 'POST', body: 'x' })).status).toBe(405);
    const upgrade = 'GET /elsewhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
    expect(await (await mute(port, upgrade)).ended).toContain('404');
    const broken = 'GET /v1/connect HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
    expect(await (await mute(port, broken)).ended).toContain('400');
    expect(await (await mute(port, 'GET // HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).ended).toMatch(/^HTTP/);
    expect((await get('/healthz')).status).toBe(200);
  });

  it('listens where it is told, or says why it cannot', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    const options = { tls: null, server: newServer({}) };
    await expect(listenGateway({ host: '127.0.0.1', port, ...options })).rejects.toMatchObject({
      code: 'port_taken',
      message: `the gateway cannot listen on 127.0.0.1:${port}: another process does`,
      hint: expect.stringContaining('--listen'),
    });
    await expect(listenGateway({ host: '192.0.2.1', port: 0, ...options })).rejects.toMatchObject({
      code: 'io',
      message: expect.stringContaining('no address of this computer'),
    });
  });
});

describe('connections that do not say who they are', () => {
  it('are taken from one address at a rate, and those that are there stay [GW-26]', async () => {
    const { port, join, machines } = await serve({ limits: { connectionsPerSecond: 1, connectionsAtOnce: 3 } });
    const member = await join(machines[0]!);
    await member.next('welcome');
    await mute(port);
    await mute(port);
    expect(await (await mute(port)).ended).toBe('');
    await member.settled();
    expect(member.isClosed).toBe(false);
    // The next second has room for one more.
    const comesIn = () => join(machines[1]!).catch(() => undefined);
    await expect.poll(comesIn, { timeout: 10_000 }).toBeDefined();
  });

  it('hold only so many places of an address, and give them back', async () => {
    const { port, join, machines } = await serve({ limits: { greetingsPerAddress: 3 } });
    const member = await join(machines[0]!);
    await member.next('welcome');
    const idle = await Promise.all([mute(port), mute(port), mute(port)]);
    expect(await (await mute(port)).ended).toBe('');
    idle[0]!.socket.destroy();
    await idle[0]!.ended;
    // The server hears of the end a moment after the client.
    for (;;) {
      const next = await mute(port, 'GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
      if ((await next.ended).startsWith('HTTP/1.1 200')) break;
    }
    await member.settled();
    expect(member.isClosed).toBe(false);
  });

  it('hold none once they are members, with TLS as without', async () => {
    const { join, machines } = await serve({ tls: true, limits: { greetingsPerAddress: 1 } });
    for (let i = 0; i < 3; i++) {
      const a = await join(machines[0]!);
      await a.next('welcome');
      const b = await join(machines[1]!);
      await b.next('welcome');
      b.transport.close();
      await a.next('absent');
    }
  });

  it('are cut off when they trickle their request', async () => {
    const { port } = await serve({ limits: { requestMs: 600 } });
    const started = performance.now();
    const slow = await mute(port, 'GET /v1/connect HTTP/1.1\r\n');
    const trickle = setInterval(() => slow.socket.write('x: y\r\n'), 50);
    expect(await slow.ended).not.toContain('200');
    clearInterval(trickle);
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it('are cut off when they do not greet, and when they do not shake hands', async () => {
    const { roster, machines, join, port, certificate } = await serve({
      tls: true,
      limits: { helloMs: 50, tickMs: 20 },
    });
    const secure = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    onTestFinished(() => void secure.destroy());
    await once(secure, 'secureConnect');
    const silent = new Probe(
      (await connectWebSocket(`wss://127.0.0.1:${port}`, { fingerprint: certificate!.fingerprint })).transport,
    );
    expect(await silent.closedWith()).toMatchObject({ closeCode: gatewayClose.protocol });
    const noTls = await mute(port, 'this is no handshake');
    await noTls.ended;
    const member = await join(machines[0]!, roster);
    await member.next('welcome');
  });
});

describe('the certificate', () => {
  it('is made once, private to its user, and good for ten years', async () => {
    const dir = scratch();
    const first = await ownCertificate(dir);
    const second = await ownCertificate(dir);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(first.selfSigned).toBe(true);
    expect(statSync(join(dir, 'certificate.pem')).mode & 0o777).toBe(0o600);
    const { X509Certificate } = await import('node:crypto');
    const years = (Date.parse(new X509Certificate(first.cert).validTo) - Date.now()) / (365.25 * 86_400_000);
    expect(years).toBeGreaterThan(9.9);
  });
});

describe('a listener', () => {
  it('that is closed leaves no connection behind', async () => {
    const { join, machines, close, port } = await serve({ tls: true });
    const member = await join(machines[0]!);
    await member.next('welcome');
    await mute(port);
    const started = performance.now();
    await close();
    // Nobody waits for a connection that never said anything.
    expect(performance.now() - started).toBeLessThan(1_500);
    await member.closedWith();
    const late = connect(port, '127.0.0.1');
    const [error] = await once(late, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });
});
