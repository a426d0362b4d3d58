import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { AttemptsHere } from '../../../daemon/connector/attempt-orders.ts';
import type { RunTeam } from '../../../daemon/connector/run-team.ts';
import { Runs } from '../../../daemon/connector/runs.ts';
import { Home } from '../../../daemon/home/home.ts';
import { Log } from '../../../daemon/home/log.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptReport, AttemptSpec } from '../../../shared/protocol/attempt-methods.ts';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const task of cleanups.splice(0).reverse()) await task();
});

/** Journals that this process has open. */
const openFiles = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    const to = readlinkIfThere(`/proc/self/fd/${fd}`);
    return to.endsWith('journal.ndjson') ? [to] : [];
  });

function readlinkIfThere(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

const self = { id: 'a', name: 'A' };
const machine: MachineInfo = {
  ...{ ...self, self: true, online: true, path: null, rttMs: null, since: null, lastSeen: null, version: '1' },
  ...{ platform: 'linux-x64', headless: 'running', sessions: 0, role: 'admin', labels: {} },
};
const report: AttemptReport = {
  step: 'working',
  ...{ session: null, sessionState: null, submitted: false, frozen: false, lastLine: null },
};
const nothing = { folder: null, branch: null };

/** The runs of one machine, alone in its team, whose attempts only note what they are told. */
function oneMachine() {
  const home = new Home(mkdtempSync(join(tmpdir(), 'niia-runs-')));
  cleanups.push(() => rmSync(home.root, { recursive: true, force: true }));
  const begun: AttemptSpec[] = [];
  const ended: string[] = [];
  let away = false;
  const attempts: AttemptsHere = {
    begin: async (spec) => {
      begun.push(spec);
      return report;
    },
    end: async ({ worker, epoch }, why) => {
      if (away) throw new NiiaError('offline', 'it is away');
      ended.push(`${worker} ${epoch} ${why}`);
      return nothing;
    },
    lacks: async () => [],
  };
  const team: RunTeam = {
    ...{ self: () => self, list: () => [machine], find: () => self, onChange: () => () => undefined },
    call: async () => {
      throw new NiiaError('offline', 'there is no other machine');
    },
  };
  const open = async () => {
    const runs = new Runs({ home, team, attempts, secret: () => undefined, log: new Log('test') });
    cleanups.push(() => runs.close());
    await runs.open();
    return runs;
  };
  const leave = (is: boolean) => {
    away = is;
  };
  return { home, begun, ended, open, leave };
}

const file = (more: object = {}) =>
  JSON.stringify({ connector: '2.0', name: 'one', task: 'go', models: { primary: 'exec' }, ...more });
const worker = { models: { primary: { command: ['true'], driver: 'exec' } } };
const params = { file: '/tmp/one.connector.json', inputs: {} };
const soon = { timeout: 10_000 };

describe('the runs of a machine', () => {
  test('are begun once for a key, also by two who ask at the same time', async () => {
    const { begun, open } = oneMachine();
    const runs = await open();
    const ids = await Promise.all([1, 2, 3].map(() => runs.start(params, file(worker), 'key')));
    expect(new Set(ids).size).toBe(1);
    expect(await runs.start(params, file(worker), 'key')).toBe(ids[0]);
    expect(await runs.start(params, file(worker), 'another')).not.toBe(ids[0]);
    await vi.waitFor(() => expect(begun).toHaveLength(2), soon);
    expect(runs.list()).toHaveLength(2);
  });

  test('are there again, and go on, when it starts again', async () => {
    const { begun, open } = oneMachine();
    const first = await open();
    const run = await first.start(params, file(worker), 'key');
    await vi.waitFor(() => expect(begun).toHaveLength(1), soon);
    await first.close();
    const second = await open();
    expect(second.list()).toMatchObject([{ run, state: 'running', coordinator: 'A' }]);
    const { epoch, worker: name } = begun[0]!;
    const outcome = { is: 'succeeded', json: null, files: [], kept: nothing, durationMs: 1 } as const;
    await vi.waitFor(() => expect(begun).toHaveLength(2), soon);
    await second.hosted(run).deliver({ run, worker: name, epoch }, { ...outcome, files: [] }, 'text', 'a');
    await vi.waitFor(() => expect(second.status(run).state).toBe('succeeded'), soon);
  });

  test('are not laid aside while a machine has to hear of their end, over a restart too', async () => {
    const { home, begun, ended, open, leave } = oneMachine();
    const first = await open();
    const run = await first.start(params, file(worker), 'key');
    await vi.waitFor(() => expect(begun).toHaveLength(1), soon);
    leave(true);
    await first.hosted(run).cancel();
    await vi.waitFor(() => expect(first.status(run).state).toBe('cancelled'), soon);
    const over = home.path('runs', run, 'over');
    expect(existsSync(over)).toBe(false);
    await first.close();
    leave(false);
    const second = await open();
    await vi.waitFor(() => expect(existsSync(over)).toBe(true), soon);
    expect(ended).toEqual([expect.stringMatching(/ 1 cancelled$/)]);
    await second.close();
    // Laid aside it is what its journal says, and adds nothing to that.
    const third = await open();
    expect(third.list()).toMatchObject([{ run, state: 'cancelled' }]);
    expect(third.records(run)).toEqual(second.records(run));
    expect(openFiles()).toEqual([]);
  });

  test('are not begun where they cannot be as their file says', async () => {
    const { home, open } = oneMachine();
    const runs = await open();
    const hooks = [{ url: 'http://127.0.0.1:1/', secret: 'NOT_THERE' }];
    const unsigned = runs.start(params, file({ ...worker, hooks }), undefined);
    await expect(unsigned).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('NOT_THERE') });
    await expect(runs.start(params, '{', undefined)).rejects.toMatchObject({ code: 'usage' });
    expect(readdirSync(home.path('runs'))).toEqual([]);
  });

  test('are taken from a voter only, by their beginning', async () => {
    const { home, open } = oneMachine();
    const runs = await open();
    const record = { kind: 'begun', at: '2026-11-24T10:00:00.000Z' };
    const append = { is: 'append', term: 1, sent: 0, prev: { index: 0, term: 0 }, commit: 1 } as const;
    for (const message of [
      { ...append, entries: [] },
      { ...append, entries: [{ term: 1, record: { kind: 'ended', at: record.at, state: 'failed', why: null } }] },
      { ...append, prev: { index: 3, term: 1 }, entries: [] },
    ]) {
      await expect(runs.receive('foreign', 'b', message)).rejects.toMatchObject({ code: 'no_such_run' });
    }
    expect(readdirSync(home.path('runs'))).toEqual([]);
  });
});
