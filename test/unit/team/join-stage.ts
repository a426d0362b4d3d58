import { randomBytes } from 'node:crypto';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { InviteCode } from '../../../daemon/team/invite-code.ts';
import { decodeInvite, encodeInvite, joinKey, ticketHash, ticketId } from '../../../daemon/team/invite-code.ts';
import type { Joined, RequestJoinOptions, ServeJoinOptions } from '../../../daemon/team/join.ts';
import { requestJoin, serveJoin } from '../../../daemon/team/join.ts';
import { JoinLane } from '../../../daemon/team/join-lane.ts';
import { NoiseHandshake } from '../../../daemon/team/noise.ts';
import type { Member } from '../../../daemon/team/roster.ts';
import type { TeamStore } from '../../../daemon/team/team-store.ts';
import { Tickets } from '../../../daemon/team/tickets.ts';
import type { Role } from '../../../shared/protocol/shapes.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import type { Transport } from '../../../shared/transport/transport.ts';
import type { Machine } from './machines.ts';
import { newMachine, openStore } from './machines.ts';

export const gateways = [{ urls: ['wss://192.0.2.1:7447'], fingerprint: 'ab'.repeat(32) }];

export interface Inviter extends Machine {
  store: TeamStore;
  tickets: Tickets;
}

export function newInviter(name = 'inviter'): Inviter {
  const machine = newMachine(name);
  return { ...machine, store: openStore(machine), tickets: new Tickets(machine.home) };
}

/** The same machine after its daemon was killed and started again. */
export function restarted({ home, identity }: Inviter): Inviter {
  return { home, identity, store: openStore({ home, identity }), tickets: new Tickets(home) };
}

export function invite({ store, tickets, identity }: Inviter, role: Role = 'operator'): InviteCode {
  const { secret, expiresAt } = tickets.make(role, 600_000);
  return decodeInvite(
    encodeInvite({
      team: store.current.team.id,
      inviterKey: identity.noiseKey,
      fingerprint: randomBytes(32).toString('hex'),
      secret,
      expiresAt,
      urls: gateways[0]!.urls,
    }),
  );
}

export interface Passing {
  from: 'guest' | 'inviter';
  /** Counts the messages of both sides in the order in which they pass. */
  index: number;
  bytes: Uint8Array;
}

/** What becomes of a message: it passes, changed or not, or the lane is cut in its place. */
export type Tap = (message: Passing) => Uint8Array | 'cut';

/** A lane whose messages somebody in the middle sees, as a gateway does. It tells neither end why the other closed. */
export function tappedLane(tap: Tap = ({ bytes }) => bytes): { guest: Transport; inviter: Transport } {
  const [guest, guestSide] = memoryTransportPair();
  const [inviter, inviterSide] = memoryTransportPair();
  let index = 0;
  const pass = (from: Passing['from'], to: Transport) => (bytes: Uint8Array) => {
    const result = tap({ from, index: index++, bytes });
    if (result !== 'cut') {
      to.send(result);
      return;
    }
    guestSide.close();
    inviterSide.close();
  };
  guestSide.start({
    message: pass('guest', inviterSide),
    writable: () => undefined,
    closed: () => inviterSide.close(),
  });
  inviterSide.start({
    message: pass('inviter', guestSide),
    writable: () => undefined,
    closed: () => guestSide.close(),
  });
  return { guest, inviter };
}

export interface Outcome {
  guest: PromiseSettledResult<Joined>;
  inviter: PromiseSettledResult<{ member: Member }>;
}

/** Lets a guest talk to an inviter until both have come to an end. */
export async function converse(
  inviter: Inviter,
  code: InviteCode,
  guest: Identity,
  options: Partial<RequestJoinOptions> & { tap?: Tap; serve?: Partial<ServeJoinOptions> } = {},
): Promise<Outcome> {
  const { tap, serve, ...request } = options;
  const lane = tappedLane(tap);
  const { signal } = new AbortController();
  const [served, requested] = await Promise.allSettled([
    serveJoin({
      lane: lane.inviter,
      ticketHash: ticketHash(ticketId(code.secret)),
      tickets: inviter.tickets,
      store: inviter.store,
      identity: inviter.identity,
      gateways,
      signal,
      ...serve,
    }),
    requestJoin({ lane: lane.guest, code, identity: guest, name: guest.name, nameChosen: false, signal, ...request }),
  ]);
  return { guest: requested, inviter: served };
}

/** The code of the error with which an end came to its end, or `ok`. */
export function codeOf(result: PromiseSettledResult<unknown>): string {
  if (result.status === 'fulfilled') return 'ok';
  return (result.reason as { code?: string }).code ?? String(result.reason);
}

/** One end of the handshake with the code's secret, for a guest or an inviter that then does what it likes. */
export async function handshake(
  lane: Transport,
  code: InviteCode,
  identity: Identity,
  initiator: boolean,
): Promise<{ lane: JoinLane; noise: NoiseHandshake }> {
  const end = new JoinLane(lane, { maxBytes: 1 << 20, signal: new AbortController().signal });
  const noise = new NoiseHandshake({
    pattern: 'XXpsk0',
    initiator,
    staticKey: identity.noise,
    psk: joinKey(code.secret),
    prologue: Buffer.from(`niia join 1\n${code.team}`),
  });
  if (initiator) end.sendHandshake(noise.write());
  else noise.read(await end.receiveHandshake());
  if (initiator) noise.read(await end.receiveHandshake());
  else end.sendHandshake(noise.write());
  if (initiator) end.sendHandshake(noise.write());
  else noise.read(await end.receiveHandshake());
  end.secure(noise.keys);
  return { lane: end, noise };
}
