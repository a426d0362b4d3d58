import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { IceOffer } from '../../../daemon/gateway/ice.ts';
import { StunServer } from '../../../daemon/gateway/stun-server.ts';
import { Log } from '../../../daemon/home/log.ts';
import type { IceServer } from '../../../shared/protocol/ice-server.ts';
import { ensureDebianPackages } from '../../setup/debian.mjs';
import { bundleHelper, cleanup, connect, End, ends, Receiver, remove, webRtc } from './support.ts';

let bundle: { folder: string; entry: string };
beforeAll(async () => {
  bundle = await bundleHelper();
});
afterAll(() => remove(bundle.folder));

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  cleanup(() => socket.close());
  return socket;
}

/** A NAT as far as STUN can tell: passes datagrams to a server from an address of its own, and the answers back. */
async function nat(serverPort: number): Promise<{ inside: number; outside: number }> {
  const [inside, outside] = await Promise.all([bound(), bound()]);
  let last = 0;
  inside.on('message', (bytes, from) => {
    last = from.port;
    outside.send(bytes, serverPort, '127.0.0.1');
  });
  outside.on('message', (bytes) => inside.send(bytes, last, '127.0.0.1'));
  return { inside: inside.address().port, outside: outside.address().port };
}

test('an attempt learns from STUN how it is seen from outside, and tells it to the other end', async () => {
  const server = await stunServer();
  const { inside, outside } = await nat(server.port);
  const a = webRtc({ entry: bundle.entry, iceServers: () => [{ urls: [`stun:127.0.0.1:${inside}`] }] });
  const end = new End(a, true);
  const reflexive = (): string[] =>
    end.sent.flatMap((signal) =>
      signal.type === 'candidate' && signal.candidate.candidate.includes('typ srflx')
        ? [signal.candidate.candidate]
        : [],
    );
  await vi.waitFor(() => expect(reflexive().length).toBeGreaterThan(0), { timeout: 10_000 });
  expect(reflexive()[0]).toContain(` 127.0.0.1 ${outside} typ srflx`);
});

test('servers that cannot be used, or do not answer, keep nobody from connecting', async () => {
  const silent = (await bound()).address().port;
  const iceServers = (): IceServer[] => [
    { urls: [`stun:127.0.0.1:${silent}`] },
    { urls: ['stun:no-such-host.invalid:3478'] },
    { urls: [`turn:127.0.0.1:${silent}`] },
    { urls: [`turn:127.0.0.1:${silent}`], username: 'u', credential: 'c' },
  ];
  await connect(webRtc({ entry: bundle.entry, iceServers }), webRtc({ entry: bundle.entry }));
});

test('machines that find no straight way connect through a TURN server, with credentials made from its secret', async () => {
  const url = await turnServer('north');
  const offer = new IceOffer({ urls: [url], secret: 'north' });
  const options = { entry: bundle.entry, relayOnly: true, iceServers: () => offer.at(Date.now())?.servers ?? [] };
  const [a, b] = [webRtc(options), webRtc(options)];
  const [one, other] = ends(a, b);
  const [left, right] = (await Promise.all([one.connected, other.connected])).map((each) => new Receiver(each));
  for (const { sent } of [one, other]) {
    const candidates = sent.flatMap((signal) => (signal.type === 'candidate' ? [signal.candidate.candidate] : []));
    expect(candidates.length).toBeGreaterThan(0);
    for (const candidate of candidates) expect(candidate).toContain('typ relay');
  }
  const chunk = new Uint8Array(50_000);
  for (let count = 0; count < 20; count++) left!.transport.send(chunk);
  await right!.until(() => right!.messages.length === 20);
}, 60_000);

test('a TURN server does not take credentials made from another secret', async () => {
  const url = await turnServer('north');
  const offer = new IceOffer({ urls: [url], secret: 'south' });
  const iceServers = () => offer.at(Date.now())?.servers ?? [];
  const options = { entry: bundle.entry, relayOnly: true, iceServers, timeoutMs: 3_000 };
  const [one, other] = ends(webRtc(options), webRtc(options));
  expect(await one.failure()).toMatchObject({ code: 'timeout' });
  await other.failure();
  expect(one.sent.filter(({ type }) => type === 'candidate')).toEqual([]);
}, 60_000);

async function stunServer(): Promise<StunServer> {
  const port = await freePort();
  const server = await StunServer.start({ host: '127.0.0.1', port, log: new Log('stun') });
  if (!server) throw new Error('STUN is not served');
  cleanup(() => server.close());
  return server;
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

/** Debian's coturn with a shared secret. Returns its URL once it serves. */
async function turnServer(secret: string): Promise<string> {
  const { coturn } = await ensureDebianPackages(['coturn']);
  const port = await freePort();
  const state = join(bundle.folder, `turn-${port}`);
  const args = [
    ...['-n', '--no-cli', '--no-tls', '--no-dtls', '--log-file', 'stdout', '--simple-log', '--realm', 'niia'],
    ...['--listening-ip', '127.0.0.1', '--relay-ip', '127.0.0.1', '--listening-port', String(port)],
    ...['--allow-loopback-peers', '--use-auth-secret', '--static-auth-secret', secret],
    ...['--userdb', `${state}.sqlite`, '--pidfile', `${state}.pid`],
  ];
  const child = spawn(coturn!, args, { stdio: 'ignore' });
  cleanup(async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  const asker = await bound();
  const served = once(asker, 'message');
  const request = Buffer.from('000100002112a442303132333435363738396162', 'hex');
  const asking = setInterval(() => asker.send(request, port, '127.0.0.1'), 50);
  await served;
  clearInterval(asking);
  return `turn:127.0.0.1:${port}`;
}
