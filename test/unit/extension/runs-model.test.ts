import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { DaemonConnection } from '../../../extension/connection.ts';
import { daemonAddress } from '../../../extension/daemon-connection.ts';
import type { Disposable } from '../../../extension/emitter.ts';
import { Emitter } from '../../../extension/emitter.ts';
import type { Log } from '../../../extension/log.ts';
import { RunsModel } from '../../../extension/runs/runs-model.ts';
import { TeamModel } from '../../../extension/team-model.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { RunInfo, RunStatus } from '../../../shared/protocol/run-methods.ts';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import { StatusTeller } from '../../../shared/runs/status-parts.ts';
import { Answers } from '../cli/harness.ts';
import { done, ended, shownRun, worker } from './run-fixtures.ts';

const log: Log = { debug: () => undefined, info: () => undefined, warn: console.warn, error: console.error };

function machine(name: string, more: Partial<MachineInfo> = {}): MachineInfo {
  return {
    ...{ name, id: `id-${name}`, self: false, online: true, path: 'direct', rttMs: 1, since: null, lastSeen: null },
    ...{ version: null, platform: null, headless: 'running', sessions: 0, role: 'operator', labels: {} },
    ...more,
  };
}

/** A team as its daemon tells of it: what is changed here is told to whoever watches. */
class Team {
  readonly changed = new Emitter<void>();
  machines = [machine('here', { self: true }), machine('there')];
  /** By the name of the machine that coordinates them, or stands by. */
  readonly runs: Record<string, RunStatus[]> = { here: [], there: [] };
  /** Of watches of runs that are open, `MACHINE/RUN`. */
  readonly watches = new Set<string>();
  lists = 0;

  change(change: () => void): void {
    change();
    this.changed.fire();
  }

  async serve(home: Home): Promise<Answers> {
    return await Answers.serve(home, {
      'machine.watch': async ({ emit, signal }) => {
        await this.#follow(signal, () => {
          emit({ machines: this.machines });
          return false;
        });
        return {};
      },
      'run.list': (_, { header }) => {
        this.lists += 1;
        return { runs: this.#runsAt(header.to).map(({ workers: _workers, ...info }): RunInfo => info) };
      },
      'run.watch': async ({ params: { run }, emit, signal }, { header }) => {
        const found = (): RunStatus => {
          const status = this.#runsAt(header.to).find((one) => one.run === run);
          if (status) return status;
          throw new NiiaError('no_such_run', `no run ${run}`);
        };
        const key = `${this.#nameOf(header.to)}/${run}`;
        found();
        this.watches.add(key);
        const teller = new StatusTeller();
        try {
          await this.#follow(signal, () => {
            for (const part of teller.parts(found())) emit(part);
            return found().endedAt !== null;
          });
        } finally {
          this.watches.delete(key);
        }
        return {};
      },
    });
  }

  #nameOf(id: string | undefined): string {
    return this.machines.find((one) => one.id === id)?.name ?? 'here';
  }

  #runsAt(id: string | undefined): RunStatus[] {
    return this.runs[this.#nameOf(id)] ?? [];
  }

  /** Calls `tell` now and after each change, until it says that this was the last time. */
  async #follow(signal: AbortSignal, tell: () => boolean): Promise<void> {
    if (tell()) return;
    await new Promise<void>((resolve, reject) => {
      const listening = this.changed.event(() => {
        try {
          if (!tell()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        listening.dispose();
      });
      signal.addEventListener('abort', () => {
        listening.dispose();
        resolve();
      });
    });
  }
}

describe('the runs of a window', () => {
  let folder: string;
  let team: Team;
  let answers: Answers;
  let connection: DaemonConnection;
  let machines: TeamModel;
  let model: RunsModel;
  const held: Disposable[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'niia-runs-'));
    const home = new Home(folder);
    team = new Team();
    answers = await team.serve(home);
    connection = new DaemonConnection(daemonAddress(home.root), log);
    machines = new TeamModel(connection, log);
    model = new RunsModel(connection, machines, log);
    held.push(machines.watchMachines());
    connection.start();
    await machines.known(AbortSignal.timeout(10_000));
  });
  afterEach(async () => {
    for (const one of [...held.splice(0), model, machines, connection]) one.dispose();
    await answers.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (workers: Parameters<typeof shownRun>[0] & object, more: Partial<RunStatus> = {}): RunStatus => {
    const { status } = shownRun(workers, {});
    if (!status) throw new Error('it has a status');
    return { ...status, coordinator: 'here', ...more };
  };
  const lease = (of: Disposable): Disposable => {
    held.push(of);
    return of;
  };
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const listening = model.onDidChange(() => {
          listening.dispose();
          resolve();
        });
      });
    }
  };
  const state = (id: string): string | undefined => model.run(id)?.status?.workers[0]?.state;

  it('are told while somebody looks, and nothing is asked for otherwise', async () => {
    team.runs['there'] = [run([worker('a')], { coordinator: 'there', run: 'r' })];
    expect(model.runs).toBeUndefined();
    expect(team.lists).toBe(0);
    const looking = lease(model.watch());
    await until(() => state('r') === 'running');
    expect(model.run('r')?.at).toBe('id-there');
    expect([...team.watches]).toEqual(['there/r']);
    team.change(() => {
      team.runs['there'] = [run([worker('a', { state: 'blocked' })], { coordinator: 'there', run: 'r' })];
    });
    await until(() => state('r') === 'blocked');
    looking.dispose();
    // Only the machines are still watched.
    expect(connection.peer?.openCalls).toBe(1);
  });

  it('come with those that go on first, and these alone are watched', async () => {
    team.runs['here'] = [
      run([done('a')], { run: 'old', ...ended }),
      run([worker('a')], { run: 'live', startedAt: '2020-01-01T00:00:00Z' }),
    ];
    lease(model.watch());
    await until(() => state('live') === 'running');
    expect(model.runs?.map((one) => one.run)).toEqual(['live', 'old']);
    expect([...team.watches]).toEqual(['here/live']);
    expect(model.run('old')?.status).toBeUndefined();
    expect((await model.load('old')).workers).toHaveLength(1);
    expect(state('old')).toBe('succeeded');
  });

  it('are looked for again when one ends, and when sessions come', async () => {
    team.runs['here'] = [run([worker('a')], { run: 'r' })];
    lease(model.watch());
    await until(() => state('r') === 'running');
    team.change(() => {
      team.runs['here'] = [run([done('a')], { run: 'r', ...ended }), run([worker('b')], { run: 'next' })];
    });
    await until(() => model.run('r')?.state === 'succeeded');
    await until(() => state('next') === 'running');
    expect([...team.watches]).toEqual(['here/next']);
    team.change(() => {
      team.runs['there'] = [run([worker('c')], { run: 'third', coordinator: 'there' })];
      team.machines = [machine('here', { self: true }), machine('there', { sessions: 1 })];
    });
    await until(() => state('third') === 'running');
  });

  it('are followed to the machine that takes one over', async () => {
    team.runs['here'] = [run([worker('a')], { run: 'r' })];
    lease(model.watch());
    await until(() => state('r') === 'running');
    team.change(() => {
      const moved = run([worker('a', { state: 'blocked' })], { run: 'r', coordinator: 'there' });
      team.runs['here'] = [moved];
      team.runs['there'] = [moved];
    });
    await until(() => model.run('r')?.at === 'id-there' && team.watches.has('there/r'));
    expect([...team.watches]).toEqual(['there/r']);
  });

  it('stay when their machine goes away, and say that nobody tells of them', async () => {
    team.runs['there'] = [run([worker('a')], { run: 'r', coordinator: 'there' })];
    lease(model.watch());
    await until(() => state('r') === 'running');
    team.change(() => {
      team.machines = [machine('here', { self: true }), machine('there', { online: false })];
    });
    await until(() => model.run('r')?.untold === 'it is offline');
    expect(state('r')).toBe('running');
    expect(connection.peer?.openCalls).toBe(1);
    team.change(() => {
      team.machines = [machine('here', { self: true }), machine('there')];
    });
    await until(() => model.run('r')?.untold === undefined && team.watches.has('there/r'));
  });

  it('are followed one by one as well, while no view is seen', async () => {
    team.runs['here'] = [run([worker('a')], { run: 'r' }), run([worker('b')], { run: 'other' })];
    await model.look();
    expect(team.watches.size).toBe(0);
    const following = lease(model.follow('r'));
    await until(() => state('r') === 'running');
    expect([...team.watches]).toEqual(['here/r']);
    following.dispose();
    expect(connection.peer?.openCalls).toBe(1);
  });
});
