import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Attempts } from '../../../daemon/connector/attempts/attempts.ts';
import type { CoordinatorClient } from '../../../daemon/connector/attempts/coordinator.ts';
import type { ScratchpadRemote } from '../../../daemon/connector/attempts/scratchpad.ts';
import { HeadlessServers } from '../../../daemon/core/headless-servers.ts';
import type { HeadlessServer } from '../../../daemon/headless/server.ts';
import type { Home } from '../../../daemon/home/home.ts';
import { Log } from '../../../daemon/home/log.ts';
import type { Environment, Limits, Model, OutputRule } from '../../../shared/connector/definition.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey, AttemptReport, AttemptSpec, Outcome } from '../../../shared/protocol/attempt-methods.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import { cleanup, start as startHeadless, temporaryFolder, temporaryHome } from '../headless/support.ts';

export interface Delivered {
  key: AttemptKey;
  outcome: Outcome;
  text: string;
}

/** A coordinator that answers as it is told to, and keeps what it hears. */
export class FakeCoordinator implements CoordinatorClient {
  /** Whether it is to be reached. */
  reached = true;
  /** Highest epoch it granted, where that is above an attempt's. */
  granted = 0;
  /** Whether outcomes are taken; else it cannot be reached for them. */
  takes = true;
  /** Whether it hears that a prompt may be handed over; else it cannot be reached for that. */
  hearsOfPrompts = true;
  /** Whether it refuses what succeeded, for good. */
  refuses = false;
  readonly reports: AttemptReport[] = [];
  readonly delivered: Delivered[] = [];

  async renew(key: AttemptKey, report: AttemptReport): Promise<void> {
    this.#answer(key);
    if (report.submitted && !this.hearsOfPrompts) throw new NiiaError('offline', 'it is not heard');
    this.reports.push(report);
  }

  async deliver(key: AttemptKey, outcome: Outcome, text: Uint8Array): Promise<void> {
    if (outcome.is === 'succeeded' && this.refuses) throw new NiiaError('too_large', 'more than it takes');
    if (!this.takes) throw new NiiaError('offline', 'nobody takes it');
    this.#answer(key);
    this.delivered.push({ key, outcome, text: Buffer.from(text).toString() });
  }

  get steps(): string[] {
    return this.reports.map(({ step }) => step).filter((step, index, all) => step !== all[index - 1]);
  }

  #answer({ epoch }: AttemptKey): void {
    if (!this.reached) throw new NiiaError('offline', 'no path leads there');
    if (epoch < this.granted) throw new NiiaError('fenced', `${this.granted} is the present epoch`);
  }
}

export interface SpecChanges {
  model?: Partial<Model>;
  environment?: Partial<Environment>;
  output?: Partial<OutputRule>;
  limits?: Partial<Limits>;
  lease?: Partial<AttemptSpec['lease']>;
}

/** One machine with its headless server, its attempts, and a coordinator. */
export class Stage {
  readonly home: Home;
  readonly coordinator = new FakeCoordinator();
  /** Where the run is at home. */
  readonly folder: string;
  remote: ScratchpadRemote | undefined;
  server: HeadlessServer | undefined;
  servers: HeadlessServers;
  attempts: Attempts;

  private constructor(home: Home, folder: string) {
    this.home = home;
    this.folder = folder;
    this.servers = new HeadlessServers(home, () => 'BOX', new Log('test'));
    this.attempts = this.#attempts();
  }

  static async open(): Promise<Stage> {
    const stage = new Stage(temporaryHome(), temporaryFolder());
    await stage.startHeadless();
    await stage.servers.findRunning();
    cleanup(() => stage.stopDaemon());
    return stage;
  }

  async startHeadless(): Promise<void> {
    const { generation } = this.servers;
    const { server } = await startHeadless({ home: this.home, generation });
    this.server = server;
    mkdirSync(this.home.path('headless'), { recursive: true });
    const record = { pid: process.pid, generation, version: '0.0.0-test', startedAt: server.startedAt };
    writeFileSync(this.home.path('headless', `${generation}.json`), JSON.stringify(record));
  }

  async stopDaemon(): Promise<void> {
    await this.attempts.close();
    this.servers.close();
  }

  /** As when the daemon is started again. */
  async startDaemon(): Promise<void> {
    this.servers = new HeadlessServers(this.home, () => 'BOX', new Log('test'));
    this.attempts = this.#attempts();
    await this.servers.findRunning();
    this.attempts.resume();
  }

  #attempts(): Attempts {
    return new Attempts({
      home: this.home,
      servers: this.servers,
      machine: () => ({ name: 'BOX', id: 'box' }),
      coordinator: this.coordinator,
      scratchpad: () => this.remote,
      log: new Log('test'),
    });
  }

  /** An attempt of an exec worker that runs `script`. */
  spec(
    script: string,
    changes: SpecChanges & Partial<Pick<AttemptSpec, 'worker' | 'epoch' | 'check'>> = {},
  ): AttemptSpec {
    const { model, environment, output, limits, lease, ...others } = changes;
    return {
      ...{ run: 'r1', worker: 'w', epoch: 1, attempt: 1, runName: 'test', coordinators: ['box'], folder: this.folder },
      model: { alias: 'x', driver: 'exec', command: ['/bin/sh', '-c', script], args: [], env: {}, ...model },
      environment: {
        ...{ cwd: null, worktree: null, sandbox: null, scratchpad: false, env: {}, permission: null, resume: null },
        ...environment,
      },
      output: { file: null, json: null, files: [], maxBytes: 1 << 20, ...output },
      check: null,
      lease: { ttlMs: 15_000, renewMs: 100, lostAfterMs: 30_000, ...lease },
      limits: { startMs: 30_000, turnMs: 60_000, stallMs: 0, totalMs: 600_000, bytes: 0, ...limits },
      ...others,
    };
  }

  async begin(spec: AttemptSpec, prompt = 'do it\n'): Promise<AttemptReport> {
    return await this.attempts.begin(spec, Buffer.from(prompt));
  }

  /** Begins it and waits until its outcome is taken. */
  async outcomeOf(spec: AttemptSpec, prompt?: string): Promise<Delivered> {
    await this.begin(spec, prompt);
    return await this.delivered(spec);
  }

  async delivered({ worker, epoch }: Pick<AttemptKey, 'worker' | 'epoch'>): Promise<Delivered> {
    for (;;) {
      const found = this.coordinator.delivered.find(({ key }) => key.worker === worker && key.epoch === epoch);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  get sessions(): SessionInfo[] {
    return this.servers.sessions;
  }

  /** A file in the run's folder. */
  path(name: string): string {
    return join(this.folder, name);
  }
}
