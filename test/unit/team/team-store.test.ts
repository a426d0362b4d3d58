import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../daemon/team/identity.ts';
import type { Change } from '../../../daemon/team/roster.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import type { TeamStore } from '../../../daemon/team/team-store.ts';
import type { Machine } from './machines.ts';
import { bystander, memberOf, newMachine, openStore } from './machines.ts';

/** Three machines of one team, all admins but the last, each with its own copy of the same chain. */
function team(): { machines: Machine[]; stores: TeamStore[] } {
  const machines = ['founder', 'second', 'third'].map(newMachine);
  const stores = machines.map(openStore);
  for (const { identity } of machines.slice(1)) {
    stores[0]!.append({ op: 'add', member: memberOf(identity, 'admin') });
  }
  for (const store of stores.slice(1)) store.replace(stores[0]!.current);
  return { machines, stores };
}

const names = (store: TeamStore) => [...store.current.members.values()].map((member) => member.name).sort();

describe('a machine’s team', () => {
  it('is itself alone at first, as admin, and the same after a restart', () => {
    const machine = newMachine('alpha');
    const store = openStore(machine);
    expect(store.current.team.name).toBe('alpha-team');
    expect(store.self).toMatchObject({ name: 'alpha', role: 'admin' });
    expect(store.role).toBe('admin');
    const again = openStore(machine);
    expect(again.current.head).toBe(store.current.head);
    expect(statSync(machine.home.path('team', 'roster.json')).mode & 0o777).toBe(0o600);
  });

  it('keeps every change over a restart', () => {
    const machine = newMachine('alpha');
    const store = openStore(machine);
    store.append({ op: 'add', member: bystander('beta') });
    store.append({ op: 'role', machine: store.current.find('beta')!.id, role: 'viewer' });
    expect(openStore(machine).current.find('beta')?.role).toBe('viewer');
  });

  it('is not overwritten when its file is damaged: what is wrong is said', () => {
    const machine = newMachine('alpha');
    openStore(machine).append({ op: 'add', member: bystander('beta') });
    const path = machine.home.path('team', 'roster.json');
    const good = readFileSync(path, 'utf8');
    for (const damaged of ['', '{}', good.slice(0, -40), good.replace('beta', 'gamma'), `${good}x`]) {
      writeFileSync(path, damaged);
      expect(() => openStore(machine)).toThrow(
        expect.objectContaining({ code: 'io', message: expect.stringContaining(path), hint: expect.any(String) }),
      );
      expect(readFileSync(path, 'utf8')).toBe(damaged);
      expect(readdirSync(machine.home.path('team'))).toEqual(['roster.json']);
    }
  });

  it('does not change where the change cannot be saved', () => {
    const machine = newMachine('alpha');
    const store = openStore(machine);
    const { head } = store.current;
    let told = 0;
    store.subscribe(() => told++);
    renameSync(machine.home.path('team'), machine.home.path('away'));
    writeFileSync(machine.home.path('team'), 'in the way');
    const io = expect.objectContaining({ code: 'io', message: expect.stringContaining('roster') });
    expect(() => store.append({ op: 'add', member: bystander('beta') })).toThrow(io);
    expect(() => store.create('other')).toThrow(io);
    expect(store.current.head).toBe(head);
    expect(told).toBe(0);
    rmSync(machine.home.path('team'));
    renameSync(machine.home.path('away'), machine.home.path('team'));
    expect(openStore(machine).current.head).toBe(head);
  });

  it('tells its subscribers of each change, until they have had enough', () => {
    const store = openStore(newMachine('alpha'));
    const heads: string[] = [];
    const unsubscribe = store.subscribe(() => heads.push(store.current.head));
    const first = store.append({ op: 'add', member: bystander('beta') }).head;
    const second = store.append({ op: 'add', member: bystander('gamma') }).head;
    unsubscribe();
    store.append({ op: 'add', member: bystander('delta') });
    expect(heads).toEqual([first, second]);
  });

  it('is left for another one with the old roster kept beside it', () => {
    const machine = newMachine('alpha');
    const store = openStore(machine);
    const old = store.current;
    const created = store.create('mine');
    expect(store.current.team).toEqual({ id: created.team.id, name: 'mine' });
    expect(store.self).toMatchObject({ name: 'alpha', role: 'admin' });
    const kept = JSON.parse(readFileSync(machine.home.path('team', `roster.${old.team.id}.json`), 'utf8'));
    expect(Roster.verify(kept.statements).head).toBe(old.head);
    expect(openStore(machine).current.head).toBe(created.head);
  });
});

describe('another machine’s chain', () => {
  it('is adopted when it goes on from ours, and kept', () => {
    const { machines, stores } = team();
    const [founder, second] = stores as [TeamStore, TeamStore];
    const ahead = founder.append({ op: 'add', member: bystander('beta') });
    let told = 0;
    second.subscribe(() => told++);
    expect(second.consider(ahead.statements)).toBe('adopted');
    expect(second.consider(ahead.statements)).toBe('same');
    expect(told).toBe(1);
    expect(openStore(machines[1]!).current.head).toBe(ahead.head);
  });

  it('changes nothing when it is ours, a beginning of ours, or one that loses to ours', () => {
    const { stores } = team();
    const [founder, second] = stores as [TeamStore, TeamStore];
    const loser = founder.append({ op: 'add', member: bystander('one') });
    second.append({ op: 'add', member: bystander('two') });
    const winner = second.append({ op: 'add', member: bystander('three') });
    expect(second.consider(loser.statements)).toBe('same');
    expect(second.consider(winner.statements.slice(0, 2))).toBe('same');
    expect(second.current.head).toBe(winner.head);
  });

  it('is refused when it is of another team, not valid, or empty', () => {
    const { stores } = team();
    const founder = stores[0]!;
    const { head, statements } = founder.current;
    const foreign = openStore(newMachine('foreign'));
    for (let count = 0; count < 5; count++) foreign.append({ op: 'add', member: bystander(`f-${count}`) });
    const broken = [...statements, { body: statements.at(-1)!.body, sig: statements.at(-1)!.sig }];
    for (const chain of [foreign.current.statements, broken, [], statements.slice(1)]) {
      expect(founder.consider(chain)).toBe('refused');
    }
    expect(founder.current.head).toBe(head);
  });

  it('costs nobody a change: what we signed on a branch that lost is signed again on the winner', () => {
    const { machines, stores } = team();
    const [founder, second] = stores as [TeamStore, TeamStore];
    second.append({ op: 'add', member: bystander('mine') });
    second.append({ op: 'add', member: bystander('same') });
    founder.append({ op: 'add', member: bystander('same') });
    const winner = founder.append({ op: 'role', machine: machines[2]!.identity.id, role: 'viewer' });
    expect(second.consider(winner.statements)).toBe('adopted');
    expect(names(second)).toEqual(['founder', 'mine', 'same', 'same-2', 'second', 'third']);
    expect(second.current.find('third')?.role).toBe('viewer');
    expect(openStore(machines[1]!).current.head).toBe(second.current.head);
    expect(founder.consider(second.current.statements)).toBe('adopted');
    expect(founder.current.head).toBe(second.current.head);
  });

  it('can remove this machine, which then signs nothing again and knows that it is out', () => {
    const { machines, stores } = team();
    const [founder, second] = stores as [TeamStore, TeamStore];
    second.append({ op: 'add', member: bystander('mine') });
    second.append({ op: 'remove', machine: machines[0]!.identity.id });
    const winner = founder.append({ op: 'remove', machine: machines[1]!.identity.id });
    expect(second.consider(winner.statements)).toBe('adopted');
    expect(second.current.head).toBe(winner.head);
    expect(second.self).toBeUndefined();
    expect(second.role).toBeUndefined();
    expect(() => second.append({ op: 'add', member: bystander('again') })).toThrow(
      expect.objectContaining({ code: 'not_a_member' }),
    );
    expect(founder.consider(second.current.statements)).toBe('same');
  });

  it('counts at once even where it cannot be saved', () => {
    const { machines, stores } = team();
    const [founder, second] = stores as [TeamStore, TeamStore];
    const winner = founder.append({ op: 'remove', machine: machines[2]!.identity.id });
    rmSync(machines[1]!.home.path('team'), { recursive: true });
    writeFileSync(machines[1]!.home.path('team'), 'in the way');
    expect(second.consider(winner.statements)).toBe('adopted');
    expect(second.current.find('third')).toBeUndefined();
  });
});

type Step = { actor: number; act: number; target: number } | { from: number; to: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ actor: fc.nat(2), act: fc.nat(4), target: fc.nat(6) }),
  fc.record({ from: fc.nat(2), to: fc.nat(2) }),
);

describe('machines that change the team at the same time', () => {
  it('end with the same chain on every machine, whatever order they hear of each other in [TEAM-5]', () => {
    let fresh = 0;
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 2, maxLength: 12 }),
        fc.shuffledSubarray(pairs, { minLength: 6 }),
        (steps, order) => {
          const { machines, stores } = team();
          const added = new Map<string, Identity>();
          for (const one of steps) {
            if ('from' in one) {
              stores[one.to]!.consider(stores[one.from]!.current.statements);
              continue;
            }
            const store = stores[one.actor]!;
            const machine = [...store.current.members.keys()][one.target % store.current.members.size]!;
            const member = bystander(`new-${fresh++}`);
            const changes: Change[] = [
              { op: 'add', member },
              { op: 'add', member },
              { op: 'role', machine, role: 'viewer' },
              { op: 'role', machine, role: 'admin' },
              { op: 'remove', machine },
            ];
            try {
              store.append(changes[one.act]!);
              if (one.act < 2) added.set(member.id, machines[one.actor]!.identity);
            } catch (error) {
              expect(error).toHaveProperty('code');
            }
          }
          // Everybody talks to everybody until nobody hears anything new; signing again must come to an end.
          let rounds = 0;
          for (let news = true; news; rounds++) {
            expect(rounds).toBeLessThan(20);
            news = false;
            for (const [from, to] of order) {
              if (stores[to]!.consider(stores[from]!.current.statements) === 'adopted') news = true;
            }
          }
          expect(new Set(stores.map((store) => store.current.head)).size).toBe(1);
          // No addition by somebody who is still an admin was lost.
          const { current } = stores[0]!;
          for (const [id, by] of added) {
            if (current.members.get(by.id)?.role === 'admin') expect(current.everHad(id)).toBe(true);
          }
        },
      ),
      { numRuns: 25, examples: [demotedInBetween, demotedAndBack] },
    );
  });
});

/** The third adds somebody, hears first that it is no admin any more, and then that whoever said so was none. */
const demotedInBetween: [Step[], [number, number][]] = [
  [
    { actor: 2, act: 0, target: 0 },
    { actor: 0, act: 2, target: 1 },
    { actor: 1, act: 2, target: 5 },
  ],
  [
    [1, 0],
    [1, 2],
    [2, 0],
    [2, 1],
    [0, 2],
    [0, 1],
  ],
];

/** The founder adds somebody, is made a viewer, and an admin again by who had signed that before. */
const demotedAndBack: typeof demotedInBetween = [
  [
    { actor: 1, act: 3, target: 0 },
    { actor: 0, act: 0, target: 0 },
    { actor: 2, act: 2, target: 0 },
  ],
  demotedInBetween[1],
];

const pairs: [number, number][] = [
  [0, 1],
  [0, 2],
  [1, 0],
  [1, 2],
  [2, 0],
  [2, 1],
];
