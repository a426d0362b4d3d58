import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Identity } from '../../../daemon/team/identity.ts';
import type { Change, SignedStatement } from '../../../daemon/team/roster.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import { bystander, memberOf, newHome } from './machines.ts';

const at = '2030-01-01T00:00:00.000Z';
let founder: Identity;
let second: Identity;
let third: Identity;
let viewer: Identity;
let stranger: Identity;
/** The founder, two more admins and a viewer. */
let base: Roster;

beforeAll(() => {
  [founder, second, third, viewer, stranger] = ['founder', 'second', 'third', 'viewer', 'stranger'].map((name) =>
    Identity.load(newHome(), name),
  ) as [Identity, Identity, Identity, Identity, Identity];
  base = Roster.create('team', founder, 'founder', 'nonce', at)
    .append({ op: 'add', member: memberOf(second, 'admin') }, founder, at)
    .append({ op: 'add', member: memberOf(third, 'admin') }, founder, at)
    .append({ op: 'add', member: memberOf(viewer, 'viewer') }, second, at);
});

/** A statement that no honest machine would sign, on top of `roster`. */
function forge(
  roster: Roster,
  change: Record<string, unknown>,
  signer: Identity,
  by: Identity = signer,
): SignedStatement[] {
  const body = JSON.stringify({ v: 1, seq: roster.length, prev: roster.head, at, by: by.id, ...change });
  return [...roster.statements, { body, sig: signer.sign(Buffer.from(body)) }];
}

const invalid = expect.objectContaining({ code: 'not_a_member' });

describe('a chain of statements', () => {
  it('says who is in the team, with which role and keys', () => {
    const again = Roster.verify(JSON.parse(JSON.stringify(base.statements)) as SignedStatement[]);
    expect(again.team).toEqual({ id: base.team.id, name: 'team' });
    expect([...again.members.values()].map(({ name, role }) => [name, role])).toEqual([
      ['founder', 'admin'],
      ['second', 'admin'],
      ['third', 'admin'],
      ['viewer', 'viewer'],
    ]);
    expect(again.find('viewer')).toEqual({ ...memberOf(viewer, 'viewer'), joinedAt: at });
    expect(again.find(viewer.id)?.name).toBe('viewer');
    expect(again.find('nobody')).toBeUndefined();
  });

  it('is refused when a viewer signed an add, a promotion of itself, or a removal [TEAM-2]', () => {
    for (const change of [
      { op: 'add', member: bystander('new') },
      { op: 'role', machine: viewer.id, role: 'admin' },
      { op: 'remove', machine: third.id },
    ]) {
      expect(() => Roster.verify(forge(base, change, viewer))).toThrow(invalid);
      expect(() => base.append(change as Change, viewer, at)).toThrow(expect.objectContaining({ code: 'denied' }));
    }
  });

  it('is refused when a stranger signed, in its own name or in an admin’s', () => {
    const change = { op: 'add', member: memberOf(stranger, 'admin') };
    expect(() => Roster.verify(forge(base, change, stranger))).toThrow(invalid);
    expect(() => Roster.verify(forge(base, change, stranger, founder))).toThrow(invalid);
    expect(() => base.append(change as Change, stranger, at)).toThrow(invalid);
  });

  it('is refused when an admin that was removed or demoted signs on [TEAM-2]', () => {
    const removed = base.append({ op: 'remove', machine: second.id }, founder, at);
    const demoted = base.append({ op: 'role', machine: second.id, role: 'operator' }, founder, at);
    for (const roster of [removed, demoted]) {
      expect(() => Roster.verify(forge(roster, { op: 'add', member: bystander('new') }, second))).toThrow(invalid);
    }
  });

  it('is refused when any one byte of it was altered [TEAM-1]', () => {
    fc.assert(
      fc.property(
        fc.nat(base.length - 1),
        fc.boolean(),
        fc.nat(),
        fc.integer({ min: 1, max: 127 }),
        (seq, inBody, where, mask) => {
          const statements = base.statements.map((statement) => ({ ...statement }));
          const part = inBody ? 'body' : 'sig';
          const bytes = Buffer.from(statements[seq]![part]);
          bytes[where % bytes.length]! ^= mask;
          statements[seq]![part] = bytes.toString();
          let accepted: Roster;
          try {
            accepted = Roster.verify(statements);
          } catch (error) {
            expect(error).toEqual(invalid);
            return;
          }
          // The last character of a signature has spare bits: another spelling of the same signature says the same.
          expect(part).toBe('sig');
          expect(accepted.head).toBe(base.head);
          expect([...accepted.members]).toEqual([...base.members]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is refused when statements are missing, repeated, exchanged, or not there at all [TEAM-1]', () => {
    const { statements } = base;
    const [first, one, two] = statements as [SignedStatement, SignedStatement, SignedStatement];
    for (const chain of [[], statements.slice(1), [first, two], [first, one, one], [first, two, one]]) {
      expect(() => Roster.verify(chain)).toThrow(invalid);
    }
  });

  it('is refused when it is made of anything', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ body: fc.oneof(fc.string(), fc.json()), sig: fc.string() })), (chain) => {
        expect(() => Roster.verify(chain)).toThrow(invalid);
      }),
    );
    const huge = JSON.stringify({ pad: 'x'.repeat(5000) });
    expect(() => Roster.verify([...base.statements, { body: huge, sig: '' }])).toThrow(invalid);
  });

  it('gives each machine its own name, id and keys [TEAM-3]', () => {
    const taken = expect.objectContaining({ code: 'name_taken', hint: expect.stringContaining('--name') });
    const add = (member: ReturnType<typeof bystander>) => () => base.append({ op: 'add', member }, founder, at);
    expect(add(bystander('viewer'))).toThrow(taken);
    expect(add({ ...bystander('new'), id: viewer.id })).toThrow(invalid);
    expect(add({ ...bystander('new'), noiseKey: viewer.noiseKey })).toThrow(invalid);
    expect(add({ ...bystander('new'), noiseKey: 'AAAA' })).toThrow(invalid);
    expect(add(bystander(viewer.id))).toThrow(invalid);
    expect(add(memberOf(viewer, 'viewer', 'twice'))).toThrow(expect.objectContaining({ code: 'already_member' }));
  });

  it('never leaves the team without an admin [TEAM-4]', () => {
    const alone = Roster.create('team', founder, 'founder', 'nonce', at);
    const withViewer = alone.append({ op: 'add', member: memberOf(viewer, 'viewer') }, founder, at);
    const denied = expect.objectContaining({ code: 'denied', hint: expect.stringContaining('admin') });
    for (const roster of [alone, withViewer]) {
      expect(() => roster.append({ op: 'remove', machine: founder.id }, founder, at)).toThrow(denied);
      expect(() => roster.append({ op: 'role', machine: founder.id, role: 'operator' }, founder, at)).toThrow(denied);
      expect(() => Roster.verify(forge(roster, { op: 'remove', machine: founder.id }, founder))).toThrow(invalid);
    }
    const born = { v: 1, seq: 0, prev: '', at, by: viewer.id, op: 'create', team: 'team', nonce: '' };
    const body = JSON.stringify({ ...born, member: memberOf(viewer, 'viewer') });
    expect(() => Roster.verify([{ body, sig: viewer.sign(Buffer.from(body)) }])).toThrow(invalid);
  });

  it('lets a machine leave by its own word, whatever its role [TEAM-2]', () => {
    const left = base.append({ op: 'remove', machine: viewer.id }, viewer, at);
    expect(left.find('viewer')).toBeUndefined();
    expect(left.everHad(viewer.id)).toBe(true);
    expect(left.everHad(stranger.id)).toBe(false);
    const back = left.append({ op: 'add', member: memberOf(viewer, 'operator') }, founder, at);
    expect(back.find('viewer')?.role).toBe('operator');
  });

  it('names the team by its first statement, so that no other chain can pass for it [TEAM-4]', () => {
    const other = Roster.create('team', founder, 'founder', 'other nonce', at);
    expect(other.team.id).not.toBe(base.team.id);
    expect(base.losesTo(other.append({ op: 'add', member: bystander('new') }, founder, at))).toBe(false);
  });

  it('takes another spelling of a signature for no other statement: nobody makes a fork without a key', () => {
    const last = base.statements.at(-1)!;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const sig = last.sig.slice(0, -1) + alphabet[alphabet.indexOf(last.sig.at(-1)!) ^ 1];
    expect(Buffer.from(sig, 'base64url')).toEqual(Buffer.from(last.sig, 'base64url'));
    const respelt = Roster.verify([...base.statements.slice(0, -1), { ...last, sig }]);
    expect(respelt.head).toBe(base.head);
    expect(base.losesTo(respelt) || respelt.losesTo(base)).toBe(false);
  });

  it('finds a free name, also where little room is left for it', () => {
    expect(base.freeName('new')).toBe('new');
    expect(base.freeName('viewer')).toBe('viewer-2');
    const long = 'x'.repeat(63);
    const crowded = base
      .append({ op: 'add', member: bystander('viewer-2') }, founder, at)
      .append({ op: 'add', member: bystander(long) }, founder, at);
    expect(crowded.freeName('viewer')).toBe('viewer-3');
    expect(crowded.freeName(long)).toBe(`${'x'.repeat(61)}-2`);
  });
});

type Act = [actor: number, act: number, target: number];
const acts = (max: number) =>
  fc.array(fc.tuple(fc.nat(2), fc.nat(6), fc.nat(5)), { minLength: 1, maxLength: max }) as fc.Arbitrary<Act[]>;
let fresh = 0;

/** `roster` after what one actor tries; as it was where that is not allowed. */
function tryAct(roster: Roster, actor: Identity, act: number, target: number): Roster {
  const members = [...roster.members.values()];
  const machine = members[target % members.length]!.id;
  const changes: Change[] = [
    { op: 'add', member: bystander(`new-${fresh++}`) },
    { op: 'add', member: bystander(`admin-${fresh++}`, 'admin') },
    { op: 'remove', machine },
    { op: 'role', machine, role: 'viewer' },
    { op: 'role', machine, role: 'admin' },
    { op: 'remove', machine: actor.id },
    { op: 'role', machine, role: 'operator' },
  ];
  try {
    return roster.append(changes[act]!, actor, at);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return roster;
    throw error;
  }
}

describe('a fork', () => {
  it('is won by the longer branch where nobody’s authority is at stake [TEAM-5]', () => {
    const short = base.append({ op: 'add', member: bystander('one') }, second, at);
    const long = base
      .append({ op: 'add', member: bystander('two') }, third, at)
      .append({ op: 'remove', machine: viewer.id }, third, at);
    expect(short.losesTo(long)).toBe(true);
    expect(long.losesTo(short)).toBe(false);
  });

  it('is won by the same branch everywhere where both are as long [TEAM-5]', () => {
    const one = base.append({ op: 'add', member: bystander('one') }, second, at);
    const two = base.append({ op: 'add', member: bystander('two') }, third, at);
    expect(one.losesTo(two)).toBe(!two.losesTo(one));
  });

  it('any chains of a team stand in one order, in which a chain stands above each of its beginnings', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(), acts(3)), { minLength: 2, maxLength: 8 }), (branches) => {
        const chains = [base];
        for (const [from, length, branch] of branches) {
          const stem = chains[from % chains.length]!;
          let roster = Roster.verify(stem.statements.slice(0, 3 + (length % (stem.length - 2))), stem);
          for (const [actor, act, target] of branch) {
            roster = tryAct(roster, [founder, second, third][actor]!, act, target);
          }
          chains.push(roster);
        }
        for (const a of chains) {
          for (const b of chains) {
            if (a.head === b.head) expect(a.losesTo(b)).toBe(false);
            else expect(a.losesTo(b)).toBe(!b.losesTo(a));
            if (b.length > a.length && a.statements.every(({ body }, seq) => body === b.statements[seq]!.body)) {
              expect(a.losesTo(b)).toBe(true);
            }
            for (const c of chains) if (a.losesTo(b) && b.losesTo(c)) expect(a.losesTo(c)).toBe(true);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('an admin that a higher one removed or demoted cannot win with any branch from before, however long [TEAM-5]', () => {
    fc.assert(
      fc.property(fc.boolean(), acts(12), fc.nat(2), (demote, rogueActs, later) => {
        let main = base.append(
          demote ? { op: 'role', machine: second.id, role: 'viewer' } : { op: 'remove', machine: second.id },
          founder,
          at,
        );
        for (let count = 0; count < later; count++) {
          main = main.append({ op: 'add', member: bystander(`late-${fresh++}`) }, founder, at);
        }
        // The rogue brings along an accomplice with a real key and removes whom it can, the founder first.
        let rogue = base
          .append({ op: 'remove', machine: founder.id }, second, at)
          .append({ op: 'add', member: memberOf(stranger, 'admin') }, second, at)
          .append({ op: 'remove', machine: third.id }, stranger, at);
        for (const [actor, act, target] of rogueActs) rogue = tryAct(rogue, actor ? second : stranger, act, target);
        for (let count = 0; count < 5; count++) rogue = tryAct(rogue, second, 0, 0);
        expect(rogue.length).toBeGreaterThan(main.length);
        expect(rogue.losesTo(main)).toBe(true);
        expect(main.losesTo(rogue)).toBe(false);
      }),
      { numRuns: 40 },
    );
  });

  it('a higher admin can undo what a lower one did to it', () => {
    const coup = base.append({ op: 'remove', machine: founder.id }, third, at);
    const answer = base.append({ op: 'remove', machine: third.id }, founder, at);
    expect(coup.losesTo(answer)).toBe(true);
    expect(base.losesTo(coup)).toBe(true);
  });

  it('knows which changes of a signer the winner does not have', () => {
    const member = bystander('one');
    const lost = base
      .append({ op: 'add', member }, second, at)
      .append({ op: 'role', machine: viewer.id, role: 'operator' }, third, at)
      .append({ op: 'remove', machine: viewer.id }, second, at);
    const winner = base.append({ op: 'role', machine: third.id, role: 'viewer' }, founder, at);
    expect(lost.losesTo(winner)).toBe(true);
    expect(lost.lostTo(winner, second.id)).toEqual([
      { op: 'add', member },
      { op: 'remove', machine: viewer.id },
    ]);
    expect(lost.lostTo(winner, founder.id)).toEqual([]);
    expect(base.lostTo(winner, founder.id)).toEqual([]);
  });
});

describe('checking a chain', () => {
  it('does not check again what is known, and checks everything else', () => {
    const longer = base.append({ op: 'add', member: bystander('one') }, second, at);
    expect(Roster.verify(longer.statements, base).head).toBe(longer.head);
    const forged = longer.statements.map((statement, seq) =>
      seq === 2 || seq === longer.length - 1 ? { ...statement, sig: base.statements[0]!.sig } : statement,
    );
    expect(() => Roster.verify(forged, longer)).toThrow(invalid);
    expect(() => Roster.verify(forged.slice(0, 3), longer)).toThrow(invalid);
  });
});
