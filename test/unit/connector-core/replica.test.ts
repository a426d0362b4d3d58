import { describe, expect, test } from 'vitest';
import type { ReplicaMessage } from '../../../daemon/connector/core/messages.ts';
import type { StoredRecord } from '../../../daemon/connector/core/records.ts';
import { freshReplica, Replica, type SavedReplica } from '../../../daemon/connector/core/replica.ts';
import { usualTiming } from '../../../daemon/connector/core/timing.ts';
import { freshWitness, Witness } from '../../../daemon/connector/core/witness.ts';

const at = '2026-01-01T00:00:00.000Z';
const { leaseMs, heartbeatMs, electionMs } = usualTiming;
const record = (n: number): StoredRecord => ({ kind: 'test', at, n });

/** Voters that hear each other at once, unless they are away; each with a disk. */
class Voters {
  now = 100_000;
  readonly replicas = new Map<string, Replica>();
  readonly disks = new Map<string, SavedReplica>();
  readonly counted = new Map<string, StoredRecord[]>();
  readonly away = new Set<string>();
  readonly sent: Array<{ from: string; to: string; message: ReplicaMessage }> = [];
  witness: Witness | undefined;
  #witnessDisk = freshWitness;

  /** The first of the names begins; "w" is a witness. */
  constructor(...names: string[]) {
    const voters = names.map((id) => ({ id, name: id, witness: id === 'w' }));
    if (names.includes('w')) this.witness = new Witness(freshWitness, this.now);
    for (const name of names) if (name !== 'w') this.start(name);
    const [first = ''] = names;
    this.replicas.set(first, Replica.found(this.#options(first), { kind: 'begun', at, voters }));
    this.run();
  }

  start(name: string): void {
    const saved = this.disks.get(name) ?? freshReplica;
    this.disks.set(name, saved);
    this.counted.set(name, []);
    this.replicas.set(name, new Replica({ ...this.#options(name), saved }));
  }

  of(name: string): Replica {
    const replica = this.replicas.get(name);
    if (!replica) throw new Error(`no voter ${name}`);
    return replica;
  }

  /** What counts at this voter, by number; what is not of the test as its kind. */
  counts(name: string): unknown[] {
    return (this.counted.get(name) ?? []).map((one) => (one.kind === 'test' ? one['n'] : one.kind));
  }

  propose(name: string, ...numbers: number[]): void {
    this.of(name).propose(numbers.map(record), this.now);
    this.run();
  }

  /** Lets time pass, a heartbeat at a time. */
  wait(ms: number): void {
    for (const end = this.now + ms; this.now < end; ) {
      this.now = Math.min(end, this.now + heartbeatMs);
      for (const [name, replica] of this.replicas) if (!this.away.has(name)) replica.tick(this.now);
      this.run();
    }
  }

  /** Delivers until all is said. */
  run(): void {
    for (let more = true; more; ) {
      more = false;
      for (const [name, replica] of this.replicas) {
        const { save, messages, committed } = replica.take();
        const disk = this.disks.get(name) ?? freshReplica;
        const log = save?.log ? [...disk.log.slice(0, save.log.from - 1), ...save.log.entries] : disk.log;
        this.disks.set(name, { ...disk, ...save?.ballot, log });
        this.counted.get(name)?.push(...committed.map((one) => one.record));
        for (const { to, message } of messages) {
          more = true;
          this.deliver(name, to, message);
        }
      }
    }
  }

  deliver(from: string, to: string, message: ReplicaMessage): void {
    this.sent.push({ from, to, message });
    if (this.away.has(from) || this.away.has(to)) return;
    if (to !== 'w') this.of(to).receive(from, message, this.now);
    else {
      const { save, reply } = this.witness?.receive(from, message, this.now) ?? {};
      if (save) this.#witnessDisk = save;
      if (reply) this.deliver('w', from, reply);
    }
  }

  restartWitness(): void {
    this.witness = new Witness(this.#witnessDisk, this.now);
  }

  #options(self: string) {
    const order = self.charCodeAt(0) - 'a'.charCodeAt(0);
    return {
      ...{ self, now: this.now, random: () => order / 3 },
      termRecord: (term: number): StoredRecord => ({ kind: 'term', at, term, coordinator: self }),
    };
  }
}

describe('one voter', () => {
  test('counts for itself, at once', () => {
    const it = new Voters('a');
    it.propose('a', 1, 2);
    expect(it.counts('a')).toEqual(['begun', 1, 2]);
    expect(it.of('a').mayAct(it.now + 1e9)).toBe(true);
  });

  test('leads again as soon as it is back', () => {
    const it = new Voters('a');
    it.propose('a', 1);
    it.start('a');
    it.of('a').tick(it.now);
    it.run();
    expect(it.counts('a')).toEqual(['begun', 1, 'term']);
    expect(it.of('a').term).toBe(2);
  });
});

describe('three voters', () => {
  test('let count what two of them have', () => {
    const it = new Voters('a', 'b', 'c');
    it.away.add('c');
    it.propose('a', 1);
    expect(it.counts('a')).toEqual(['begun', 1]);
    it.away.add('b');
    it.propose('a', 2);
    expect(it.counts('a')).toEqual(['begun', 1]);
    expect(it.of('a').mayAct(it.now)).toBe(false);
    it.away.clear();
    it.wait(2 * heartbeatMs);
    for (const name of ['a', 'b', 'c']) expect(it.counts(name)).toEqual(['begun', 1, 2]);
  });

  test('elect another once their leader is gone for long enough, and it gives up before', () => {
    const it = new Voters('a', 'b', 'c');
    it.propose('a', 1);
    it.wait(heartbeatMs);
    it.away.add('a');
    it.propose('a', 2);
    const goneAt = it.now;
    expect(it.of('a').isLeader).toBe(true);
    it.wait(leaseMs);
    it.of('a').tick(it.now);
    expect(it.of('a').isLeader).toBe(false);
    expect(it.of('b').isLeader).toBe(false);
    it.wait(electionMs[1]);
    expect(it.of('b').isLeader).toBe(true);
    expect(it.now - goneAt).toBeGreaterThan(electionMs[0]);
    it.propose('b', 3);
    it.away.clear();
    it.wait(2 * heartbeatMs);
    // What only the old leader had never counted.
    for (const name of ['a', 'b', 'c']) expect(it.counts(name)).toEqual(['begun', 1, 'term', 3]);
    expect(it.disks.get('a')?.log).toEqual(it.disks.get('b')?.log);
  });

  test('do not raise the term for one that is cut off', () => {
    const it = new Voters('a', 'b', 'c');
    it.away.add('c');
    it.wait(10 * electionMs[1]);
    it.away.clear();
    it.wait(2 * electionMs[1]);
    expect([...it.replicas.values()].map(({ term }) => term)).toEqual([1, 1, 1]);
    expect(it.of('a').isLeader).toBe(true);
  });

  test('give no vote for a while after a restart: they may have heard a leader', () => {
    const it = new Voters('a', 'b', 'c');
    it.start('b');
    const last = { index: 99, term: 99 };
    const ask = { is: 'ask-vote', term: 2, trial: false, last } as const;
    const answer = (): ReplicaMessage | undefined => {
      it.of('b').receive('c', ask, it.now);
      return it.of('b').take().messages.at(-1)?.message;
    };
    it.now += electionMs[0] - 1;
    expect(answer()).toMatchObject({ is: 'vote', granted: false });
    it.now++;
    expect(answer()).toMatchObject({ is: 'vote', granted: true });
  });

  test('give no vote to one whose journal ends before theirs', () => {
    const it = new Voters('a', 'b', 'c');
    it.away.add('c');
    it.propose('a', 1);
    it.away.add('a');
    it.away.delete('c');
    it.wait(3 * electionMs[1]);
    expect(it.of('b').isLeader).toBe(true);
    expect(it.of('c').isLeader).toBe(false);
    expect(it.counts('c')).toEqual(['begun', 1, 'term']);
  });

  test('are led from when their leader sent what they answered, not from when the answer came', () => {
    const it = new Voters('a', 'b', 'c');
    const sent = it.now;
    it.away.add('b').add('c');
    it.now += leaseMs - 1;
    it.of('a').receive('b', { is: 'appended', term: 1, sent, ok: true, match: 1 }, it.now);
    expect(it.of('a').mayAct(it.now)).toBe(true);
    expect(it.of('a').mayAct(sent + leaseMs)).toBe(false);
    it.of('a').tick(sent + leaseMs);
    expect(it.of('a').isLeader).toBe(false);
  });

  test('take a long journal in pieces', () => {
    const it = new Voters('a', 'b', 'c');
    it.away.add('b');
    const big = Array.from({ length: 20 }, (_, n) => ({ ...record(n), text: 'x'.repeat(100_000) }));
    it.of('a').propose(big, it.now);
    it.run();
    it.away.clear();
    it.sent.length = 0;
    it.wait(heartbeatMs);
    expect(it.counts('b')).toHaveLength(21);
    const most = Math.max(...it.sent.map(({ message }) => JSON.stringify(message).length));
    expect(most).toBeLessThan(300_000);
  });
});

describe('a witness', () => {
  test('makes a majority where the other is gone', () => {
    const it = new Voters('a', 'b', 'w');
    it.away.add('b');
    it.propose('a', 1);
    expect(it.counts('a')).toEqual(['begun']);
    // It is told nothing that "b" does not have, until "b" must be taken for gone.
    it.wait(3 * heartbeatMs);
    expect(it.counts('a')).toEqual(['begun', 1]);
  });

  test('lets the other take over, and not while it lacks what the witness knows of', () => {
    const it = new Voters('a', 'b', 'w');
    it.away.add('b');
    it.propose('a', 1);
    it.wait(5 * heartbeatMs);
    it.away.add('a');
    it.away.delete('b');
    it.restartWitness();
    it.wait(5 * electionMs[1]);
    expect(it.of('b').isLeader).toBe(false);
    it.away.clear();
    it.wait(2 * electionMs[1]);
    it.away.add('a');
    it.wait(2 * electionMs[1]);
    expect(it.of('b').isLeader).toBe(true);
    expect(it.counts('b').slice(0, 2)).toEqual(['begun', 1]);
  });

  test('does not go back for an old message', () => {
    const it = new Voters('a', 'b', 'w');
    it.propose('a', 1);
    it.propose('a', 2);
    const extend = { is: 'extend', term: 1, sent: 0, last: { index: 1, term: 1 } } as const;
    expect(it.witness?.receive('a', extend, it.now)).toEqual({
      reply: { is: 'appended', term: 1, sent: 0, ok: true, match: 3 },
    });
    const old = { ...extend, term: 0 };
    expect(it.witness?.receive('a', old, it.now).reply).toMatchObject({ ok: false });
  });
});
