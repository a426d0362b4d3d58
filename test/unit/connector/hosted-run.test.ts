import { afterEach, describe, expect, test, vi } from 'vitest';
import { Coordinator, type Surroundings } from '../../../daemon/connector/core/coordinator.ts';
import type { RunRecord } from '../../../daemon/connector/core/records.ts';
import type { Save, SavedReplica } from '../../../daemon/connector/core/replica.ts';
import { HostedRun } from '../../../daemon/connector/hosted-run.ts';
import { Log } from '../../../daemon/home/log.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptReport, Outcome } from '../../../shared/protocol/attempt-methods.ts';
import { runOf, workerOn } from '../../support/run-definition.ts';

const open: HostedRun[] = [];
afterEach(() => {
  for (const run of open.splice(0)) run.close();
});

const self = { id: 'a', name: 'A' };
const report: AttemptReport = {
  ...{ step: 'working', session: 'local-1', sessionState: 'busy', submitted: true, frozen: false, lastLine: null },
};
const key = { run: 'r', worker: 'w', epoch: 1 };
const done: Outcome = { is: 'succeeded', json: null, files: [], kept: { folder: null, branch: null }, durationMs: 1 };

/** A run of one worker on this machine, whose journal is in memory and can be made to fail. */
function hosted(voters = [self], lingerMs = 60_000) {
  const rests: number[] = [];
  const disk: SavedReplica = { term: 0, vote: null, log: [] };
  const begun: string[] = [];
  let full = false;
  const around: Surroundings = {
    ...{ self: self.id, random: () => 0.5, date: () => new Date().toISOString() },
    online: () => true,
    place: () => ({ machine: self }),
  };
  const save = async ({ ballot, log }: Save): Promise<void> => {
    // As slow as a disk: what leaves before it is done is seen.
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (full) throw new NiiaError('io', 'no space left on device');
    Object.assign(disk, ballot);
    if (log) disk.log = [...disk.log.slice(0, log.from - 1), ...log.entries];
  };
  const load = async () => Coordinator.load(around, structuredClone(disk), performance.now());
  const make = () => {
    const run = new HostedRun({
      ...{ run: 'r', self: self.id, save, send: () => undefined, now: () => performance.now() },
      load,
      ...{ rested: async () => void rests.push(disk.log.length), lingerMs },
      machines: {
        begin: async (machine, _, { worker, epoch }) => {
          // What a machine is told is on disk.
          expect(disk.log.some(({ record }) => record.kind === 'grant' && record['epoch'] === epoch)).toBe(true);
          begun.push(`${worker} ${epoch} on ${machine.name}`);
          return report;
        },
        end: async () => ({ kept: { folder: null, branch: null } }),
      },
      changed: () => undefined,
      log: new Log('test'),
    });
    open.push(run);
    return run;
  };
  const first: RunRecord = {
    ...{ kind: 'begun', at: new Date().toISOString(), run: 'r', startedBy: 'A' },
    definition: runOf([[workerOn('w', ['A'])]]),
    voters: voters.map((one) => ({ ...one, witness: false })),
  };
  return {
    ...{ disk, begun, make, load, rests },
    first,
    found: () => Coordinator.found(around, first, performance.now()),
    fill: (is: boolean) => {
      full = is;
    },
  };
}

const kinds = (disk: SavedReplica) => disk.log.map(({ record }) => record.kind);

describe('a run that is hosted', () => {
  test('answers and orders nothing before it is on disk [RUN-2]', async () => {
    const { disk, begun, make, found } = hosted();
    const run = make();
    await run.open(found());
    await vi.waitFor(() => expect(begun).toEqual(['w 1 on A']));
    await run.renew(key, report, 'a');
    expect(kinds(disk)).toContain('submitted');
    await run.deliver(key, done, 'the answer', 'a');
    expect(kinds(disk)).toContain('commit');
    await vi.waitFor(() => expect(run.info()?.state).toBe('succeeded'));
    expect(run.status()?.workers[0]?.output?.text).toBe('the answer');
  });

  test('refuses whoever is not the machine of the present epoch', async () => {
    const { begun, make, found } = hosted();
    const run = make();
    await run.open(found());
    await vi.waitFor(() => expect(begun).toHaveLength(1));
    await expect(run.renew({ ...key, epoch: 2 }, report, 'a')).rejects.toMatchObject({ code: 'fenced' });
    await expect(run.renew(key, report, 'b')).rejects.toMatchObject({ code: 'fenced' });
    await expect(run.deliver(key, done, '', 'b')).rejects.toMatchObject({ code: 'fenced' });
    await run.deliver(key, done, 'x', 'a');
    // Its answer may have been lost: the same again is taken for what it is.
    await run.deliver(key, done, 'x', 'a');
    await expect(run.renew(key, report, 'a')).rejects.toMatchObject({ code: 'fenced' });
  });

  test('promises nothing while its disk is full, and goes on when it is not', async () => {
    const { disk, begun, make, found, fill } = hosted();
    const run = make();
    await run.open(found());
    await vi.waitFor(() => expect(begun).toHaveLength(1));
    fill(true);
    await expect(run.deliver(key, done, 'lost', 'a')).rejects.toMatchObject({ code: 'io' });
    expect(kinds(disk)).not.toContain('commit');
    fill(false);
    await vi.waitFor(() => run.deliver(key, done, 'kept', 'a'), { timeout: 10_000, interval: 200 });
    expect(run.status()?.workers[0]?.output?.text).toBe('kept');
  });

  test('is what its journal says when it is opened again', async () => {
    const { disk, begun, make, load, found } = hosted();
    const first = make();
    await first.open(found());
    await vi.waitFor(() => expect(begun).toHaveLength(1));
    first.close();
    const second = make();
    await second.open(await load());
    // It is told again, under the same epoch: a machine that knows it does nothing more.
    await vi.waitFor(() => expect(begun).toEqual(['w 1 on A', 'w 1 on A']));
    await second.deliver(key, done, 'x', 'a');
    await vi.waitFor(() => expect(second.isOver).toBe(true));
    second.close();
    const third = make();
    third.restore(disk.log.map(({ record }) => record));
    expect(third.info()).toMatchObject({ state: 'succeeded' });
    await third.deliver(key, done, 'x', 'a');
    await expect(third.renew(key, report, 'a')).rejects.toMatchObject({ code: 'fenced' });
  });

  test('is told of by its journal alone while most of its voters are away', async () => {
    const { make, begun, found, first } = hosted([self, { id: 'b', name: 'B' }]);
    const run = make();
    await run.open(found(), [first]);
    expect([run.state, begun]).toEqual([undefined, []]);
    expect(run.info()).toMatchObject({ state: 'running', why: expect.stringContaining('most of the machines') });
    expect(run.status()?.workers).toMatchObject([{ name: 'w', state: 'waiting' }]);
  });

  test('lets go of its journal some time after it is over, and is there all the same', async () => {
    const { make, begun, found, rests, disk } = hosted([self], 100);
    const run = make();
    await run.open(found());
    await vi.waitFor(() => expect(begun).toHaveLength(1));
    await run.deliver(key, done, 'x', 'a');
    await vi.waitFor(() => expect(rests).toHaveLength(1), { timeout: 10_000 });
    expect(rests).toEqual([disk.log.length]);
    expect(run.status()).toMatchObject({ state: 'succeeded', workers: [{ output: { text: 'x' } }] });
    await expect(run.resume(null, 'rerun')).rejects.toMatchObject({ code: 'failed' });
    await expect(run.renew(key, report, 'a')).rejects.toMatchObject({ code: 'fenced' });
  });
});
