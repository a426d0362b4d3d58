import { describe, expect, it } from 'vitest';
import { serverLimits } from '../../../daemon/gateway/limits.ts';
import { encodePing, encodeRelay } from '../../../daemon/mesh/gateway-wire.ts';
import type { TransportClosed } from '../../../daemon/mesh/transport-closed.ts';
import { gatewayClose, gatewayFrame, gatewayLimits } from '../../../shared/protocol/gateway.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import type { TransportHandler } from '../../../shared/transport/transport.ts';
import { at, memberOf, newIdentity, newServer, newTeam, Probe, scratch } from './machines.ts';

/** Like a socket whose other side stopped to read: takes nothing more until `resume`. */
async function stallable(...[server, identity, roster]: Parameters<typeof Probe.member>) {
  const [ours, theirs] = memoryTransportPair();
  const probe = new Probe(ours);
  let stalled = false;
  let handler: TransportHandler | undefined;
  const held: Uint8Array[] = [];
  server.accept(
    {
      start: (user) => {
        handler = user;
        theirs.start(user);
      },
      send: (head, body) => {
        if (stalled) held.push(Buffer.concat(body ? [head, body] : [head]));
        else theirs.send(head, body);
      },
      get writable() {
        return !stalled && theirs.writable;
      },
      close: (error) => theirs.close(error),
    },
    { address: '192.0.2.2' },
  );
  await probe.hello(identity, roster);
  await probe.next('welcome');
  return {
    probe,
    stall: () => {
      stalled = true;
    },
    resume: () => {
      stalled = false;
      for (const message of held.splice(0)) theirs.send(message);
      handler?.writable();
    },
  };
}

describe('presence', () => {
  it('a machine that closes is absent at once, and its last seen time is kept [GW-7]', async () => {
    const dir = scratch();
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster, dir });
    const a = await Probe.member(server, machines[0]!, roster);
    const b = await Probe.member(server, machines[1]!, roster);
    b.transport.close();
    const absent = await a.next('absent');
    expect(absent).toMatchObject({ machine: machines[1]!.id, index: b.index });
    const again = await Probe.member(server, machines[0]!, roster);
    expect((await again.next('welcome')).absent).toEqual([{ machine: machines[1]!.id, lastSeen: absent.lastSeen }]);
  });

  it('a machine that fell silent is pinged, and absent within the time of silence and one tick [GW-14]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster, limits: { pingMs: 60, silentMs: 200, tickMs: 20 } });
    const a = await Probe.member(server, machines[0]!, roster);
    const b = await Probe.member(server, machines[1]!, roster);
    const silentSince = performance.now();
    b.answersPings = false;
    await a.next('absent');
    expect(performance.now() - silentSince).toBeGreaterThan(150);
    expect(performance.now() - silentSince).toBeLessThan(1_000);
    expect(await b.closedWith()).toMatchObject({ code: 'offline' });
    await a.settled();
    expect(a.isClosed).toBe(false);
  });

  it('silence is noticed within 10 s by the limits that are in force [GW-14]', () => {
    expect(serverLimits.silentMs + serverLimits.tickMs).toBeLessThan(10_000);
  });

  it('a second connection of a machine takes the place of the first [GW-9]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    const first = await Probe.member(server, machines[1]!, roster);
    const second = await Probe.member(server, machines[1]!, roster);
    expect((await first.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.replaced });
    expect((await a.next('absent')).index).toBe(first.index);
    expect((await a.next('present', 2)).index).toBe(second.index);
    a.relay(second.index, 'for the second');
    expect((await second.nextRelay()).payload.toString()).toBe('for the second');
  });
});

describe('a machine that is alone', () => {
  it('and connects again is found by those who come later', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster });
    await Probe.member(server, machines[0]!, roster);
    const a = await Probe.member(server, machines[0]!, roster);
    const b = await Probe.member(server, machines[1]!, roster);
    expect((await b.next('welcome')).present).toMatchObject([{ machine: machines[0]!.id, index: a.index }]);
  });
});

describe('relay', () => {
  async function two() {
    const { roster, machines } = newTeam(['a', 'b', 'c']);
    const server = newServer({ roster });
    const [a, b, c] = await Promise.all(machines.map((machine) => Probe.member(server, machine, roster)));
    return { roster, machines, server, a: a!, b: b!, c: c! };
  }

  it('carries bytes both ways, in order, and says whose they are [GW-10]', async () => {
    const { a, b } = await two();
    for (let i = 0; i < 100; i++) a.relay(b.index, `message ${i}`);
    b.relay(a.index, 'back');
    await b.nextRelay(100);
    expect(b.relayed.map(({ index, payload }) => [index, payload.toString()])).toEqual(
      Array.from({ length: 100 }, (_, i) => [a.index, `message ${i}`]),
    );
    expect(await a.nextRelay()).toEqual({ index: b.index, payload: Buffer.from('back') });
  });

  it('to a forged index, to oneself or to one that left reaches nobody and harms nobody [GW-8]', async () => {
    const { a, b, c, server } = await two();
    const other = newTeam(['x']);
    server.updateRoster(other.roster);
    const stranger = await Probe.member(server, other.machines[0]!, other.roster);
    c.transport.close();
    await a.next('absent');
    for (const index of [stranger.index, a.index, c.index, 0, 0xffffffff]) a.relay(index, 'lost');
    a.relay(b.index, 'found');
    expect((await b.nextRelay()).payload.toString()).toBe('found');
    await Promise.all([a.settled(), stranger.settled()]);
    expect([a.relayed, stranger.relayed, c.relayed]).toEqual([[], [], []]);
    expect(server.counters.droppedMessages).toBe(5);
  });

  it.each([
    ['too large a payload', encodeRelay(1, Buffer.alloc(gatewayLimits.payload + 1))],
    ['too short a message', Buffer.from([gatewayFrame.relay, 0, 0])],
    ['a ping without a token', Buffer.from([gatewayFrame.ping])],
    ['an unknown kind', Buffer.from([9, 9, 9])],
    ['nothing', Buffer.alloc(0)],
    ['control that is not JSON', Buffer.from('\0{')],
    ['control that no machine sends', Buffer.from('\0{"type":"welcome"}')],
  ])('%s ends the connection that sent it, and no other', async (_, bytes) => {
    const { a, b } = await two();
    a.transport.send(bytes);
    expect((await a.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.protocol });
    await b.settled();
    expect(b.isClosed).toBe(false);
  });

  it('a machine that sends control messages too fast is cut off [GW-15]', async () => {
    const { a, b } = await two();
    for (let i = 0; i <= gatewayLimits.controlPerSecond * 60 + 200; i++) a.transport.send(encodePing(2, i));
    expect((await a.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.tooFast });
    await b.settled();
  });

  it('of the largest payload passes [GW-10]', async () => {
    const { a, b } = await two();
    a.relay(b.index, Buffer.alloc(gatewayLimits.payload, 5));
    expect((await b.nextRelay()).payload.equals(Buffer.alloc(gatewayLimits.payload, 5))).toBe(true);
  });
});

describe('a machine that stopped to read', () => {
  const payload = Buffer.alloc(32 << 10, 1);

  async function setUp(circuit = 1 << 20) {
    const { roster, machines } = newTeam(['a', 'b', 'c']);
    const server = newServer({ roster, limits: { circuit } });
    const a = await Probe.member(server, machines[0]!, roster);
    const c = await Probe.member(server, machines[2]!, roster);
    const stalled = await stallable(server, machines[1]!, roster);
    return { server, a, c, b: stalled.probe, ...stalled };
  }

  it('delays nobody else, and gets what waited once it reads again [GW-13]', async () => {
    const { a, c, b, stall, resume } = await setUp();
    stall();
    for (let i = 0; i < 20; i++) a.relay(b.index, payload);
    c.relay(b.index, 'from c');
    a.relay(c.index, 'beside it');
    expect((await c.nextRelay()).payload.toString()).toBe('beside it');
    expect(b.relayed).toEqual([]);
    resume();
    await b.nextRelay(21);
    // Senders take turns: one message of c does not wait for twenty of a.
    expect(b.relayed.findIndex(({ index }) => index === c.index)).toBeLessThan(2);
    expect(b.relayed.filter(({ index }) => index === a.index)).toHaveLength(20);
  });

  it('costs the flooding circuit only: both its ends are told, another goes on whole [GW-11]', async () => {
    const { server, a, c, b, stall, resume } = await setUp();
    stall();
    for (let i = 0; i < 10; i++) c.relay(b.index, `c ${i}`);
    await c.settled();
    for (let i = 0; i < 40; i++) a.relay(b.index, payload);
    expect((await a.next('circuit-reset')).index).toBe(b.index);
    await a.settled();
    expect(server.counters.circuitResets).toBe(1);
    resume();
    expect((await b.next('circuit-reset')).index).toBe(a.index);
    await b.nextRelay(10);
    await b.settled();
    expect(b.relayed.map(({ payload }) => payload.toString())).toEqual(Array.from({ length: 10 }, (_, i) => `c ${i}`));
    expect(c.all('circuit-reset')).toEqual([]);
    a.relay(b.index, 'anew');
    expect((await b.nextRelay(11)).payload.toString()).toBe('anew');
  });

  it('after a reset, nothing that was sent before the sender knew of it is mixed into what follows [GW-12]', async () => {
    const { a, b, stall, resume } = await setUp();
    a.answersPings = false;
    stall();
    for (let i = 0; i < 40; i++) a.relay(b.index, payload);
    await a.next('circuit-reset');
    a.relay(b.index, 'stale');
    resume();
    await b.next('circuit-reset');
    await a.settled();
    expect(b.relayed).toEqual([]);
  });

  it('is cut off before its control messages fill the memory [GW-13]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster, limits: { controlBacklog: 4_096 } });
    const a = await Probe.member(server, machines[0]!, roster);
    const { probe, stall } = await stallable(server, machines[1]!, roster);
    stall();
    for (let i = 0; i < 100; i++) {
      const flapping = await Probe.member(server, machines[0]!, roster);
      if (probe.isClosed) break;
      await flapping.settled();
    }
    expect((await probe.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.tooFast });
    expect(a.isClosed).toBe(true);
  });
});

describe('the roster', () => {
  it('a newer one that a member brings reaches the others, and ends whoever it removes [GW-16]', async () => {
    const { roster, machines } = newTeam(['a', 'b', 'c']);
    const server = newServer({ roster });
    const [a, b, c] = await Promise.all(machines.map((machine) => Probe.member(server, machine, roster)));
    const newer = roster.append({ op: 'remove', machine: machines[2]!.id }, machines[0]!, at);
    a!.sendRoster(newer);
    expect((await b!.next('roster')).statements).toEqual(newer.statements);
    expect((await c!.next('refused')).error.code).toBe('not_a_member');
    expect((await c!.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.refused });
    await b!.next('absent');
    await a!.settled();
    expect(a!.all('roster')).toEqual([]);
  });

  it('an older one changes nothing [GW-16]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const newer = roster.append(memberOf(newIdentity('c')), machines[0]!, at);
    const server = newServer({ roster: newer });
    const a = await Probe.member(server, machines[0]!, newer);
    const b = await Probe.member(server, machines[1]!, roster);
    // It said that its chain is another: it gets the gateway's, and is asked for its own.
    expect((await b.next('roster')).statements).toEqual(newer.statements);
    await b.next('roster-wanted');
    b.sendRoster(roster);
    await b.settled();
    expect(a.all('roster')).toEqual([]);
    expect(b.isClosed).toBe(false);
  });

  it('that is forged ends the connection it came on [GW-16]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    const b = await Probe.member(server, machines[1]!, roster);
    b.send({ type: 'roster', statements: [...roster.statements, { body: '{}', sig: 'forged' }] });
    expect((await b.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.protocol });
    await a.settled();
    expect(a.all('roster')).toEqual([]);
  });

  it('is kept: after a restart the members come in without the secret [GW-16]', async () => {
    const dir = scratch();
    const { roster, machines } = newTeam(['a', 'b']);
    const first = newServer({ roster, dir });
    const a = await Probe.member(first, machines[0]!, roster);
    await Probe.member(first, machines[1]!, roster);
    await first.drain();
    expect((await a.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.draining });
    const second = newServer({ dir });
    const again = await Probe.member(second, machines[0]!, roster);
    expect((await again.next('welcome')).absent).toEqual([{ machine: machines[1]!.id, lastSeen: expect.any(String) }]);
  });

  it('of another team takes the place of the one before where the daemon changed teams', async () => {
    const { roster, machines } = newTeam(['a']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    server.dropTeam(roster.team.id);
    expect((await a.next('refused')).error.code).toBe('not_a_member');
    const probe = Probe.to(server);
    await probe.hello(machines[0]!, roster);
    expect((await probe.next('refused')).error.code).toBe('denied');
  });
});

describe('a drain', () => {
  it('tells the machines, lets out what is on its way, and then ends the connections [GW-18]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster });
    const a = await Probe.member(server, machines[0]!, roster);
    const { probe: b, stall, resume } = await stallable(server, machines[1]!, roster);
    stall();
    for (let i = 0; i < 20; i++) a.relay(b.index, `message ${i}`);
    await a.settled();
    const drained = server.drain();
    expect(server.ready).toBe(false);
    await a.next('draining');
    resume();
    await drained;
    expect((await b.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.draining });
    expect(b.relayed).toHaveLength(20);
    const late = Probe.to(server);
    expect((await late.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.draining });
  });

  it('does not wait for ever for a machine that does not read [GW-18]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const server = newServer({ roster, limits: { drainMs: 50 } });
    const a = await Probe.member(server, machines[0]!, roster);
    const { probe: b, stall } = await stallable(server, machines[1]!, roster);
    stall();
    a.relay(b.index, 'never read');
    await a.settled();
    await server.drain();
    await a.closedWith();
  });
});
