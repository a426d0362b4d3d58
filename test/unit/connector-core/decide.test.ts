import { describe, expect, test } from 'vitest';
import {
  type Attempt,
  type CallState,
  decide,
  type Intention,
  type View,
} from '../../../daemon/connector/core/decide.ts';
import { lostAfterMs } from '../../../daemon/connector/core/next-attempt.ts';
import type { RecordOf, RunRecord, Undated } from '../../../daemon/connector/core/records.ts';
import { nothingKept } from '../../../daemon/connector/core/records.ts';
import { fold, type RunState, type WorkerState } from '../../../daemon/connector/core/state.ts';
import { runStatus } from '../../../daemon/connector/core/status.ts';
import type { FailReason, MachineChoice, RunDefinition } from '../../../shared/connector/definition.ts';
import { placedOn, runOf, workerOn } from '../../support/run-definition.ts';

const at = '2026-01-01T00:00:00.000Z';
const ref = (name: string) => ({ id: `id-${name}`, name });
const keyOf = ({ worker, epoch }: Attempt) => `${worker} ${epoch}`;

/** One coordinator for which every record counts at once, with a clock that the test turns. */
class Case {
  state: RunState;
  now = 0;
  started = 0;
  readonly online = new Set<string>();
  readonly #applied: number[] = [];
  readonly heard = new Map<string, number>();
  readonly begins = new Map<string, CallState>();
  readonly ends = new Map<string, CallState>();

  constructor(definition: RunDefinition, online: string[]) {
    for (const name of online) this.online.add(`id-${name}`);
    this.state = fold(undefined, 1, {
      ...{ kind: 'begun', at, run: 'r1', definition, startedBy: 'me' },
      voters: [{ id: 'id-a', name: 'a', witness: false }],
    });
  }

  get view(): View {
    return {
      now: this.now,
      started: this.started,
      appliedAt: (index) => Math.max(this.started, this.#applied[index] ?? 0),
      heard: (attempt) => this.heard.get(keyOf(attempt)),
      begin: (attempt) => this.begins.get(keyOf(attempt)),
      end: (attempt) => this.ends.get(keyOf(attempt)),
      online: (machine) => this.online.has(machine),
      place: (choice, load) => {
        if (choice?.by !== 'labels') {
          const name = choice?.name ?? 'a';
          return this.online.has(`id-${name}`) ? { machine: ref(name) } : { none: `${name} is offline` };
        }
        const [first] = [...this.online].sort((a, b) => (load.get(a) ?? 0) - (load.get(b) ?? 0) || (a < b ? -1 : 1));
        return first === undefined ? { none: 'none is online' } : { machine: ref(first.slice(3)) };
      },
    };
  }

  add(record: Undated): void {
    const index = this.state.index + 1;
    this.#applied[index] = this.now;
    this.state = fold(this.state, index, { ...record, at } as RunRecord);
    expect(this.state.ignored, `${record.kind} was ignored`).toBe(0);
  }

  decide(): Intention[] {
    return decide(this.state, this.view);
  }

  /** Appends what is to be appended, until there is nothing more. Gives what was, and what else is wanted. */
  settle(): { records: Undated[]; others: Intention[] } {
    const records: Undated[] = [];
    for (let round = 0; round < 20; round++) {
      const intentions = this.decide();
      const appended = intentions.flatMap((one) => (one.do === 'append' ? [one.record] : []));
      if (appended.length === 0) return { records, others: intentions };
      for (const record of appended) this.add(record);
      records.push(...appended);
    }
    throw new Error('it never comes to rest');
  }

  worker(name: string): WorkerState {
    const worker = this.state.workers.get(name);
    if (!worker) throw new Error(`no worker ${name}`);
    return worker;
  }

  /** The machine of the present attempt says that it is done. */
  commit(name: string): void {
    const { epoch, machine } = this.worker(name);
    if (!machine) throw new Error(`${name} was never granted`);
    const output = { text: `${name} done`, json: null, files: [] };
    this.add({ kind: 'commit', worker: name, epoch, output, kept: nothingKept, machine, durationMs: 1 });
  }

  fail(name: string, reason: FailReason, submitted = true): void {
    const { epoch, machine } = this.worker(name);
    this.add({
      ...{ kind: 'failed', worker: name, epoch, reason, why: `it was ${reason}`, submitted, kept: nothingKept },
      ...{ machine, durationMs: 1, final: false },
    });
  }

  renew(name: string): void {
    this.heard.set(keyOf({ worker: name, epoch: this.worker(name).epoch }), this.now);
  }
}

const unobserved = { report: () => undefined, silent: () => false, lack: () => undefined };
const grants = (records: Undated[]) =>
  records.filter((one): one is Omit<RecordOf<'grant'>, 'at'> => one.kind === 'grant');
const granted = (records: Undated[]) => grants(records).map(({ worker, machine }) => `${worker} on ${machine.name}`);
const kinds = (records: Undated[]) => records.map(({ kind }) => kind);

describe('phases', () => {
  test('come one after the other, and the last one ends the run', () => {
    const it = new Case(runOf([[workerOn('one', ['a']), workerOn('two', ['b'])], [workerOn('three', ['a'])]]), [
      'a',
      'b',
    ]);
    expect(granted(it.settle().records)).toEqual(['one on a', 'two on b']);
    it.commit('one');
    expect(it.settle().records).toEqual([]);
    it.commit('two');
    expect(granted(it.settle().records)).toEqual(['three on a']);
    it.commit('three');
    expect(it.settle().records).toEqual([{ kind: 'ended', state: 'succeeded', why: null }]);
    expect(it.settle()).toEqual({ records: [], others: [] });
  });

  test('have as many workers at once as they have room for', () => {
    const workers = ['one', 'two', 'three'].map((name) => workerOn(name, ['a']));
    const it = new Case(runOf([workers], 2), ['a']);
    expect(granted(it.settle().records)).toEqual(['one on a', 'two on a']);
    it.commit('two');
    expect(granted(it.settle().records)).toEqual(['three on a']);
  });

  test('start a worker once those that it needs are done', () => {
    const it = new Case(runOf([[workerOn('late', ['a'], { needs: ['early'] }), workerOn('early', ['a'])]]), ['a']);
    expect(granted(it.settle().records)).toEqual(['early on a']);
    it.commit('early');
    expect(granted(it.settle().records)).toEqual(['late on a']);
  });

  test('spread workers over machines by what was granted a moment before', () => {
    const choice: MachineChoice = { by: 'labels', labels: {}, has: [], pick: 'spread' };
    const anywhere = { placements: [{ ...placedOn('a'), machine: choice }] };
    const it = new Case(runOf([['1', '2', '3', '4'].map((name) => workerOn(name, [], anywhere))]), ['a', 'b']);
    expect(granted(it.settle().records)).toEqual(['1 on a', '2 on b', '3 on a', '4 on b']);
  });

  test('start none any more after one failed for good, and fail once the others are over', () => {
    const workers = ['bad', 'good', 'never'].map((name) => workerOn(name, ['a']));
    const it = new Case(runOf([workers], 2), ['a']);
    it.settle();
    it.fail('bad', 'check_failed');
    expect(it.settle().records).toEqual([]);
    it.commit('good');
    expect(it.settle().records).toEqual([{ kind: 'ended', state: 'failed', why: 'bad: it was check_failed' }]);
    const states = runStatus(it.state, unobserved).workers.map(({ state }) => state);
    expect(states).toEqual(['failed', 'succeeded', 'cancelled']);
  });
});

describe('a failed attempt', () => {
  test('goes to the next placement, each once, for reasons of failoverOn', () => {
    const it = new Case(runOf([[workerOn('w', ['a', 'b'], { retry: { attempts: 2, backoffMs: 0 } })]]), ['a', 'b']);
    it.settle();
    it.fail('w', 'crash');
    expect(grants(it.settle().records)).toMatchObject([{ epoch: 2, attempt: 1, placement: 1, machine: ref('b') }]);
    it.fail('w', 'crash');
    expect(grants(it.settle().records)).toMatchObject([{ epoch: 3, attempt: 2, placement: 1, machine: ref('b') }]);
    it.fail('w', 'crash');
    expect(kinds(it.settle().records)).toEqual(['ended']);
  });

  test('is retried in its place for other reasons, after a backoff that doubles', () => {
    const it = new Case(runOf([[workerOn('w', ['a', 'b'], { retry: { attempts: 3, backoffMs: 1_000 } })]]), ['a', 'b']);
    it.settle();
    it.fail('w', 'check_failed');
    expect(it.settle()).toEqual({ records: [], others: [{ do: 'wait', until: 1_000 }] });
    it.now = 1_000;
    expect(grants(it.settle().records)).toMatchObject([{ epoch: 2, attempt: 2, placement: 0, machine: ref('a') }]);
    it.fail('w', 'check_failed');
    expect(it.settle().others).toEqual([{ do: 'wait', until: 3_000 }]);
    it.now = 3_000;
    expect(grants(it.settle().records)).toMatchObject([{ epoch: 3, attempt: 3, placement: 0 }]);
    it.fail('w', 'check_failed');
    expect(kinds(it.settle().records)).toEqual(['ended']);
  });

  test('of work that changes what lies outside waits for a person, once its prompt was out', () => {
    const it = new Case(runOf([[workerOn('w', ['a', 'b'], { sideEffects: 'external' })]]), ['a', 'b']);
    it.settle();
    it.fail('w', 'crash', false);
    expect(kinds(it.settle().records)).toEqual(['grant']);
    it.fail('w', 'outcome_unknown');
    expect(kinds(it.settle().records)).toEqual(['paused']);
    expect(runStatus(it.state, unobserved)).toMatchObject({
      state: 'paused',
      workers: [{ state: 'paused' }],
    });
    it.add({ kind: 'resumed', worker: 'w', decision: 'rerun' });
    expect(grants(it.settle().records)).toMatchObject([{ epoch: 3, placement: 1 }]);
    it.fail('w', 'crash');
    it.settle();
    it.add({ kind: 'resumed', worker: 'w', decision: 'skip' });
    expect(it.settle().records).toEqual([{ kind: 'ended', state: 'succeeded', why: null }]);
  });

  test('is the last one where all attempts together took too long', () => {
    const limits = { startMs: 1, turnMs: 1, stallMs: 0, totalMs: 5_000, bytes: 0 };
    const it = new Case(runOf([[workerOn('w', ['a', 'b'], { limits })]]), ['a', 'b']);
    it.settle();
    it.now = 4_000;
    it.fail('w', 'crash');
    expect(granted(it.settle().records)).toEqual(['w on b']);
    it.now = 5_000;
    const { records, others } = it.settle();
    expect(records).toMatchObject([
      { kind: 'failed', reason: 'timeout', final: true },
      { kind: 'ended', state: 'failed' },
    ]);
    expect(others).toMatchObject([{ do: 'end', machine: ref('b'), why: 'fenced' }]);
  });
});

describe('a machine that is away', () => {
  const definition = () => runOf([[workerOn('w', ['a', 'b'])]]);
  const lostAfter = lostAfterMs(workerOn('w', []).lease);

  test('keeps its grant until its lease must be over by any clock', () => {
    const it = new Case(definition(), ['a', 'b']);
    it.settle();
    it.now = 7_000;
    it.renew('w');
    it.online.delete('id-a');
    it.now = 7_000 + lostAfter - 1;
    expect(it.settle()).toEqual({ records: [], others: [{ do: 'wait', until: 7_000 + lostAfter }] });
    it.now++;
    expect(it.settle().records).toMatchObject([
      { kind: 'lost', epoch: 1 },
      { kind: 'grant', epoch: 2, machine: ref('b') },
    ]);
  });

  test('is given as long by a coordinator that has just taken over', () => {
    const it = new Case(definition(), ['a', 'b']);
    it.settle();
    it.online.delete('id-a');
    it.started = 100_000;
    it.now = it.started + lostAfter - 1;
    expect(it.settle().records).toEqual([]);
    it.now++;
    expect(kinds(it.settle().records)).toEqual(['lost', 'grant']);
  });

  test('keeps it while presence sees the machine, which is told again', () => {
    const it = new Case(definition(), ['a', 'b']);
    expect(it.settle().others).toContainEqual({ do: 'begin', attempt: { worker: 'w', epoch: 1 }, machine: ref('a') });
    it.begins.set('w 1', { running: false, triedAt: 0, doneAt: 0, refused: null });
    expect(it.settle()).toEqual({ records: [], others: [{ do: 'wait', until: 10_000 }] });
    it.now = 1_000_000;
    expect(it.settle()).toEqual({
      records: [],
      others: [{ do: 'begin', attempt: { worker: 'w', epoch: 1 }, machine: ref('a') }],
    });
  });

  test('keeps it where there is nothing better, and loses it when there is', () => {
    const it = new Case(definition(), ['a']);
    it.settle();
    it.online.clear();
    it.now = 1_000_000;
    expect(it.settle().records).toEqual([]);
    it.online.add('id-b');
    expect(kinds(it.settle().records)).toEqual(['lost', 'grant']);
  });

  test('pauses a run whose work changes what lies outside, and goes on when it is back', () => {
    const it = new Case(runOf([[workerOn('w', ['a', 'b'], { sideEffects: 'external' })]]), ['a', 'b']);
    it.settle();
    it.add({ kind: 'submitted', worker: 'w', epoch: 1 });
    it.online.delete('id-a');
    it.now = lostAfter;
    expect(kinds(it.settle().records)).toEqual(['paused']);
    it.online.add('id-a');
    it.renew('w');
    expect(it.settle().records).toEqual([{ kind: 'resumed', worker: 'w', decision: 'continue' }]);
    it.commit('w');
    expect(it.settle().records).toMatchObject([{ kind: 'ended', state: 'succeeded' }]);
  });

  test('loses such work when a person says so', () => {
    const it = new Case(runOf([[workerOn('w', ['a', 'b'], { sideEffects: 'external' })]]), ['a', 'b']);
    it.settle();
    it.add({ kind: 'submitted', worker: 'w', epoch: 1 });
    it.online.delete('id-a');
    it.now = lostAfter;
    it.settle();
    it.add({ kind: 'resumed', worker: 'w', decision: 'rerun' });
    // Its lost attempt was submitted; the person's word counts for it.
    expect(it.settle().records).toMatchObject([{ kind: 'lost' }, { kind: 'grant', epoch: 2, machine: ref('b') }]);
  });

  test('is passed over after a while, where there is another placement', () => {
    const it = new Case(definition(), ['b']);
    const lack = { do: 'lack', worker: 'w', why: 'a is offline' };
    expect(it.settle()).toEqual({ records: [], others: [lack, { do: 'wait', until: 5_000 }] });
    it.now = 5_000;
    expect(grants(it.settle().records)).toMatchObject([{ epoch: 1, placement: 1, machine: ref('b') }]);
  });

  test('fails the attempt at once where it refuses to begin and never renewed', () => {
    const it = new Case(definition(), ['a', 'b']);
    it.settle();
    it.begins.set('w 1', { running: false, triedAt: 0, doneAt: null, refused: 'not allowed' });
    expect(it.settle().records).toMatchObject([
      { kind: 'failed', reason: 'start_failed', why: 'not allowed' },
      { kind: 'grant', epoch: 2, machine: ref('b') },
    ]);
  });

  test('is told again where it refuses to go on, which nobody else may do before its lease is over', () => {
    const it = new Case(definition(), ['a']);
    it.settle();
    it.heard.set('w 1', 0);
    it.now = 60_000;
    it.begins.set('w 1', { running: false, triedAt: 60_000, doneAt: null, refused: 'no space left' });
    expect(it.settle()).toEqual({
      records: [],
      others: [
        { do: 'lack', worker: 'w', why: 'no space left' },
        { do: 'wait', until: 90_000 },
      ],
    });
    it.now = 90_000;
    const { records, others } = it.settle();
    expect(records).toEqual([]);
    expect(others).toContainEqual({ do: 'begin', attempt: { worker: 'w', epoch: 1 }, machine: ref('a') });
  });
});

test('a cancelled run ends, and its machines are told until they answer', () => {
  const it = new Case(runOf([[workerOn('w', ['a'])]]), ['a']);
  it.settle();
  it.add({ kind: 'cancelled' });
  const { records, others } = it.settle();
  expect(records).toEqual([{ kind: 'ended', state: 'cancelled', why: null }]);
  expect(others).toEqual([{ do: 'end', attempt: { worker: 'w', epoch: 1 }, machine: ref('a'), why: 'cancelled' }]);
  it.ends.set('w 1', { running: false, triedAt: 0, doneAt: null, refused: null });
  expect(it.settle().others).toEqual([{ do: 'wait', until: 1_000 }]);
  it.add({ kind: 'fenced', worker: 'w', epoch: 1, machine: ref('a'), kept: { folder: null, branch: 'side' } });
  expect(it.settle()).toEqual({ records: [], others: [] });
  expect(it.worker('w').kept).toEqual([{ machine: 'a', epoch: 1, folder: null, branch: 'side' }]);
});

describe('a record', () => {
  test('that contradicts the run changes nothing', () => {
    const it = new Case(runOf([[workerOn('w', ['a'])]]), ['a']);
    it.settle();
    it.commit('w');
    const before = it.state;
    const output = { text: 'again', json: null, files: [] };
    const commit = {
      kind: 'commit',
      at,
      worker: 'w',
      epoch: 1,
      output,
      kept: nothingKept,
      machine: ref('a'),
      durationMs: 1,
    };
    const after = fold(before, before.index + 1, commit);
    expect(after.workers).toEqual(before.workers);
    expect(after.ignored).toBe(1);
  });

  test('of a kind that a later version brings is passed over', () => {
    const it = new Case(runOf([[workerOn('w', ['a'])]]), ['a']);
    const after = fold(it.state, 2, { kind: 'applauded', at, by: 'all' });
    expect(after).toEqual({ ...it.state, index: 2 });
  });

  test('of a known kind and another shape is an error', () => {
    const it = new Case(runOf([[workerOn('w', ['a'])]]), ['a']);
    expect(() => fold(it.state, 2, { kind: 'grant', at, worker: 7 })).toThrow('another shape');
  });
});
