import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { joinKey, lanKey, ticketHash, ticketId } from '../../../daemon/team/invite-code.ts';
import { Tickets } from '../../../daemon/team/tickets.ts';
import { newHome } from './machines.ts';

const minute = 60_000;

class TestClock {
  now = Date.parse('2030-01-01T00:00:00Z');
  ticks = 1_000;
  wall = () => this.now;
  monotonic = () => this.ticks;
  pass(ms: number): void {
    this.now += ms;
    this.ticks += ms;
  }
}

function setUp() {
  const home = newHome();
  const clock = new TestClock();
  return { home, clock, tickets: new Tickets(home, clock), path: home.path('team', 'tickets.json') };
}

const code = (expected: string) => expect.objectContaining({ code: expected });

describe('an invite', () => {
  it('keeps a key for its guests on the local network, which gateways are not told', () => {
    const { home, clock, tickets } = setUp();
    const { secret, hash, expiresAt } = tickets.make('viewer', 10 * minute);
    for (const one of [tickets, new Tickets(home, clock)]) {
      expect(one.unexpired()).toMatchObject([{ hash, lanKey: lanKey(secret).toString('base64url') }]);
      expect(one.open()).toEqual([{ hash, expiresAt: expiresAt.toISOString() }]);
    }
    clock.pass(10 * minute);
    expect(tickets.unexpired()).toEqual([]);
  });

  it('made by a version that knew no local network still counts', () => {
    const { home, clock, tickets, path } = setUp();
    const { hash } = tickets.make('viewer', 10 * minute);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/ *"lanKey".*\n/, ''));
    expect(new Tickets(home, clock).unexpired()[0]).not.toHaveProperty('lanKey');
    expect(new Tickets(home, clock).check(hash, 'any machine').role).toBe('viewer');
  });

  it('is found by its hash, before and after a restart, and its secret is nowhere on disk', () => {
    const { home, clock, tickets, path } = setUp();
    const { secret, hash, expiresAt } = tickets.make('viewer', 10 * minute);
    expect(hash).toBe(ticketHash(ticketId(secret)));
    expect(expiresAt.getTime()).toBe(clock.now + 10 * minute);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const text = readFileSync(path, 'utf8');
    for (const form of ['hex', 'base64', 'base64url'] as const) {
      expect(text).not.toContain(Buffer.from(secret).toString(form));
    }
    expect(text).not.toContain(ticketId(secret));
    for (const one of [tickets, new Tickets(home, clock)]) {
      expect(one.check(hash, 'guest')).toMatchObject({ role: 'viewer', key: joinKey(secret).toString('base64url') });
      expect(one.open()).toEqual([{ hash, expiresAt: expiresAt.toISOString() }]);
    }
    expect(() => tickets.check('00', 'guest')).toThrow(code('denied'));
  });

  it('is used by one machine, which may come back, and by no other, before and after a restart', () => {
    const { home, clock, tickets } = setUp();
    const { hash } = tickets.make('operator', 10 * minute);
    tickets.use(hash, 'guest');
    for (const one of [tickets, new Tickets(home, clock)]) {
      expect(one.check(hash, 'guest').usedBy).toBe('guest');
      expect(() => one.use(hash, 'guest')).not.toThrow();
      expect(() => one.check(hash, 'other')).toThrow(code('code_used'));
      expect(() => one.use(hash, 'other')).toThrow(code('code_used'));
      // Offered on, so that whoever comes with it hears why it is refused.
      expect(one.open()).toHaveLength(1);
    }
  });

  it('is not used where that cannot be written down', () => {
    const { home, tickets } = setUp();
    const { hash } = tickets.make('operator', 10 * minute);
    rmSync(home.path('team'), { recursive: true });
    writeFileSync(home.path('team'), 'in the way');
    expect(() => tickets.use(hash, 'guest')).toThrow(code('io'));
    expect(tickets.find(hash)?.usedBy).toBeNull();
    expect(() => tickets.make('operator', minute)).toThrow(code('io'));
    expect(tickets.open()).toHaveLength(1);
  });

  it('expires, and stays expired when the clock is set back', () => {
    const { home, clock, tickets } = setUp();
    const { hash } = tickets.make('operator', 10 * minute);
    clock.pass(10 * minute - 1);
    expect(tickets.check(hash, 'guest').hash).toBe(hash);
    clock.pass(1);
    expect(() => tickets.use(hash, 'guest')).toThrow(code('code_expired'));
    expect(tickets.open()).toEqual([]);
    clock.now -= 60 * minute;
    expect(() => tickets.check(hash, 'guest')).toThrow(code('code_expired'));
    expect(() => new Tickets(home, clock).check(hash, 'guest')).toThrow(code('code_expired'));
  });

  it('counts no longer than it was made for, whatever is done to the clock', () => {
    const { home, clock, tickets } = setUp();
    const { hash } = tickets.make('operator', 10 * minute);
    clock.now -= 600 * minute;
    expect(tickets.check(hash, 'guest').hash).toBe(hash);
    const restarted = new Tickets(home, clock);
    clock.ticks += 10 * minute;
    expect(() => tickets.check(hash, 'guest')).toThrow(code('code_expired'));
    expect(() => restarted.check(hash, 'guest')).toThrow(code('code_expired'));
  });

  it('is still recognised as expired or used a day later, and forgotten after a week', () => {
    const { home, clock, tickets } = setUp();
    const used = tickets.make('operator', minute).hash;
    const unused = tickets.make('operator', minute).hash;
    tickets.use(used, 'guest');
    clock.pass(24 * 60 * minute);
    tickets.make('viewer', minute);
    expect(() => tickets.check(unused, 'other')).toThrow(code('code_expired'));
    expect(() => tickets.check(used, 'other')).toThrow(code('code_used'));
    clock.pass(8 * 24 * 60 * minute);
    const last = tickets.make('viewer', minute).hash;
    expect(tickets.find(unused)).toBeUndefined();
    expect(tickets.find(used)).toBeUndefined();
    const { tickets: kept } = JSON.parse(readFileSync(home.path('team', 'tickets.json'), 'utf8'));
    expect(kept.map((ticket: { hash: string }) => ticket.hash)).toEqual([last]);
  });

  it('is taken back with all others when the team is left', () => {
    const { home, clock, tickets } = setUp();
    const { hash } = tickets.make('operator', minute);
    tickets.clear();
    expect(tickets.open()).toEqual([]);
    expect(() => new Tickets(home, clock).check(hash, 'guest')).toThrow(code('denied'));
  });
});

it('a damaged file of invites is left alone, and what to do is said', () => {
  const { home, tickets, path } = setUp();
  tickets.make('operator', minute);
  for (const damaged of ['', '{}', readFileSync(path, 'utf8').slice(0, -10)]) {
    writeFileSync(path, damaged);
    expect(() => new Tickets(home)).toThrow(
      expect.objectContaining({ code: 'io', hint: expect.stringContaining('Remove') }),
    );
    expect(readFileSync(path, 'utf8')).toBe(damaged);
  }
});
