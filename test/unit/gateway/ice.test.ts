import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { EmbeddedGateway } from '../../../daemon/gateway/embedded-gateway.ts';
import { IceOffer, turnOptions } from '../../../daemon/gateway/ice.ts';
import { Home } from '../../../daemon/home/home.ts';
import { GatewayClient } from '../../../daemon/mesh/gateway-client.ts';
import { connectWebSocket } from '../../../daemon/mesh/websocket.ts';
import type { IceServer } from '../../../shared/protocol/ice-server.ts';
import { log, newServer, newTeam, Probe, scratch } from './machines.ts';

const url = 'turn:turn.example.org:3478';
const now = Date.parse('2026-01-01T00:00:00Z');

test('a shared secret makes a credential as coturn checks it, good for a day, and new for each welcome', () => {
  const offer = new IceOffer({ urls: [url, 'turns:[2001:db8::1]:443?transport=tcp'], secret: 'north' });
  const [server] = offer.at(now)!.servers!;
  const expires = now / 1_000 + 86_400;
  expect(server).toEqual({
    urls: [url, 'turns:[2001:db8::1]:443?transport=tcp'],
    username: `${expires}:niia`,
    credential: createHmac('sha1', 'north').update(`${expires}:niia`).digest('base64'),
  });
  expect(offer.at(now + 1_000)!.servers![0]!.username).toBe(`${expires + 1}:niia`);
  expect(offer.renewMs).toBe(43_200_000);
});

test('a name and a credential are told as they are', () => {
  const offer = new IceOffer({ urls: [url], user: 'u', credential: 'c' });
  expect(offer.at(now)).toEqual({ servers: [{ urls: [url], username: 'u', credential: 'c' }] });
  expect(offer.renewMs).toBeUndefined();
});

test('secrets may stand in the environment instead of the command line', () => {
  const none = { user: undefined, credential: undefined, secret: undefined };
  const env = { NIIA_TURN_SECRET: 's', NIIA_TURN_CREDENTIAL: 'c' };
  expect(turnOptions({ urls: [url], ...none }, env)).toEqual({ urls: [url], secret: 's' });
  expect(turnOptions({ urls: [url], ...none, user: 'u' }, env)).toEqual({ urls: [url], user: 'u', credential: 'c' });
  expect(turnOptions({ urls: [url], ...none, secret: 't' }, env)).toEqual({ urls: [url], secret: 't' });
  expect(turnOptions({ urls: [], ...none }, {})).toEqual({ urls: [] });
  expect(() => turnOptions({ urls: [], ...none, secret: 't' }, {})).toThrow('no TURN server is given');
});

test.each([
  ['a URL of another kind', { urls: ['http://turn.example.org'], secret: 's' }],
  ['a STUN URL', { urls: ['stun:stun.example.org'], secret: 's' }],
  ['an address without its scheme', { urls: ['turn.example.org:3478'], secret: 's' }],
  ['nothing to show', { urls: [url] }],
  ['a name without a credential', { urls: [url], user: 'u' }],
  ['a secret beside a name', { urls: [url], user: 'u', credential: 'c', secret: 's' }],
  ['an empty secret', { urls: [url], secret: '' }],
])('%s is refused with what to give instead', (_, turn) => {
  expect(() => new IceOffer(turn)).toThrow(expect.objectContaining({ code: 'usage', hint: expect.any(String) }));
});

test('a machine is told of STUN and TURN in its welcome; where there is neither, of nothing [GW-24]', async () => {
  const { roster, machines } = newTeam(['a']);
  const ice = new IceOffer({ urls: [url], user: 'u', credential: 'c' });
  ice.stunPort = 4_242;
  const probe = await Probe.member(newServer({ roster, ice }), machines[0]!, roster);
  expect(probe.all('welcome')[0]!.ice).toEqual({
    stunPort: 4_242,
    servers: [{ urls: [url], username: 'u', credential: 'c' }],
  });
  const without = await Probe.member(newServer({ roster }), machines[0]!, roster);
  expect(without.all('welcome')[0]).not.toHaveProperty('ice');
});

test('credentials are told anew before they expire, to machines that stay connected [GW-24]', async () => {
  const { roster, machines } = newTeam(['a']);
  const ice = new IceOffer({ urls: [url], secret: 'north' }, 2);
  const probe = await Probe.member(newServer({ roster, ice, limits: { tickMs: 20 } }), machines[0]!, roster);
  const before = probe.all('welcome')[0]!.ice!.servers![0]!.username!;
  const now = () => probe.all('ice').at(-1)?.ice.servers?.[0]?.username ?? before;
  // Good for two seconds, and told anew after one.
  await expect.poll(now, { timeout: 2_000 }).not.toBe(before);
});

async function freePort(host: string): Promise<number> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

test.each([
  ['0.0.0.0', 'wss://127.0.0.1', 'stun:127.0.0.1'],
  ['::', 'wss://[::1]', 'stun:[::1]'],
])(
  'a gateway that listens on %s serves STUN beside it, and a machine asks at the host that it dialled',
  async (host, origin, stun) => {
    const { roster, machines } = newTeam(['a']);
    const home = new Home(scratch());
    const port = await freePort(host);
    const gateway = await EmbeddedGateway.start({ home, identity: machines[0]!, roster, host, port, log });
    onTestFinished(() => gateway.close());
    const servers = await new Promise<IceServer[]>((resolve) => {
      const client = new GatewayClient({
        identity: machines[0]!,
        software: 'test',
        roster: () => roster,
        dial: (signal) => connectWebSocket(`${origin}:${port}`, { fingerprint: gateway.fingerprint, signal }),
        events: {
          state: () => undefined,
          present: () => undefined,
          absent: () => undefined,
          circuit: () => undefined,
          guest: () => undefined,
          roster: () => undefined,
          ice: resolve,
        },
        log,
      });
      client.start();
      onTestFinished(() => client.close());
    });
    expect(servers).toEqual([{ urls: [`${stun}:${port}`] }]);
    const socket = createSocket(host === '::' ? 'udp6' : 'udp4');
    onTestFinished(() => void socket.close());
    const answer = once(socket, 'message');
    socket.send(
      Buffer.from('000100002112a442303132333435363738396162', 'hex'),
      port,
      host === '::' ? '::1' : '127.0.0.1',
    );
    expect(((await answer)[0] as Buffer).readUInt16BE(0)).toBe(0x0101);
  },
);

test('a gateway on loopback only serves no STUN, and lets go of the port when it closes', async () => {
  const { roster, machines } = newTeam(['a']);
  const start = (host: string, port: number) =>
    EmbeddedGateway.start({ home: new Home(scratch()), identity: machines[0]!, roster, host, port, log });
  const taken = async (port: number): Promise<boolean> => {
    const socket = createSocket('udp4');
    socket.bind({ port, address: '0.0.0.0', exclusive: true });
    const free = await once(socket, 'listening').then(
      () => true,
      () => false,
    );
    if (free) socket.close();
    return !free;
  };
  const inside = await start('127.0.0.1', await freePort('127.0.0.1'));
  expect(await taken(inside.port)).toBe(false);
  await inside.close();
  const outside = await start('0.0.0.0', await freePort('0.0.0.0'));
  expect(await taken(outside.port)).toBe(true);
  await outside.close();
  expect(await taken(outside.port)).toBe(false);
});
