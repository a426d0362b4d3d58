import { expect, it } from 'vitest';
import { ticketHash } from '../../../daemon/team/invite-code.ts';
import { newServer, newTeam, Probe } from '../gateway/machines.ts';

it('a ticket counts from the moment at which the gateway says so [GW-25]', async () => {
  const { roster, machines } = newTeam(['a']);
  const server = newServer({ roster });
  const inviter = await Probe.member(server, machines[0]!, roster);
  const ticket = '0123456789abcdef0123456789abcdef';
  const hash = ticketHash(ticket);
  inviter.send({ type: 'ticket', hash, expiresAt: new Date(Date.now() + 60_000).toISOString() });
  expect(await inviter.next('ticket-taken')).toEqual({ type: 'ticket-taken', hash });
  const guest = Probe.to(server);
  await guest.guest(ticket);
  expect((await guest.next('lane')).index).toBe(inviter.index);
});
