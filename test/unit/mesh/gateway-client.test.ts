import { describe, expect, it, onTestFinished } from 'vitest';
import type { GatewayServer } from '../../../daemon/gateway/server.ts';
import type { GatewayClientOptions, GatewayClientState } from '../../../daemon/mesh/gateway-client.ts';
import { GatewayClient } from '../../../daemon/mesh/gateway-client.ts';
import type { Identity } from '../../../daemon/team/identity.ts';
import { ticketHash } from '../../../daemon/team/invite-code.ts';
import type { Roster, SignedStatement } from '../../../daemon/team/roster.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { gatewayLimits } from '../../../shared/protocol/gateway.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import type { Transport } from '../../../shared/transport/transport.ts';
import {
  at,
  fingerprint,
  log,
  memberOf,
  newIdentity,
  newServer,
  newTeam,
  Probe,
  Recorder,
  scratch,
} from '../gateway/machines.ts';

type Event =
  | { type: 'state'; state: GatewayClientState }
  | { type: 'present' | 'absent'; machine: string; at: string | null }
  | { type: 'circuit'; machine: string; pipe: Pipe }
  | { type: 'guest'; hash: string; pipe: Pipe }
  | { type: 'roster'; statements: SignedStatement[] };

/** What came out of a circuit or lane. */
class Pipe {
  readonly received = new Recorder<Buffer | { closed: Error | undefined }>();
  drained = 0;

  constructor(readonly transport: Transport) {
    transport.start({
      message: (bytes) => this.received.push(Buffer.from(bytes)),
      writable: () => this.drained++,
      closed: (closed) => this.received.push({ closed }),
    });
  }

  send(text: string): void {
    this.transport.send(Buffer.from(text.slice(0, 1)), Buffer.from(text.slice(1)));
  }

  async text(): Promise<string> {
    const first = await this.received.first(Buffer.isBuffer);
    return String(first);
  }

  async closed(): Promise<Error | undefined> {
    const end = await this.received.first((item) => !Buffer.isBuffer(item));
    return Buffer.isBuffer(end) ? undefined : end.closed;
  }
}

/** A client of whatever `current.server` is; `events` has all that it told. */
function newClient(
  current: { server: GatewayServer | undefined; links?: Transport[] },
  identity: Identity,
  roster: Roster,
  change: Partial<GatewayClientOptions> = {},
) {
  const events = new Recorder<Event>();
  const held = { roster };
  const client = new GatewayClient({
    identity,
    software: 'test',
    roster: () => held.roster,
    dial: async () => {
      if (!current.server) throw new NiiaError('gateway_unreachable', 'the gateway is down');
      const [ours, theirs] = memoryTransportPair();
      current.links?.push(theirs);
      current.server.accept(theirs, { address: 'in-process' });
      return { transport: ours, fingerprint };
    },
    events: {
      state: (state) => events.push({ type: 'state', state }),
      present: (machine, since) => events.push({ type: 'present', machine, at: since }),
      absent: (machine, lastSeen) => events.push({ type: 'absent', machine, at: lastSeen }),
      circuit: (machine, circuit) => events.push({ type: 'circuit', machine, pipe: new Pipe(circuit) }),
      guest: (hash, lane) => events.push({ type: 'guest', hash, pipe: new Pipe(lane) }),
      roster: (statements) => events.push({ type: 'roster', statements }),
    },
    log,
    random: () => 0,
    ...change,
  });
  onTestFinished(() => client.close());
  const seen = <T extends Event['type']>(type: T, from = 0) =>
    events.first((event) => event.type === type, from) as Promise<Extract<Event, { type: T }>>;
  const stateIs = async (state: GatewayClientState['state'], from = 0): Promise<GatewayClientState> => {
    const found = await events.first((event) => event.type === 'state' && event.state.state === state, from);
    if (found.type !== 'state') throw new Error('unreachable');
    return found.state;
  };
  return { client, events, seen, stateIs, held };
}

async function twoClients() {
  const { roster, machines } = newTeam(['a', 'b']);
  const current = { server: newServer({ roster }) as GatewayServer | undefined };
  const a = newClient(current, machines[0]!, roster);
  a.client.start();
  await a.stateIs('connected');
  const b = newClient(current, machines[1]!, roster);
  b.client.start();
  const [toB, toA] = await Promise.all([a.seen('circuit'), b.seen('circuit')]);
  return { roster, machines, current, a, b, toB, toA };
}

describe('a gateway client', () => {
  it('gives a pipe to each machine that is present, and says who is absent [GW-7]', async () => {
    const { a, machines, toB, toA } = await twoClients();
    expect(toB.machine).toBe(machines[1]!.id);
    expect(toA.machine).toBe(machines[0]!.id);
    expect(a.events.items.map((event) => (event.type === 'state' ? event.state.state : event.type))).toEqual([
      'connecting',
      'connected',
      'absent',
      'present',
      'circuit',
    ]);
    toB.pipe.send('hello b');
    expect(await toA.pipe.text()).toBe('hello b');
    toA.pipe.send('hello a');
    expect(await toB.pipe.text()).toBe('hello a');
  });

  it('refuses to send what no gateway would relay', async () => {
    const { toB, toA } = await twoClients();
    expect(() => toB.pipe.transport.send(Buffer.alloc(gatewayLimits.payload + 1))).toThrow(NiiaError);
    toB.pipe.transport.send(Buffer.alloc(5), Buffer.alloc(gatewayLimits.payload - 5));
    expect((await toA.pipe.text()).length).toBe(gatewayLimits.payload);
  });

  it('ends the pipe of a machine that leaves, and gives a fresh one when it is back', async () => {
    const { a, b, toB, machines } = await twoClients();
    const mark = a.events.items.length;
    await b.client.close();
    expect(await toB.pipe.closed()).toMatchObject({ code: 'offline' });
    expect(await a.seen('absent', mark)).toMatchObject({ machine: machines[1]!.id });
    b.client.start();
    const fresh = await a.seen('circuit', mark);
    fresh.pipe.send('again');
    const other = b.events.items.filter((event) => event.type === 'circuit').at(-1);
    expect(other?.type === 'circuit' && (await other.pipe.text())).toBe('again');
  });

  it('comes back by itself when the gateway restarts, with pipes and tickets', async () => {
    const dir = scratch();
    const { roster, machines } = newTeam(['a', 'b']);
    const current = { server: newServer({ roster, dir }) as GatewayServer | undefined };
    const a = newClient(current, machines[0]!, roster);
    const b = newClient(current, machines[1]!, roster);
    a.client.offerTicket(ticketHash('ticket'), new Date(Date.now() + 60_000).toISOString());
    a.client.start();
    b.client.start();
    const { pipe } = await a.seen('circuit');
    for (let round = 0; round < 3; round++) {
      const mark = a.events.items.length;
      const old = current.server;
      current.server = undefined;
      old?.close();
      const down = await a.stateIs('connecting', mark);
      expect(down.error).toMatchObject({ code: 'offline' });
      current.server = newServer({ dir });
      await a.stateIs('connected', mark);
      await a.seen('circuit', mark);
    }
    expect(await pipe.closed()).toMatchObject({ code: 'offline' });
    const guest = Probe.to(current.server!);
    await guest.guest('ticket');
    await guest.next('lane');
  });

  it('says that the gateway refused it, and tries again when the roster changes', async () => {
    const { roster, machines } = newTeam(['a']);
    const current = { server: newServer({ roster }) };
    const stranger = newIdentity('b');
    const { client, stateIs, held } = newClient(current, stranger, roster);
    client.start();
    expect((await stateIs('refused')).error).toMatchObject({ code: 'not_a_member', hint: expect.any(String) });
    held.roster = roster.append(memberOf(stranger), machines[0]!, at);
    client.rosterChanged();
    await stateIs('connected');
  });

  it('does not fight with another process of the same machine [GW-9]', async () => {
    const { roster, machines } = newTeam(['a']);
    const current = { server: newServer({ roster }) };
    const { client, stateIs } = newClient(current, machines[0]!, roster);
    client.start();
    await stateIs('connected');
    const other = await Probe.member(current.server, machines[0]!, roster);
    expect((await stateIs('refused')).error?.message).toContain('connected again');
    await other.settled();
    expect(other.isClosed).toBe(false);
  });

  it('hands chains on, and does not send back what it was given', async () => {
    const { roster, machines, a, b, current } = await twoClients();
    const newer = roster.append(memberOf(newIdentity('c')), machines[0]!, at);
    a.held.roster = newer;
    a.client.rosterChanged();
    expect((await b.seen('roster')).statements).toEqual(newer.statements);
    b.held.roster = newer;
    b.client.rosterChanged();
    const c = await Probe.member(current.server!, machines[0]!, newer);
    await c.settled();
    expect(c.all('roster')).toEqual([]);
  });

  it('gets a guest, talks with it, and sends it away', async () => {
    const { roster, machines } = newTeam(['a']);
    const current = { server: newServer({ roster }) };
    const { client, seen, stateIs } = newClient(current, machines[0]!, roster);
    client.start();
    await stateIs('connected');
    const hash = ticketHash('ticket');
    client.offerTicket(hash, new Date(Date.now() + 60_000).toISOString());
    const probe = Probe.to(current.server);
    await probe.next('challenge');
    // The ticket goes a way of its own: it is there once the gateway has answered the client again.
    await new Promise((resolve) => setImmediate(resolve));
    await probe.guest('ticket');
    const { index } = await probe.next('lane');
    const guest = await seen('guest');
    expect(guest.hash).toBe(hash);
    probe.relay(index, 'knock');
    expect(await guest.pipe.text()).toBe('knock');
    guest.pipe.send('bye');
    guest.pipe.transport.close();
    expect((await probe.nextRelay()).payload.toString()).toBe('bye');
    await probe.closedWith();
    client.dropTicket(hash);
  });

  it('replaces a pipe that overflowed, on both sides, and what follows is whole [GW-11, GW-12]', async () => {
    const { roster, machines } = newTeam(['a', 'b']);
    const current = { server: newServer({ roster, limits: { circuit: 64 << 10 } }), links: [] as Transport[] };
    const a = newClient(current, machines[0]!, roster);
    a.client.start();
    await a.stateIs('connected');
    const b = newClient(current, machines[1]!, roster);
    b.client.start();
    const { pipe } = await a.seen('circuit');
    const theirs = await b.seen('circuit');
    const marks = [a.events.items.length, b.events.items.length] as const;
    // More in one turn than the connection to b and the gateway hold together.
    for (let i = 0; i < 40; i++) pipe.transport.send(Buffer.alloc(16 << 10));
    expect(await pipe.closed()).toMatchObject({ code: 'link_lost' });
    expect(await theirs.pipe.closed()).toMatchObject({ code: 'link_lost' });
    const [fresh, freshTheirs] = await Promise.all([a.seen('circuit', marks[0]), b.seen('circuit', marks[1])]);
    fresh.pipe.send('whole');
    expect(await freshTheirs.pipe.text()).toBe('whole');
  });

  it('tells a sender when there is room again', async () => {
    const { toB, toA } = await twoClients();
    for (let i = 0; toB.pipe.transport.writable; i++) toB.pipe.transport.send(Buffer.alloc(16 << 10, i));
    await toA.pipe.received.first(() => toB.pipe.drained > 0);
    expect(toB.pipe.transport.writable).toBe(true);
  });

  it('gives another pipe half a second after it closed one itself', async () => {
    const { a, b, toB, toA } = await twoClients();
    const mark = a.events.items.length;
    const closedAt = performance.now();
    toB.pipe.transport.close();
    toA.pipe.send('into the void');
    const fresh = await a.seen('circuit', mark);
    expect(performance.now() - closedAt).toBeGreaterThan(400);
    toA.pipe.send('heard');
    expect(await fresh.pipe.text()).toBe('heard');
    expect(b.events.items.filter(({ type }) => type === 'circuit')).toHaveLength(1);
  });

  it('notices a gateway that fell silent, and knows the round trip while it has not [GW-14]', async () => {
    const { roster, machines } = newTeam(['a']);
    const server = newServer({ roster });
    let frozen = false;
    const events = new Recorder<GatewayClientState>();
    const { client } = newClient({ server }, machines[0]!, roster, {
      heartbeat: { tickMs: 20, pingMs: 40, deadMs: 120 },
      dial: async () => {
        const [ours, theirs] = memoryTransportPair();
        server.accept(
          {
            start: (handler) =>
              theirs.start({
                message: (bytes) => {
                  if (!frozen) handler.message(bytes);
                },
                writable: () => handler.writable(),
                closed: (error) => handler.closed(error),
              }),
            send: (head, body) => theirs.send(head, body),
            get writable() {
              return theirs.writable;
            },
            close: (error) => theirs.close(error),
          },
          { address: 'in-process' },
        );
        return { transport: ours, fingerprint };
      },
      events: {
        state: (state) => {
          events.push(state);
          if (state.error) frozen = false;
        },
        present: () => undefined,
        absent: () => undefined,
        circuit: () => undefined,
        guest: () => undefined,
        roster: () => undefined,
      },
    });
    client.start();
    await events.first(({ state }) => state === 'connected');
    while (client.rttMs === null) await new Promise((resolve) => setImmediate(resolve));
    expect(client.rttMs).toBeGreaterThanOrEqual(0);
    const mark = events.items.length;
    frozen = true;
    expect((await events.first(({ state }) => state === 'connecting', mark)).error?.message).toContain('silent');
    await events.first(({ state }) => state === 'connected', mark);
  });

  it('does not prove its key to a gateway that names another certificate [GW-2]', async () => {
    const { roster, machines } = newTeam(['a']);
    const server = newServer({ roster });
    const { client, stateIs } = newClient({ server }, machines[0]!, roster, {
      dial: async () => {
        const [ours, theirs] = memoryTransportPair();
        server.accept(theirs, { address: 'in-process' });
        return { transport: ours, fingerprint: '00'.repeat(32) };
      },
    });
    client.start();
    expect((await stateIs('refused')).error).toMatchObject({ code: 'gateway_unreachable' });
  });

  it('stops at once when closed, during a dial too', async () => {
    const { roster, machines } = newTeam(['a']);
    let aborted: unknown;
    const { client, events } = newClient({ server: undefined }, machines[0]!, roster, {
      dial: (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            aborted = signal.reason;
            reject(signal.reason);
          });
        }),
    });
    client.start();
    await client.close();
    expect(aborted).toMatchObject({ code: 'cancelled' });
    expect(events.items).toHaveLength(1);
  });
});
