import { describe, expect, it } from 'vitest';
import type { ServerLimits } from '../../../daemon/gateway/limits.ts';
import type { TransportClosed } from '../../../daemon/mesh/transport-closed.ts';
import { ticketHash } from '../../../daemon/team/invite-code.ts';
import { gatewayClose } from '../../../shared/protocol/gateway.ts';
import { newServer, newTeam, Probe } from './machines.ts';

const ticket = '0123456789abcdef0123456789abcdef';
const hash = ticketHash(ticket);
const soon = () => new Date(Date.now() + 60_000).toISOString();

async function setUp(limits: Partial<ServerLimits> = {}) {
  const { roster, machines } = newTeam(['a', 'b']);
  const server = newServer({ roster, limits });
  const inviter = await Probe.member(server, machines[0]!, roster);
  const other = await Probe.member(server, machines[1]!, roster);
  inviter.send({ type: 'ticket', hash, expiresAt: soon() });
  await inviter.settled();
  const come = async (shown = ticket, address = '198.51.100.7'): Promise<Probe> => {
    const probe = Probe.to(server, { address });
    await probe.guest(shown);
    return probe;
  };
  const refusedWith = async (probe: Probe): Promise<string> => {
    const { error } = await probe.next('refused');
    expect((await probe.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.refused });
    return error.code;
  };
  return { server, roster, machines, inviter, other, come, refusedWith };
}

describe('a guest with a ticket', () => {
  it('talks to the inviter, and the inviter to it [GW-19]', async () => {
    const { inviter, come } = await setUp();
    const guest = await come();
    const lane = await guest.next('lane');
    const announced = await inviter.next('guest');
    expect(lane.index).toBe(inviter.index);
    expect(announced.ticket).toBe(hash);
    guest.relay(lane.index, 'knock');
    expect(await inviter.nextRelay()).toEqual({ index: announced.index, payload: Buffer.from('knock') });
    inviter.relay(announced.index, 'come in');
    expect(await guest.nextRelay()).toEqual({ index: inviter.index, payload: Buffer.from('come in') });
    guest.transport.close();
    expect((await inviter.next('guest-gone')).index).toBe(announced.index);
  });

  it('reaches nobody else, and nobody else reaches it [GW-19]', async () => {
    const { inviter, other, come, server } = await setUp();
    const guest = await come();
    await guest.next('lane');
    const { index } = await inviter.next('guest');
    guest.relay(other.index, 'psst');
    other.relay(index, 'psst');
    await Promise.all([guest.settled(), other.settled()]);
    expect([other.relayed, guest.relayed]).toEqual([[], []]);
    expect(other.all('guest')).toEqual([]);
    expect(server.counters.droppedMessages).toBe(2);
  });

  it('may not act as a member [GW-19]', async () => {
    const { come, inviter } = await setUp();
    const guest = await come();
    await guest.next('lane');
    guest.send({ type: 'ticket', hash: 'f'.repeat(64), expiresAt: soon() });
    expect((await guest.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.protocol });
    await inviter.next('guest-gone');
  });

  it('may try again until the ticket is dropped, one at a time [GW-19, GW-20]', async () => {
    const { inviter, come, refusedWith } = await setUp();
    const first = await come();
    await first.next('lane');
    expect(await refusedWith(await come())).toBe('busy');
    first.transport.close();
    await inviter.next('guest-gone');
    const second = await come();
    await second.next('lane');
    inviter.send({ type: 'ticket-drop', hash });
    inviter.send({ type: 'guest-end', index: (await inviter.next('guest', 2)).index });
    await second.closedWith();
    expect(await refusedWith(await come())).toBe('code_used');
  });

  it('is refused when the ticket has expired, is not known, or the inviter is not there [GW-20]', async () => {
    const { inviter, come, refusedWith } = await setUp();
    expect(await refusedWith(await come('f'.repeat(32)))).toBe('denied');
    inviter.send({ type: 'ticket', hash, expiresAt: new Date(Date.now() - 1).toISOString() });
    await inviter.settled();
    expect(await refusedWith(await come())).toBe('code_expired');
    inviter.send({ type: 'ticket', hash, expiresAt: soon() });
    inviter.transport.close();
    await inviter.closedWith();
    expect(await refusedWith(await come())).toBe('offline');
  });

  it('loses its lane when the inviter leaves [GW-21]', async () => {
    const { inviter, come } = await setUp();
    const guest = await come();
    await guest.next('lane');
    inviter.transport.close();
    expect(await guest.closedWith()).toMatchObject({ code: 'offline' });
  });

  it('cannot be lured away by another member that offers the same ticket [GW-20]', async () => {
    const { inviter, other, come } = await setUp();
    other.send({ type: 'ticket', hash, expiresAt: soon() });
    other.send({ type: 'ticket-drop', hash });
    await other.settled();
    const guest = await come();
    expect((await guest.next('lane')).index).toBe(inviter.index);
  });

  it('carries only so many bytes [GW-21]', async () => {
    const { inviter, come } = await setUp({ guestBytes: 1_000 });
    const guest = await come();
    const { index } = await guest.next('lane');
    for (let i = 0; i < 11; i++) guest.relay(index, Buffer.alloc(100));
    expect((await guest.closedWith()) as TransportClosed).toMatchObject({ closeCode: gatewayClose.tooFast });
    await inviter.next('guest-gone');
    expect(inviter.relayed.length).toBeLessThan(11);
    expect(inviter.isClosed).toBe(false);
  });

  it('stays only so long [GW-21]', async () => {
    const { inviter, come } = await setUp({ guestMs: 50, tickMs: 10 });
    const guest = await come();
    await guest.next('lane');
    expect(await guest.closedWith()).toMatchObject({ code: 'timeout' });
    await inviter.next('guest-gone');
  });

  it('is not heard from an address that guessed too often, and is from another [GW-22]', async () => {
    const { come, refusedWith } = await setUp({ guestTriesPerMinute: 3 });
    for (let i = 0; i < 3; i++) expect(await refusedWith(await come(`${i}`.repeat(32)))).toBe('denied');
    expect(await refusedWith(await come())).toBe('busy');
    await (await come(ticket, '203.0.113.9')).next('lane');
  });

  it('finds its ticket gone when the inviter was removed from the team [GW-20]', async () => {
    const { server, roster, machines, come, refusedWith, other } = await setUp();
    other.send({ type: 'ticket', hash: ticketHash('second'), expiresAt: soon() });
    await other.settled();
    const removed = roster.append({ op: 'remove', machine: machines[1]!.id }, machines[0]!, new Date().toISOString());
    server.updateRoster(removed);
    expect(await refusedWith(await come('second'))).toBe('denied');
  });
});
