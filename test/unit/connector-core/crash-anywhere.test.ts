import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type Answer,
  type Ask,
  Coordinator,
  type CoordinatorOutput,
} from '../../../daemon/connector/core/coordinator.ts';
import type { Attempt } from '../../../daemon/connector/core/decide.ts';
import { nothingKept, type StoredRecord } from '../../../daemon/connector/core/records.ts';
import { Journal } from '../../../daemon/connector/journal.ts';
import type { AttemptReport, Outcome } from '../../../shared/protocol/attempt-methods.ts';
import { runOf, workerOn } from '../../support/run-definition.ts';

const date = () => '2026-01-01T00:00:00.000Z';
const definition = runOf([
  [workerOn('plan', ['a']), workerOn('flaky', ['a', 'b'])],
  [workerOn('build', ['b']), workerOn('check', ['a'], { needs: ['build'], retry: { attempts: 2, backoffMs: 1_000 } })],
  [workerOn('report', ['b'])],
]);
/** What their first attempts come to; everything else succeeds. */
const failing: Record<string, 'crash' | 'check_failed'> = { flaky: 'crash', check: 'check_failed' };

/** How the daemon ends: with this record the last one in its journal, or with so much of it; before any effect of that. */
interface Crash {
  record: number;
  /** Of its bytes, newline included. */
  share: number;
}

class Crashed extends Error {}

/** The machines of the run: they go on when the coordinator is gone, and tell it again what it did not answer. */
class Machines {
  readonly #attempts = new Map<string, { attempt: Attempt; step: 'renew' | 'deliver' | 'over' }>();
  readonly prompts: string[] = [];

  begin(attempt: Attempt): void {
    const key = `${attempt.worker}/${attempt.epoch}`;
    if (!this.#attempts.has(key)) this.#attempts.set(key, { attempt, step: 'renew' });
  }

  /** What they ask now, each again until it is answered. */
  asks(): Array<{ ask: Ask; answered: (answer: Answer) => void }> {
    return [...this.#attempts.values()].flatMap((one) => {
      const { attempt, step } = one;
      if (step === 'over') return [];
      const ask: Ask =
        step === 'renew'
          ? { is: 'renew', attempt, report: prompting }
          : { is: 'deliver', attempt, ...outcome(attempt) };
      const answered = ({ is }: Answer): void => {
        if (is === 'fenced') throw new Error(`${attempt.worker}/${attempt.epoch} was fenced`);
        if (is !== 'ok') return;
        if (step === 'renew') this.prompts.push(`${attempt.worker}/${attempt.epoch}`);
        one.step = step === 'renew' ? 'deliver' : 'over';
      };
      return [{ ask, answered }];
    });
  }
}

const prompting: AttemptReport = {
  ...{ step: 'prompting', session: null, sessionState: null, submitted: true },
  ...{ frozen: false, lastLine: null },
};

function outcome({ worker, epoch }: Attempt): { outcome: Outcome; text: string } {
  const reason = epoch === 1 ? failing[worker] : undefined;
  const common = { kept: nothingKept, durationMs: 1 };
  if (!reason) return { outcome: { is: 'succeeded', json: null, files: [], ...common }, text: `${worker} done` };
  return { outcome: { is: 'failed', reason, why: reason, submitted: true, ...common }, text: '' };
}

/** One life of the coordinator's daemon after the other, on one journal. */
class Run {
  readonly #folder: string;
  readonly #machines = new Machines();
  #crash: Crash | undefined;
  now = 1_000;

  constructor(folder: string, crash?: Crash) {
    this.#folder = folder;
    this.#crash = crash;
  }

  get prompts(): string[] {
    return this.#machines.prompts;
  }

  async toItsEnd(): Promise<Coordinator> {
    for (let lives = 0; lives < 3; lives++) {
      try {
        return await this.#live();
      } catch (error) {
        if (!(error instanceof Crashed)) throw error;
      }
    }
    throw new Error('it crashed again and again');
  }

  async #live(): Promise<Coordinator> {
    const { journal, saved } = await Journal.open(this.#folder);
    try {
      const around = {
        ...{ self: 'a', random: () => 0.5, date, online: () => true },
        place: (choice: unknown) => {
          const { name } = choice as { name: string };
          return { machine: { id: name, name } };
        },
      };
      const coordinator =
        saved.log.length > 0 ? Coordinator.load(around, saved, this.now) : Coordinator.found(around, begun, this.now);
      await this.#drive(coordinator, journal);
      return coordinator;
    } finally {
      await journal.close();
    }
  }

  async #drive(coordinator: Coordinator, journal: Journal): Promise<void> {
    for (const end = this.now + 600_000; this.now < end; this.now += 200) {
      coordinator.tick(this.now);
      await this.#take(coordinator, journal, new Map());
      if (coordinator.state?.ended) return;
      const asked = new Map(
        this.#machines.asks().map(({ ask, answered }) => [coordinator.ask(ask, this.now), answered] as const),
      );
      await this.#take(coordinator, journal, asked);
    }
    throw new Error('the run does not end');
  }

  async #take(coordinator: Coordinator, journal: Journal, asked: Map<number, (answer: Answer) => void>): Promise<void> {
    const out: CoordinatorOutput = coordinator.take(this.now);
    if (out.save) {
      await journal.save(out.save);
      this.#cut(out.save.log);
    }
    for (const call of out.calls) {
      if (call.do === 'begin') this.#machines.begin(call.attempt);
      coordinator.called(call, { is: 'done' }, this.now);
    }
    for (const { id, answer } of out.answers) asked.get(id)?.(answer);
  }

  /** Ends the daemon in the middle of this save, if it is the one. */
  #cut(log: { from: number; entries: unknown[] } | undefined): void {
    const crash = this.#crash;
    if (!crash || !log || crash.record >= log.from + log.entries.length) return;
    this.#crash = undefined;
    const path = join(this.#folder, 'journal.ndjson');
    const ends = [...readFileSync(path)].flatMap((byte, i) => (byte === 10 ? [i + 1] : []));
    const start = ends[crash.record - 2] ?? 0;
    truncateSync(path, start + Math.floor(((ends[crash.record - 1] ?? start) - start) * crash.share));
    throw new Crashed();
  }
}

const begun: StoredRecord = {
  ...{ kind: 'begun', at: date(), run: 'run', definition, startedBy: 'user' },
  voters: [{ id: 'a', name: 'a', witness: false }],
};

async function finish(
  crash?: Crash,
): Promise<{ kinds: string[]; commits: string[]; prompts: string[]; state: unknown }> {
  const folder = mkdtempSync(join(tmpdir(), 'niia-crash-'));
  try {
    const run = new Run(folder, crash);
    const { state } = await run.toItsEnd();
    const { journal, saved } = await Journal.open(folder);
    await journal.close();
    const records = saved.log.map(({ record }) => record);
    const workers = [...(state?.workers.values() ?? [])].map(({ definition: { name }, epoch, verdict }) => ({
      ...{ name, epoch, verdict: verdict?.is },
      output: verdict?.is === 'succeeded' ? verdict.output : null,
    }));
    return {
      kinds: records.map(({ kind }) => kind),
      commits: records.flatMap((record) => (record.kind === 'commit' ? [String(record['worker'])] : [])).sort(),
      prompts: run.prompts.sort(),
      state: { ended: state?.ended?.state, ignored: state?.ignored, workers },
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('a coordinator that is killed', () => {
  let whole: Awaited<ReturnType<typeof finish>>;
  beforeAll(async () => {
    whole = await finish();
  });

  test.each([
    ['right after it', 1],
    ['in the middle of it', 0.5],
    ['one byte before its end', 0.999],
  ])('at any record of its journal, %s, goes on to the same outcome', { timeout: 120_000 }, async (_, share) => {
    expect(whole.kinds.filter((kind) => kind === 'grant')).toHaveLength(7);
    for (let record = 1; record <= whole.kinds.length; record++) {
      const { commits, prompts, state } = await finish({ record, share });
      expect({ record, commits, prompts, state }).toEqual({
        ...{ record, commits: whole.commits, prompts: whole.prompts, state: whole.state },
      });
    }
  });

  test('is not killed in vain: the run has an outcome to lose', () => {
    expect(whole.commits).toEqual(['build', 'check', 'flaky', 'plan', 'report']);
    expect(whole.prompts).toEqual(['build/1', 'check/1', 'check/2', 'flaky/1', 'flaky/2', 'plan/1', 'report/1']);
    expect(whole.state).toMatchObject({ ended: 'succeeded', ignored: 0 });
  });
});
