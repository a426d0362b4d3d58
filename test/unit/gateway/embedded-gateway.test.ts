import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EmbeddedGateway } from '../../../daemon/gateway/embedded-gateway.ts';
import { Home } from '../../../daemon/home/home.ts';
import { GatewayClient } from '../../../daemon/mesh/gateway-client.ts';
import { connectGuest } from '../../../daemon/mesh/guest-client.ts';
import { connectWebSocket } from '../../../daemon/mesh/websocket.ts';
import { ticketHash } from '../../../daemon/team/invite-code.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { Transport } from '../../../shared/transport/transport.ts';
import { at, log, memberOf, newIdentity, newTeam, Probe, Recorder, scratch } from './machines.ts';

const urlOf = ({ port }: { port: number }): string => `wss://127.0.0.1:${port}`;

async function embed() {
  const { roster, machines } = newTeam(['a', 'b']);
  const home = new Home(scratch());
  const gateway = await EmbeddedGateway.start({
    home,
    identity: machines[0]!,
    roster,
    host: '127.0.0.1',
    port: 0,
    log,
  });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= gateway.close();
    return closing;
  };
  onTestFinished(close);
  const own = new Probe(gateway.connect());
  await own.hello(machines[0]!, roster);
  await own.next('welcome');
  const dial = async (): Promise<Probe> => {
    const { transport } = await connectWebSocket(urlOf(gateway), { fingerprint: gateway.fingerprint });
    onTestFinished(() => transport.close());
    return new Probe(transport);
  };
  return { gateway, home, roster, machines, own, dial, close };
}

/** What came out of a lane. */
function listen(lane: Transport): Recorder<string> {
  const heard = new Recorder<string>();
  lane.start({
    message: (bytes) => heard.push(Buffer.from(bytes).toString()),
    writable: () => undefined,
    closed: (error) => heard.push(`closed ${error?.message ?? ''}`.trim()),
  });
  return heard;
}

describe('an embedded gateway', () => {
  it('joins its own daemon, in process, with machines that come over TLS', async () => {
    const { roster, machines, own, dial } = await embed();
    const b = await dial();
    await b.hello(machines[1]!, roster);
    const welcome = await b.next('welcome');
    expect(welcome.address).toBe('127.0.0.1');
    b.relay(welcome.present[0]!.index, 'over TLS');
    const { index, payload } = await own.nextRelay();
    expect(payload.toString()).toBe('over TLS');
    own.relay(index, 'in process');
    expect((await b.nextRelay()).payload.toString()).toBe('in process');
  });

  it('serves its own team only, and the team its machine changed to', async () => {
    const { gateway, dial, own } = await embed();
    const other = newTeam(['x']);
    const early = await dial();
    await early.hello(other.machines[0]!, other.roster, { admit: Buffer.alloc(16).toString('base64url') });
    expect((await early.next('refused')).error.code).toBe('denied');
    gateway.updateRoster(other.roster);
    expect((await own.next('refused')).error.code).toBe('not_a_member');
    const late = await dial();
    await late.hello(other.machines[0]!, other.roster);
    await late.next('welcome');
  });

  it('learns of a new member from its daemon', async () => {
    const { gateway, roster, machines, dial } = await embed();
    const c = newIdentity('c');
    const newer = roster.append(memberOf(c), machines[0]!, at);
    gateway.updateRoster(newer);
    const probe = await dial();
    await probe.hello(c, newer);
    await probe.next('welcome');
  });

  it('keeps its certificate over a restart, and says that its port is taken', async () => {
    const { gateway, home, roster, machines, close } = await embed();
    const again = { home, identity: machines[0]!, roster, host: '127.0.0.1', port: gateway.port, log };
    await expect(EmbeddedGateway.start(again)).rejects.toMatchObject({ code: 'port_taken' });
    await close();
    const restarted = await EmbeddedGateway.start(again);
    onTestFinished(() => restarted.close());
    expect([restarted.port, restarted.fingerprint]).toEqual([gateway.port, gateway.fingerprint]);
  });

  it('is found again by a machine that dials it over TLS, as soon as it is back', async () => {
    const { gateway, home, roster, machines, own, close } = await embed();
    const states = new Recorder<string>();
    const heard = new Recorder<string>();
    const client = new GatewayClient({
      identity: machines[1]!,
      software: 'test',
      roster: () => roster,
      dial: (signal) => connectWebSocket(urlOf(gateway), { fingerprint: gateway.fingerprint, signal }),
      events: {
        state: ({ state }) => states.push(state),
        present: () => undefined,
        absent: () => undefined,
        circuit: (machine, circuit) => {
          heard.push(`circuit to ${machine}`);
          circuit.start({
            message: (bytes) => circuit.send(bytes),
            writable: () => undefined,
            closed: () => heard.push('closed'),
          });
        },
        guest: () => undefined,
        roster: () => undefined,
      },
      log,
    });
    onTestFinished(() => client.close());
    client.start();
    const { index } = await own.next('present');
    own.relay(index, 'echo');
    expect((await own.nextRelay()).payload.toString()).toBe('echo');
    await close();
    await heard.first((item) => item === 'closed');
    const restarted = await EmbeddedGateway.start({
      home,
      identity: machines[0]!,
      roster,
      host: '127.0.0.1',
      port: gateway.port,
      log,
    });
    onTestFinished(() => restarted.close());
    const again = new Probe(restarted.connect());
    await again.hello(machines[0]!, roster);
    const { present } = await again.next('welcome');
    const back = present[0]?.index ?? (await again.next('present')).index;
    again.relay(back, 'again');
    expect((await again.nextRelay()).payload.toString()).toBe('again');
    expect(states.items).toEqual(['connecting', 'connected', 'connecting', 'connected']);
  });

  it('drains when it is closed', async () => {
    const { own, close } = await embed();
    await close();
    expect(own.all('draining')).toHaveLength(1);
    expect(own.isClosed).toBe(true);
  });
});

describe('a guest', () => {
  const signal = new AbortController().signal;

  async function invited() {
    const set = await embed();
    set.own.send({
      type: 'ticket',
      hash: ticketHash('ticket'),
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
    });
    await set.own.settled();
    const options = { urls: [urlOf(set.gateway)], fingerprint: set.gateway.fingerprint, ticket: 'ticket', signal };
    return { ...set, options };
  }

  it('gets a lane to the inviter by the first address that answers', async () => {
    const { own, options, gateway } = await invited();
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const dead = `wss://127.0.0.1:${(free.address() as AddressInfo).port}`;
    free.close();
    const lane = await connectGuest({ ...options, urls: [dead, urlOf(gateway)] });
    const heard = listen(lane);
    lane.send(Buffer.from('kno'), Buffer.from('ck'));
    const { index, payload } = await own.nextRelay();
    expect(payload.toString()).toBe('knock');
    own.relay(index, 'come in');
    own.send({ type: 'guest-end', index });
    await heard.first((item) => item.startsWith('closed'));
    expect(heard.items).toEqual(['come in', 'closed']);
    await own.next('guest-gone');
  });

  it('ends its lane by closing it', async () => {
    const { own, options } = await invited();
    const lane = await connectGuest(options);
    listen(lane);
    lane.send(Buffer.from('bye'));
    lane.close();
    expect((await own.nextRelay()).payload.toString()).toBe('bye');
    await own.next('guest-gone');
  });

  it('is told by its code why it may not come in', async () => {
    const { own, options } = await invited();
    await expect(connectGuest({ ...options, ticket: 'wrong' })).rejects.toMatchObject({ code: 'denied' });
    own.send({ type: 'ticket-drop', hash: ticketHash('ticket') });
    await own.settled();
    await expect(connectGuest(options)).rejects.toMatchObject({ code: 'code_used', hint: expect.any(String) });
  });

  it('goes nowhere where the gateway is another than the code says, or none answers, or the caller gave up', async () => {
    const { options, own } = await invited();
    const unreachable = { code: 'gateway_unreachable' };
    await expect(connectGuest({ ...options, fingerprint: 'cd'.repeat(32) })).rejects.toMatchObject(unreachable);
    await expect(connectGuest({ ...options, urls: ['wss://127.0.0.1:1'] })).rejects.toMatchObject(unreachable);
    const reason = new NiiaError('cancelled', 'given up');
    await expect(connectGuest({ ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await own.settled();
    expect(own.all('guest')).toEqual([]);
  });
});
