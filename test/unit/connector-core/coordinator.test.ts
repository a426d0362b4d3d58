import { describe, expect, test } from 'vitest';
import {
  type Answer,
  type Ask,
  Coordinator,
  type CoordinatorOutput,
} from '../../../daemon/connector/core/coordinator.ts';
import { nothingKept } from '../../../daemon/connector/core/records.ts';
import { freshReplica } from '../../../daemon/connector/core/replica.ts';
import { runStatus } from '../../../daemon/connector/core/status.ts';
import type { RunDefinition } from '../../../shared/connector/definition.ts';
import type { AttemptReport, Outcome } from '../../../shared/protocol/attempt-methods.ts';
import { runOf, workerOn } from '../../support/run-definition.ts';

const at = '2026-01-01T00:00:00.000Z';
const attempt = { worker: 'w', epoch: 1 };
const report: AttemptReport = {
  ...{ step: 'working', session: 's-1', sessionState: 'busy', submitted: false, frozen: false, lastLine: 'line' },
};
const common = { kept: nothingKept, durationMs: 7 };
const outcome: Outcome = { is: 'succeeded', json: { a: 1 }, files: ['f'], ...common };
const deliver: Ask = { is: 'deliver', attempt, outcome, text: 'done' };

/** A coordinator on machine "a", with the outputs of each step. */
class Case {
  now = 1_000;
  readonly coordinator: Coordinator;
  readonly online = new Set(['a', 'b']);
  readonly records: string[] = [];

  constructor(definition: RunDefinition, voters = ['a']) {
    const begun = {
      ...{ kind: 'begun', at, run: 'r', definition, startedBy: 'me' },
      voters: voters.map((id) => ({ id, name: id, witness: false })),
    };
    this.coordinator = Coordinator.found(this.around, begun, this.now);
  }

  get around(): Parameters<typeof Coordinator.found>[0] {
    return {
      ...{ self: 'a', random: () => 0.5, date: () => at },
      online: (machine) => this.online.has(machine),
      place: (choice) => {
        const name = choice?.by === 'name' ? choice.name : 'a';
        return this.online.has(name) ? { machine: { id: name, name } } : { none: `${name} is offline` };
      },
    };
  }

  take(): CoordinatorOutput {
    const out = this.coordinator.take(this.now);
    this.records.push(...out.committed.map(({ record }) => record.kind));
    return out;
  }

  /** What is answered to these, asked at once. */
  answers(...asks: Ask[]): Answer[] {
    const ids = asks.map((ask) => this.coordinator.ask(ask, this.now));
    const { answers } = this.take();
    return ids.flatMap((id) => answers.filter((one) => one.id === id).map(({ answer }) => answer));
  }

  get status() {
    const { state } = this.coordinator;
    if (!state) throw new Error('the run has not begun');
    return runStatus(state, this.coordinator.observed(this.now));
  }
}

const one = (over: Parameters<typeof workerOn>[2] = {}) => runOf([[workerOn('w', ['b'], over)]]);

test('a run begins, is carried out and ends', () => {
  const it = new Case(one());
  const first = it.take();
  expect(first.save?.log?.entries.map(({ record }) => record.kind)).toEqual(['begun', 'grant']);
  expect(first.calls).toEqual([{ do: 'begin', attempt, machine: { id: 'b', name: 'b' } }]);
  expect(it.status.workers).toMatchObject([{ state: 'granted', machine: 'b', epoch: 1, attempt: 1 }]);
  expect(it.answers({ is: 'renew', attempt, report })).toEqual([{ is: 'ok' }]);
  expect(it.status.workers).toMatchObject([{ state: 'running', session: 's-1', lastLine: 'line' }]);
  expect(it.answers({ is: 'renew', attempt, report: { ...report, submitted: true } })).toEqual([{ is: 'ok' }]);
  expect(it.answers(deliver)).toEqual([{ is: 'ok' }]);
  expect(it.records).toEqual(['begun', 'grant', 'submitted', 'commit', 'ended']);
  expect(it.status).toMatchObject({
    state: 'succeeded',
    workers: [{ state: 'succeeded', output: { text: 'done', json: { a: 1 }, files: ['f'] } }],
  });
});

describe('an outcome', () => {
  test('that is told again is taken once, also where both come together', () => {
    const it = new Case(one());
    it.take();
    expect(it.answers(deliver, deliver)).toEqual([{ is: 'ok' }, { is: 'ok' }]);
    expect(it.answers(deliver)).toEqual([{ is: 'ok' }]);
    // Its machine may not have heard the answer yet.
    expect(it.answers({ is: 'renew', attempt, report })).toEqual([{ is: 'ok' }]);
    expect(it.records.filter((kind) => kind === 'commit')).toHaveLength(1);
  });

  test('of another epoch, or of nobody, is fenced', () => {
    const it = new Case(one());
    it.take();
    const others = [
      { worker: 'w', epoch: 2 },
      { worker: 'x', epoch: 1 },
    ];
    expect(it.answers(...others.map((key): Ask => ({ ...deliver, attempt: key })))).toEqual([
      { is: 'fenced' },
      { is: 'fenced' },
    ]);
    expect(it.records).toEqual(['begun', 'grant']);
  });

  test('waits for the majority; where it does not come the asker is to try elsewhere', () => {
    const it = new Case(one(), ['a', 'b', 'c']);
    const { messages, calls } = it.take();
    expect(messages.map(({ to }) => to)).toEqual(['b', 'c']);
    expect(calls).toEqual([]);
    expect(it.answers(deliver)).toEqual([]);
    it.now += 60_000;
    it.coordinator.tick(it.now);
    expect(it.take().answers.map(({ answer }) => answer)).toEqual([{ is: 'busy', coordinator: null }]);
  });

  test('is not for one that only stands by', () => {
    const it = new Case(one());
    const standby = Coordinator.load({ ...it.around, self: 'b' }, freshReplica, it.now);
    standby.ask(deliver, it.now);
    expect(standby.take(it.now).answers.map(({ answer }) => answer)).toEqual([{ is: 'busy', coordinator: null }]);
  });
});

describe('a person', () => {
  test('cancels: machines are told, and what they deliver is fenced', () => {
    const it = new Case(one());
    it.take();
    const id = it.coordinator.ask({ is: 'cancel' }, it.now);
    const { answers, calls } = it.take();
    expect(answers).toEqual([{ id, answer: { is: 'ok' } }]);
    expect(calls).toEqual([{ do: 'end', attempt, machine: { id: 'b', name: 'b' }, why: 'cancelled' }]);
    expect(it.answers(deliver, { is: 'cancel' })).toEqual([{ is: 'fenced' }, { is: 'ok' }]);
    it.coordinator.called({ do: 'end', attempt }, { is: 'done', kept: { folder: null, branch: 'side' } }, it.now);
    it.take();
    expect(it.status).toMatchObject({
      state: 'cancelled',
      workers: [{ state: 'cancelled', kept: [{ machine: 'b', epoch: 1, branch: 'side' }] }],
    });
  });

  test('decides about work that may have changed what lies outside', () => {
    const it = new Case(one({ sideEffects: 'external', retry: { attempts: 2, backoffMs: 0 } }));
    it.take();
    const failed: Outcome = { is: 'failed', reason: 'crash', why: 'it broke', submitted: true, ...common };
    it.answers({ ...deliver, outcome: failed });
    expect(it.status).toMatchObject({ state: 'paused', why: expect.stringContaining('it broke') });
    expect(it.answers({ is: 'resume', worker: null, decision: null })).toMatchObject([{ is: 'refused' }]);
    expect(it.answers({ is: 'resume', worker: 'x', decision: 'rerun' })).toMatchObject([{ is: 'refused' }]);
    expect(it.answers({ is: 'resume', worker: null, decision: 'rerun' })).toEqual([{ is: 'ok' }]);
    expect(it.status.workers).toMatchObject([{ state: 'granted', epoch: 2, attempt: 2 }]);
  });
});

test('a worker that no machine takes says why', () => {
  const it = new Case(one());
  it.online.delete('b');
  it.take();
  expect(it.status.workers).toMatchObject([{ state: 'waiting', error: 'b is offline' }]);
  it.online.add('b');
  it.coordinator.tick(it.now);
  it.take();
  expect(it.status.workers).toMatchObject([{ state: 'granted', error: null }]);
});

test('a machine that is away shows as lost, and its call is made again when it is back', () => {
  const it = new Case(one());
  const [call] = it.take().calls;
  if (!call) throw new Error('nobody was told');
  it.online.delete('b');
  it.coordinator.called(call, { is: 'failed' }, it.now);
  it.now += 1_000;
  expect(it.take().calls).toEqual([]);
  expect(it.status.workers).toMatchObject([{ state: 'lost' }]);
  it.online.add('b');
  it.coordinator.tick(it.now);
  expect(it.take().calls).toEqual([call]);
});
