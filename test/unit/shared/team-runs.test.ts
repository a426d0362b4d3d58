import { describe, expect, it } from 'vitest';
import { NiiaError } from '../../../shared/errors.ts';
import type { RunInfo } from '../../../shared/protocol/run-methods.ts';
import { startingMachine } from '../../../shared/runs/starting-machine.ts';
import { teamRuns } from '../../../shared/runs/team-runs.ts';

const machine = (name: string, more: { self?: boolean; online?: boolean } = {}) => ({
  ...{ name, id: `id-${name}`, self: false, online: true },
  ...more,
});
const run = (id: string, coordinator: string, more: Partial<RunInfo> = {}): RunInfo => ({
  ...{ run: id, name: 'review', state: 'running', coordinator, endedAt: null, why: null },
  startedAt: '2026-11-22T10:00:00Z',
  ...more,
});

describe('the runs of a team', () => {
  const here = machine('here', { self: true });
  const told = (answers: Record<string, RunInfo[] | NiiaError>) => (at: string | undefined) => {
    const answer = answers[at ?? 'here'] ?? [];
    return answer instanceof NiiaError ? Promise.reject(answer) : Promise.resolve({ runs: answer });
  };

  it('are each there once, as the coordinator tells it, wherever it stands in the list', async () => {
    for (const machines of [
      [here, machine('b'), machine('c')],
      [machine('c'), machine('b'), here],
    ]) {
      const answers = {
        here: [run('r', 'c', { why: 'by a standby' })],
        'id-b': [run('r', 'b', { why: 'by the coordinator', state: 'paused' })],
        'id-c': [run('r', 'b', { why: 'by another standby' })],
      };
      const { runs, missing } = await teamRuns(machines, told(answers));
      expect(runs).toEqual([{ ...run('r', 'b', { why: 'by the coordinator', state: 'paused' }), at: 'id-b' }]);
      expect(missing).toEqual([]);
    }
  });

  it('are told by a standby where the coordinator is away, and this machine by no id', async () => {
    const machines = [here, machine('b', { online: false })];
    const { runs, missing } = await teamRuns(machines, told({ here: [run('r', 'b')] }));
    expect(runs).toEqual([{ ...run('r', 'b'), at: undefined }]);
    expect(missing).toEqual([{ machine: 'b', why: 'it is offline' }]);
  });

  it('are the newest first over all machines', async () => {
    const at = (hour: number) => ({ startedAt: `2026-11-22T${hour}:00:00Z` });
    const answers = {
      here: [run('old', 'here', at(10)), run('new', 'here', at(14))],
      'id-b': [run('middle', 'b', at(12))],
    };
    const { runs } = await teamRuns([here, machine('b')], told(answers));
    expect(runs.map((one) => one.run)).toEqual(['new', 'middle', 'old']);
  });

  it('leave out who does not answer, and say so; who has never heard of runs has none', async () => {
    const machines = [here, machine('slow'), machine('older')];
    const answers = {
      'id-slow': new NiiaError('timeout', 'no answer within 8 s'),
      'id-older': new NiiaError('unknown_method', 'no method run.list'),
    };
    expect(await teamRuns(machines, told(answers))).toEqual({
      runs: [],
      missing: [{ machine: 'slow', why: 'no answer within 8 s' }],
    });
    await expect(teamRuns([here], told({ here: new NiiaError('io', 'disk') }))).rejects.toThrow('disk');
  });
});

describe('the machine to begin a run on', () => {
  const team = [machine('here', { self: true }), machine('b', { online: false }), machine('c')];

  it('is this one, unless the file names others; then the first of them that is there', () => {
    expect(startingMachine([], team)).toBeUndefined();
    expect(startingMachine(['c', 'here'], team)).toBeUndefined();
    expect(startingMachine(['b', 'c'], team)).toBe('id-c');
    expect(startingMachine(['id-c'], team)).toBe('id-c');
    expect(() => startingMachine(['b', 'nobody'], team)).toThrow('none of the machines');
  });
});
