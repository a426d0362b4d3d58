import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { InviteCode } from '../../../daemon/team/invite-code.ts';
import { joinKey, ticketHash, ticketId } from '../../../daemon/team/invite-code.ts';
import { requestJoin, serveJoin } from '../../../daemon/team/join.ts';
import type { JoinLane } from '../../../daemon/team/join-lane.ts';
import { NoiseHandshake } from '../../../daemon/team/noise.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import type { Transport } from '../../../shared/transport/transport.ts';
import type { Inviter } from './join-stage.ts';
import { converse, gateways, handshake, invite, newInviter } from './join-stage.ts';
import { memberOf, newMachine } from './machines.ts';

const newGuest = (name = 'guest') => newMachine(name).identity;
const code = (expected: string) => expect.objectContaining({ code: expected });

/** An inviter that serves whoever is at the other end of the returned lane. */
function serving(inviter: Inviter, invited: InviteCode, stepMs = 2_000) {
  const [outside, lane] = memoryTransportPair();
  const { store, tickets, identity } = inviter;
  const served = serveJoin({
    lane,
    ticketHash: ticketHash(ticketId(invited.secret)),
    tickets,
    store,
    identity,
    gateways,
    signal: new AbortController().signal,
    stepMs,
  });
  served.catch(() => undefined);
  return { lane: outside, served };
}

/** The request of an honest guest, to be spoilt. */
function requestOf(noise: NoiseHandshake, identity: Identity, noiseKey = identity.noiseKey) {
  const hash = Buffer.from(noise.hash).toString('hex');
  const proof = identity.sign(Buffer.from(`niia join proof 1\n${hash}\n${identity.signKey}\n${noiseKey}`));
  return {
    protocol: { min: 1, max: 1 },
    software: 'test',
    name: 'guest',
    nameChosen: false,
    signKey: identity.signKey,
    noiseKey,
    proof,
  };
}

describe('a guest that holds the code but', () => {
  type Request = Record<string, unknown>;
  const spoil: Record<string, { expected: string; request: (noise: NoiseHandshake, guest: Identity) => Request }> = {
    'shows another machine’s signing key': {
      expected: 'denied',
      request: (noise, guest) => ({ ...requestOf(noise, guest), signKey: newGuest('victim').signKey }),
    },
    'shows another key than that of its handshake': {
      expected: 'denied',
      request: (noise, guest) => requestOf(noise, guest, newGuest('victim').noiseKey),
    },
    'has a proof of another handshake': {
      expected: 'denied',
      request: (noise, guest) => {
        const other = new NoiseHandshake({
          pattern: 'XXpsk0',
          initiator: true,
          staticKey: guest.noise,
          psk: new Uint8Array(32),
          prologue: new Uint8Array(),
        });
        return { ...requestOf(noise, guest), proof: requestOf(other, guest).proof };
      },
    },
    'has a proof that is no signature': {
      expected: 'denied',
      request: (noise, guest) => ({ ...requestOf(noise, guest), proof: '' }),
    },
    'wants a name that is none': {
      expected: 'bad_request',
      request: (noise, guest) => ({ ...requestOf(noise, guest), name: 'rm -rf\u001b[2J' }),
    },
    'leaves something out': { expected: 'bad_request', request: () => ({}) },
    'sends no object': { expected: 'bad_request', request: () => [] as unknown as Request },
    'speaks a protocol that is not spoken yet': {
      expected: 'version_mismatch',
      request: () => ({ protocol: { min: 7, max: 9 }, whatever: true }),
    },
  };

  it.each(Object.keys(spoil))('%s is told so, and its code still counts [JOIN-3, JOIN-6]', async (what) => {
    const inviter = newInviter();
    const invited = invite(inviter);
    const guest = newGuest();
    const { lane, served } = serving(inviter, invited);
    const end = await handshake(lane, invited, guest, true);
    const { expected, request } = spoil[what]!;
    await end.lane.sendJson(request(end.noise, guest));
    expect(await end.lane.receiveJson()).toMatchObject({ error: { code: expected } });
    end.lane.close();
    await expect(served).rejects.toEqual(code(expected));
    expect(inviter.store.current.members.size).toBe(1);
    expect(inviter.tickets.check(ticketHash(ticketId(invited.secret)), guest.id).usedBy).toBeNull();
  });

  it('is a member with other keys is refused', async () => {
    const inviter = newInviter();
    const guest = newGuest();
    const { noiseKey } = newGuest('old');
    inviter.store.append({ op: 'add', member: { ...memberOf(guest, 'operator'), noiseKey } });
    const invited = invite(inviter);
    const { lane, served } = serving(inviter, invited);
    const end = await handshake(lane, invited, guest, true);
    await end.lane.sendJson(requestOf(end.noise, guest));
    expect(await end.lane.receiveJson()).toMatchObject({ error: { code: 'denied' } });
    end.lane.close();
    await expect(served).rejects.toEqual(code('denied'));
  });
});

describe('an inviter is rid of a guest that', () => {
  it('says nothing', async () => {
    const inviter = newInviter();
    const { lane, served } = serving(inviter, invite(inviter), 50);
    const closed = new Promise<void>((resolve) => start(lane, resolve));
    await expect(served).rejects.toEqual(code('timeout'));
    await closed;
  });

  it('goes silent after the handshake [JOIN-9]', async () => {
    const inviter = newInviter();
    const invited = invite(inviter);
    const { lane, served } = serving(inviter, invited, 100);
    await handshake(lane, invited, newGuest(), true);
    await expect(served).rejects.toEqual(code('timeout'));
  });

  it('says nothing after the answer, and has it as a member all the same', async () => {
    const inviter = newInviter();
    const invited = invite(inviter);
    const guest = newGuest();
    const { lane, served } = serving(inviter, invited, 100);
    const end = await handshake(lane, invited, guest, true);
    await end.lane.sendJson(requestOf(end.noise, guest));
    expect(await served).toMatchObject({ member: { id: guest.id }, delivered: false });
  });

  it('floods it, with few large messages or many empty ones [JOIN-9]', async () => {
    for (const size of [100 << 10, 40 << 10, 0]) {
      const inviter = newInviter();
      const { lane, served } = serving(inviter, invite(inviter));
      start(lane, () => undefined);
      for (let count = 0; count < 2_000; count++) lane.send(Uint8Array.of(0), new Uint8Array(size));
      await expect(served).rejects.toMatchObject({ code: expect.stringMatching(/too_large|denied/) });
    }
  });

  it('sends sealed messages without end [JOIN-9]', async () => {
    const inviter = newInviter();
    const invited = invite(inviter);
    const { lane, served } = serving(inviter, invited);
    const end = await handshake(lane, invited, newGuest(), true);
    await end.lane.sendJson({ pad: 'x'.repeat(1 << 20) }).catch(() => undefined);
    await expect(served).rejects.toEqual(code('too_large'));
  });
});

describe('a guest is not taken in by an inviter that', () => {
  /** Who knows the code's secret and the inviter's key answers a guest with whatever it likes. */
  async function answer(reply: (guest: Identity, inviter: Inviter, lane: JoinLane) => unknown, stepMs = 2_000) {
    const inviter = newInviter();
    const invited = invite(inviter);
    const guest = newGuest();
    const [lane, outside] = memoryTransportPair();
    const joined = requestJoin({
      lane,
      code: invited,
      identity: guest,
      name: 'guest',
      nameChosen: false,
      signal: new AbortController().signal,
      stepMs,
    });
    joined.catch(() => undefined);
    const end = await handshake(outside, invited, inviter.identity, false);
    await end.lane.receiveJson();
    const value = reply(guest, inviter, end.lane);
    if (value !== undefined) await end.lane.sendJson(value).catch(() => undefined);
    return joined.finally(() => end.lane.close());
  }

  const ok = ({ identity }: Inviter, roster: Roster, role = 'operator', name = 'guest') => ({
    statements: roster.statements,
    gateways,
    role,
    name,
    inviter: identity.id,
  });
  const add = ({ store, identity }: Inviter, member: ReturnType<typeof memberOf>) =>
    store.current.append({ op: 'add', member }, identity, new Date().toISOString());

  it('answers rightly: it joins', async () => {
    await expect(
      answer((guest, inviter) => ok(inviter, add(inviter, memberOf(guest, 'operator')))),
    ).resolves.toMatchObject({
      role: 'operator',
      gateways,
    });
  });

  it.each<[string, string, (guest: Identity, inviter: Inviter) => unknown]>([
    ['leaves it out of the roster', 'denied', (_, inviter) => ok(inviter, inviter.store.current)],
    [
      'enters another Noise key for it',
      'denied',
      (guest, inviter) =>
        ok(inviter, add(inviter, { ...memberOf(guest, 'operator'), noiseKey: newGuest('eve').noiseKey })),
    ],
    [
      'promises another role than the roster gives',
      'denied',
      (guest, inviter) => ok(inviter, add(inviter, memberOf(guest, 'viewer'))),
    ],
    [
      'promises another name than the roster gives',
      'denied',
      (guest, inviter) => ok(inviter, add(inviter, memberOf(guest, 'operator', 'fool'))),
    ],
    [
      'sends the roster of another team',
      'denied',
      (guest, inviter) => {
        const other = Roster.create('other', inviter.identity, 'inviter', 'n', new Date().toISOString());
        return ok(
          inviter,
          other.append({ op: 'add', member: memberOf(guest, 'operator') }, inviter.identity, someTime),
        );
      },
    ],
    [
      'is not in the roster itself',
      'denied',
      (guest, inviter) => ({ ...ok(inviter, add(inviter, memberOf(guest, 'operator'))), inviter: guest.id }),
    ],
    [
      'sends a forged roster',
      'not_a_member',
      (guest, inviter) => {
        const { statements } = add(inviter, memberOf(guest, 'operator'));
        const sig = randomBytes(64).toString('base64url');
        return { ...ok(inviter, inviter.store.current), statements: statements.map((one) => ({ ...one, sig })) };
      },
    ],
    ['answers with something else', 'bad_request', () => ({ hello: 'world' })],
    ['answers with nothing', 'bad_request', () => null],
    ['says that it failed in a way nobody knows', 'failed', () => ({ error: { code: 'strange', message: 'odd' } })],
  ])('%s [JOIN-7]', async (_, expected, reply) => {
    await expect(answer(reply)).rejects.toEqual(code(expected));
  });

  it('puts control characters into its error', async () => {
    const reply = () => ({ error: { code: 'denied', message: 'no\u001b[2J\r\nway', hint: '\u0007' } });
    await expect(answer(reply)).rejects.toMatchObject({ message: 'no [2J  way', hint: ' ' });
  });

  it('never answers [JOIN-9]', async () => {
    await expect(answer(() => undefined, 100)).rejects.toEqual(code('timeout'));
  });

  it('answers without end [JOIN-9]', async () => {
    await expect(answer(() => ({ pad: 'x'.repeat(9 << 20) }))).rejects.toEqual(code('too_large'));
  });

  it('sends a message out of turn', async () => {
    await expect(
      answer((_, __, lane) => {
        lane.sendHandshake(new Uint8Array(100));
        return undefined;
      }),
    ).rejects.toEqual(code('bad_request'));
  });
});

it('a join that somebody recorded cannot be played back, neither with the used code nor with an unused one [JOIN-3]', async () => {
  for (const cutAt of [3, 4]) {
    const inviter = newInviter();
    const invited = invite(inviter);
    const recorded: Uint8Array[] = [];
    await converse(inviter, invited, newGuest(), {
      tap: ({ from, index, bytes }) => {
        if (from === 'guest') recorded.push(bytes);
        return index === cutAt ? 'cut' : bytes;
      },
    });
    const { head } = inviter.store.current;
    const { lane, served } = serving(inviter, invited);
    start(lane, () => undefined);
    expect(recorded).toHaveLength(3);
    for (const message of recorded) lane.send(message);
    await expect(served).rejects.toEqual(code('denied'));
    expect(inviter.store.current.head).toBe(head);
  }
});

it('a public key of low order in the first message is refused', async () => {
  const inviter = newInviter();
  const invited = invite(inviter);
  const { lane, served } = serving(inviter, invited);
  start(lane, () => undefined);
  const noise = new NoiseHandshake({
    pattern: 'XXpsk0',
    initiator: true,
    staticKey: newGuest().noise,
    psk: joinKey(invited.secret),
    prologue: Buffer.from(`niia join 1\n${invited.team}`),
    ephemeral: { publicKey: new Uint8Array(32), secretKey: new Uint8Array(32).fill(7) },
  });
  lane.send(Uint8Array.of(0), noise.write());
  await expect(served).rejects.toEqual(code('denied'));
});

const someTime = '2030-01-01T00:00:00.000Z';

function start(lane: Transport, closed: () => void): void {
  lane.start({ message: () => undefined, writable: () => undefined, closed });
}
