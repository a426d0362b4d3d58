import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ticketHash, ticketId } from '../../../daemon/team/invite-code.ts';
import { Tickets } from '../../../daemon/team/tickets.ts';
import type { Inviter, Passing } from './join-stage.ts';
import { codeOf, converse, gateways, invite, newInviter, restarted } from './join-stage.ts';
import { bystander, newMachine, openStore } from './machines.ts';

const newGuest = (name = 'guest') => newMachine(name).identity;
const memberNames = ({ store }: Inviter) => [...store.current.members.values()].map((member) => member.name);

/** Messages of a join that goes well: three of the handshake, the request, the answer, the guest's thanks. */
const messages = 6;
const answerIndex = 4;

describe('a guest with a good code', () => {
  it('is a member on both sides, with the promised role, its own keys and the gateways', async () => {
    const inviter = newInviter();
    const guest = newGuest();
    const seen: Passing[] = [];
    const outcome = await converse(inviter, invite(inviter, 'viewer'), guest, {
      tap: (message) => {
        seen.push(message);
        return message.bytes;
      },
    });
    expect(outcome.guest).toMatchObject({
      status: 'fulfilled',
      value: { gateways, role: 'viewer', name: 'guest', inviter: inviter.identity.id },
    });
    expect(outcome.inviter).toMatchObject({
      status: 'fulfilled',
      value: { member: { id: guest.id }, delivered: true },
    });
    if (outcome.guest.status === 'fulfilled') {
      expect(outcome.guest.value.roster.head).toBe(inviter.store.current.head);
      expect(outcome.guest.value.roster.find('guest')).toMatchObject({
        id: guest.id,
        role: 'viewer',
        signKey: guest.signKey,
        noiseKey: guest.noiseKey,
      });
    }
    expect(seen.map(({ from }) => from)).toEqual(['guest', 'inviter', 'guest', 'guest', 'inviter', 'guest']);
    const text = Buffer.concat(seen.map(({ bytes }) => bytes)).toString('latin1');
    for (const secret of [guest.signKey, guest.noiseKey, 'guest', inviter.store.current.team.name]) {
      expect(text).not.toContain(secret);
    }
  });

  it('takes the team’s roster as its own', async () => {
    const inviter = newInviter();
    const machine = newMachine('guest');
    const store = openStore(machine);
    const { guest } = await converse(inviter, invite(inviter), machine.identity);
    if (guest.status === 'rejected') throw guest.reason;
    store.replace(guest.value.roster);
    expect(store.self).toMatchObject({ name: 'guest', role: 'operator' });
    expect(openStore(machine).current.head).toBe(inviter.store.current.head);
  });

  it('gets a roster that is longer than one message', async () => {
    const inviter = newInviter();
    for (let count = 0; count < 150; count++) {
      inviter.store.append({ op: 'add', member: bystander(`member-${count}`) });
    }
    const sizes: number[] = [];
    const { guest } = await converse(inviter, invite(inviter), newGuest(), {
      tap: ({ bytes }) => {
        sizes.push(bytes.length);
        return bytes;
      },
    });
    expect(codeOf(guest)).toBe('ok');
    expect(sizes.length).toBeGreaterThan(messages);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(64 << 10);
  });
});

describe('a code', () => {
  it('lets one machine in, and no second one, before and after a restart [JOIN-4]', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    expect(codeOf((await converse(inviter, code, newGuest())).guest)).toBe('ok');
    const { head } = inviter.store.current;
    for (const one of [inviter, restarted(inviter)]) {
      const outcome = await converse(one, code, newGuest('other'));
      expect(codeOf(outcome.guest)).toBe('code_used');
      expect(codeOf(outcome.inviter)).toBe('code_used');
      expect(one.store.current.head).toBe(head);
    }
  });

  it('lets only one of two guests in that come at the same time [JOIN-4]', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    const outcomes = await Promise.all(['one', 'two', 'three'].map((name) => converse(inviter, code, newGuest(name))));
    expect(outcomes.map(({ guest }) => codeOf(guest)).sort()).toEqual(['code_used', 'code_used', 'ok']);
    expect(memberNames(inviter)).toHaveLength(2);
  });

  it('that expired lets nobody in [JOIN-5]', async () => {
    const inviter = newInviter();
    let now = Date.now();
    const tickets = new Tickets(inviter.home, { wall: () => now, monotonic: () => 0 });
    const code = invite({ ...inviter, tickets });
    now += 600_001;
    const outcome = await converse({ ...inviter, tickets }, code, newGuest());
    expect(codeOf(outcome.guest)).toBe('code_expired');
    expect(memberNames(inviter)).toEqual(['inviter']);
  });

  it('that the inviter does not know, or with another secret, lets nobody in and costs no ticket [JOIN-5]', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    const hash = ticketHash(ticketId(code.secret));
    const guessed = { ...code, secret: Buffer.alloc(16, 1) };
    expect(codeOf((await converse(inviter, guessed, newGuest())).guest)).toBe('denied');
    expect(codeOf((await converse(inviter, guessed, newGuest(), { serve: { ticketHash: hash } })).guest)).toBe(
      'denied',
    );
    expect(codeOf((await converse(inviter, { ...code, team: '0'.repeat(32) }, newGuest())).guest)).toBe('denied');
    expect(memberNames(inviter)).toEqual(['inviter']);
    expect(codeOf((await converse(inviter, code, newGuest())).guest)).toBe('ok');
  });

  it('of another inviter is not served: the guest finds out before it says who it is [JOIN-2]', async () => {
    const inviter = newInviter();
    const code = { ...invite(inviter), inviterKey: newGuest('real').noiseKey };
    const seen: Passing[] = [];
    const outcome = await converse(inviter, code, newGuest(), {
      tap: (message) => {
        seen.push(message);
        return message.bytes;
      },
    });
    expect(codeOf(outcome.guest)).toBe('denied');
    expect(seen.map(({ from }) => from)).toEqual(['guest', 'inviter']);
    expect(memberNames(inviter)).toEqual(['inviter']);
  });

  it('of a machine that is no admin any more lets nobody in [JOIN-5]', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    const other = newInviter('other');
    const joined = await converse(inviter, invite(inviter, 'admin'), other.identity);
    expect(codeOf(joined.guest)).toBe('ok');
    inviter.store.append({ op: 'role', machine: inviter.identity.id, role: 'operator' });
    expect(codeOf((await converse(inviter, code, newGuest())).guest)).toBe('denied');
    expect(inviter.tickets.find(ticketHash(ticketId(code.secret)))?.usedBy).toBeNull();
  });
});

describe('a name', () => {
  it('that is taken gets a number where nobody asked for it', async () => {
    const inviter = newInviter();
    for (const expected of ['box', 'box-2', 'box-3']) {
      const { guest } = await converse(inviter, invite(inviter), newGuest('box'));
      expect(guest).toMatchObject({ value: { name: expected } });
    }
  });

  it('that is taken is refused where a person chose it, and the code still counts', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    const guest = newGuest();
    const taken = await converse(inviter, code, guest, { name: 'inviter', nameChosen: true });
    expect(codeOf(taken.guest)).toBe('name_taken');
    expect(taken.guest).toMatchObject({ reason: { hint: expect.stringContaining('--name') } });
    const free = await converse(inviter, code, guest, { name: 'free', nameChosen: true });
    expect(free.guest).toMatchObject({ value: { name: 'free' } });
  });
});

describe('a join that is cut', () => {
  it.each([...Array(messages).keys()])(
    'at message %i can be made again with the same code by the same machine, and by no other once it was used [JOIN-8]',
    async (cutAt) => {
      const inviter = newInviter();
      const code = invite(inviter);
      const guest = newGuest();
      const cut = await converse(inviter, code, guest, {
        tap: ({ index, bytes }) => (index === cutAt ? 'cut' : bytes),
      });
      // The inviter has decided before the answer is on its way; only then does the guest not know where it stands.
      const decided = cutAt >= answerIndex;
      if (cutAt > answerIndex) expect(codeOf(cut.guest)).toBe('ok');
      else {
        expect(codeOf(cut.guest)).toBe(cutAt < 2 ? 'offline' : 'link_lost');
        expect(cut.guest).toMatchObject({ reason: { hint: expect.stringContaining('again') } });
      }
      if (decided) expect(cut.inviter).toMatchObject({ value: { delivered: false } });
      else expect(codeOf(cut.inviter)).toBe('link_lost');
      expect(memberNames(inviter)).toEqual(decided ? ['inviter', 'guest'] : ['inviter']);

      const later = restarted(inviter);
      if (decided) expect(codeOf((await converse(later, code, newGuest('other'))).guest)).toBe('code_used');
      expect(await converse(later, code, guest)).toMatchObject({ guest: { value: { name: 'guest' } } });
      expect(memberNames(later)).toEqual(['inviter', 'guest']);
      expect(codeOf((await converse(later, code, newGuest('other'))).guest)).toBe('code_used');
    },
  );

  it('by a crash between the use of the ticket and the roster is made good when the guest comes back [JOIN-8]', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    const guest = newGuest();
    inviter.tickets.use(ticketHash(ticketId(code.secret)), guest.id);
    const later = restarted(inviter);
    expect(codeOf((await converse(later, code, newGuest('other'))).guest)).toBe('code_used');
    expect(codeOf((await converse(later, code, guest)).guest)).toBe('ok');
  });

  it('does not bring a machine back that was removed since [JOIN-4]', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    const guest = newGuest();
    await converse(inviter, code, guest);
    inviter.store.append({ op: 'remove', machine: guest.id });
    expect(codeOf((await converse(inviter, code, guest)).guest)).toBe('code_used');
    expect(memberNames(inviter)).toEqual(['inviter']);
    expect(codeOf((await converse(inviter, invite(inviter), guest)).guest)).toBe('ok');
  });

  it('by either side’s own wish ends both sides', async () => {
    const inviter = newInviter();
    const code = invite(inviter);
    for (const side of ['guest', 'inviter']) {
      const abort = new AbortController();
      const { signal } = abort;
      const outcome = await converse(inviter, code, newGuest(), {
        tap: ({ index, bytes }) => {
          if (index === 1) abort.abort(new Error('enough'));
          return bytes;
        },
        ...(side === 'guest' ? { signal } : { serve: { signal } }),
      });
      expect(codeOf(outcome.guest)).not.toBe('ok');
      expect(codeOf(outcome.inviter)).not.toBe('ok');
    }
    const over = await converse(inviter, code, newGuest(), { signal: AbortSignal.abort(new Error('enough')) });
    expect(codeOf(over.guest)).not.toBe('ok');
    expect(memberNames(inviter)).toEqual(['inviter']);
  });
});

describe('a join on which somebody in the middle works', () => {
  const harm: Record<string, (bytes: Uint8Array, at: number) => Uint8Array> = {
    flipped: (bytes, at) => bytes.map((byte, index) => (index === at % bytes.length ? byte ^ (1 << (at % 8)) : byte)),
    cut: (bytes, at) => bytes.subarray(0, at % bytes.length),
    grown: (bytes, at) => Buffer.concat([bytes, Buffer.alloc(1 + (at % 40))]),
    emptied: () => new Uint8Array(),
    exchanged: (bytes, at) => Buffer.alloc(bytes.length, at),
  };

  it('comes to an end on both sides, lets nobody else in, and can be made again [JOIN-8, JOIN-9]', async () => {
    const inviter = newInviter();
    await fc.assert(
      fc.asyncProperty(
        fc.nat(answerIndex),
        fc.constantFrom(...Object.keys(harm)),
        fc.nat(5000),
        async (which, kind, at) => {
          const code = invite(inviter);
          const guest = newGuest('box');
          const before = inviter.store.current.members.size;
          const outcome = await converse(inviter, code, guest, {
            tap: ({ index, bytes }) => (index === which ? harm[kind]!(bytes, at) : bytes),
            stepMs: 500,
            serve: { stepMs: 500 },
          });
          expect(codeOf(outcome.guest)).not.toBe('ok');
          const decided = which === answerIndex;
          expect(codeOf(outcome.inviter) === 'ok').toBe(decided);
          expect(inviter.store.current.members.size).toBe(before + (decided ? 1 : 0));
          expect(codeOf((await converse(inviter, code, guest)).guest)).toBe('ok');
          expect(inviter.store.current.members.size).toBe(before + 1);
        },
      ),
      { numRuns: 60 },
    );
  });
});
