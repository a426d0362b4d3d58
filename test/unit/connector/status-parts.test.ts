import { expect, test } from 'vitest';
import { limits } from '../../../shared/protocol/limits.ts';
import type { RunStatus, StatusPart, WorkerStatus } from '../../../shared/protocol/run-methods.ts';
import { onStatus, StatusTeller } from '../../../shared/runs/status-parts.ts';

const worker = (name: string, change: Partial<WorkerStatus> = {}): WorkerStatus => ({
  ...{ name, phase: 'p', needs: [], machine: 'A', session: null, model: 'm', state: 'running', sessionState: 'busy' },
  ...{ attempt: 1, epoch: 1, since: null, startedAt: null, endedAt: null, lastLine: 'x'.repeat(200) },
  ...{ output: null, error: null, kept: [], ...change },
});
const status = (workers: WorkerStatus[]): RunStatus => ({
  ...{ run: 'r', name: 'r', state: 'running', coordinator: 'A', startedAt: '', endedAt: null, why: null, workers },
});

/** What a watcher comes to see. */
function watcher() {
  const seen: RunStatus[] = [];
  let take: (part: StatusPart) => void = () => undefined;
  const onEvent = (handler: typeof take): void => {
    take = handler;
  };
  onStatus({ onEvent }, (whole) => seen.push(whole));
  return { seen, take: (part: StatusPart) => take(part) };
}

test('a run of a thousand workers is told in parts that events can hold, and seen whole', () => {
  const many = Array.from({ length: 1_000 }, (_, at) => worker(`w${at}`, { error: 'no '.repeat(100) }));
  const teller = new StatusTeller();
  const { seen, take } = watcher();
  const parts = teller.parts(status(many));
  expect(parts.length).toBeGreaterThan(3);
  for (const part of parts) {
    expect(Buffer.byteLength(JSON.stringify(part))).toBeLessThan(limits.header);
    take(part);
  }
  expect(seen).toEqual([status(many)]);
});

test('afterwards what changed is told, and what did not is not', () => {
  const teller = new StatusTeller();
  const { seen, take } = watcher();
  for (const part of teller.parts(status([worker('a'), worker('b')]))) take(part);
  expect(teller.parts(status([worker('a'), worker('b')]))).toEqual([]);
  const done = worker('b', { state: 'succeeded', output: { text: 'long', json: null, files: [] } });
  const [part, ...more] = teller.parts(status([worker('a'), done]));
  expect([part?.status.workers.map(({ name }) => name), more]).toEqual([['b'], []]);
  take(part!);
  expect(seen.at(-1)?.workers).toEqual([worker('a'), { ...done, output: null }]);
  const over: RunStatus = { ...status([worker('a'), done]), state: 'succeeded' };
  for (const one of teller.parts(over)) take(one);
  expect(seen.at(-1)).toMatchObject({ state: 'succeeded', workers: [{ name: 'a' }, { name: 'b' }] });
});
