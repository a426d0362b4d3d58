import * as v from 'valibot';
import { NiiaError } from '../../../shared/errors.ts';
import type { RunInfo, RunStatus } from '../../../shared/protocol/run-methods.ts';
import { runReportSchema, runStatusSchema } from '../../../shared/protocol/run-methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { TypedCall } from '../../../shared/rpc/client.ts';
import { wholeStream } from '../../../shared/rpc/whole-stream.ts';
import { answersWithinMs } from '../../../shared/workers/waiting-questions.ts';
import type { DaemonClient } from '../daemon-client.ts';

export interface TeamRuns {
  /** Newest first, each as its coordinator tells it, or else as a standby does. */
  runs: FoundRun[];
  /** Machines that could not be asked, and why. */
  missing: Array<{ machine: string; why: string }>;
}

/** `at`: the id of the machine that told of it; undefined: this one. */
export type FoundRun = RunInfo & { at: string | undefined };

/** The runs of the machine that the command names, or of all of the team. */
export async function teamRuns(daemon: DaemonClient): Promise<TeamRuns> {
  if (daemon.machine !== undefined) {
    const { runs } = await daemon.query('run.list', {});
    return { runs: runs.map((run) => ({ ...run, at: daemon.machine })).sort(newestFirst), missing: [] };
  }
  const { machines } = await daemon.query('machine.list', {}, { to: undefined });
  const missing: TeamRuns['missing'] = [];
  const told = await Promise.all(
    machines.map(async ({ name, id, self, online }): Promise<Array<FoundRun & { by: string }>> => {
      const to = self ? undefined : id;
      try {
        if (!self && !online) throw new NiiaError('offline', 'it is offline');
        const { runs } = await daemon.query('run.list', {}, { to, deadlineMs: answersWithinMs });
        return runs.map((run) => ({ ...run, at: to, by: name }));
      } catch (error) {
        if (self) throw error;
        const why = NiiaError.from(error);
        // One of an earlier version has no runs.
        if (why.code !== 'unknown_method') missing.push({ machine: name, why: why.message });
        return [];
      }
    }),
  );
  const best = new Map<string, FoundRun & { by: string }>();
  for (const run of told.flat()) {
    const known = best.get(run.run);
    if (!known || (known.by !== known.coordinator && run.by === run.coordinator)) best.set(run.run, run);
  }
  return { runs: [...best.values()].map(({ by: _, ...run }) => run).sort(newestFirst), missing };
}

/**
 * The run of this id, or the only one whose id or name begins so; undefined: the newest. Throws `no_such_run`, and
 * `usage` where several are meant.
 */
export async function findRun(daemon: DaemonClient, named: string | undefined): Promise<FoundRun> {
  const here = named === undefined ? undefined : await runHere(daemon, named);
  if (here) return here;
  const { runs, missing } = await teamRuns(daemon);
  const unasked = missing.map(({ machine, why }) => `${machine} (${why})`).join(', ');
  const note = unasked ? ` Not asked: ${unasked}.` : '';
  if (named === undefined) {
    const [newest] = runs;
    if (newest) return newest;
    throw new NiiaError('no_such_run', 'there are no runs', `Start one with: niia run FILE.${note}`);
  }
  const exact = runs.find(({ run }) => run === named);
  if (exact) return exact;
  const meant = runs.filter(({ run, name }) => run.startsWith(named) || name === named);
  const [only, ...others] = meant;
  if (only && others.length === 0) return only;
  const hint = `See: niia run list.${note}`;
  if (!only) throw new NiiaError('no_such_run', `there is no run ${named}`, hint);
  throw new NiiaError('usage', `"${named}" may be any of: ${meant.map(({ run }) => run).join(', ')}`, hint);
}

/** The run of this id where this machine knows all of it, so that nobody else, who may be away, has to be asked. */
async function runHere(daemon: DaemonClient, id: string): Promise<FoundRun | undefined> {
  if (daemon.machine !== undefined) return undefined;
  const { runs } = await daemon.query('run.list', {});
  const run = runs.find((one) => one.run === id);
  if (!run) return undefined;
  const { machines } = await daemon.query('machine.list', {});
  const coordinates = machines.some(({ self, name }) => self && name === run.coordinator);
  return coordinates || run.endedAt !== null ? { ...run, at: undefined } : undefined;
}

/** With all outputs. */
export async function fullStatus(daemon: DaemonClient, run: string, at: string | undefined): Promise<RunStatus> {
  return v.parse(runStatusSchema, await told(await daemon.call('run.status', { run }, { to: at })));
}

export async function fullReport(
  daemon: DaemonClient,
  run: string,
  at: string | undefined,
): Promise<v.InferOutput<typeof runReportSchema>> {
  return v.parse(runReportSchema, await told(await daemon.call('run.report', { run }, { to: at })));
}

/** The JSON on a call's stream. */
async function told(call: TypedCall<'run.status' | 'run.report'>): Promise<unknown> {
  const json = wholeStream(call.source(streams.output), Number.POSITIVE_INFINITY);
  json.catch(() => undefined);
  await call.result;
  return JSON.parse(Buffer.from(await json).toString());
}

function newestFirst(a: RunInfo, b: RunInfo): number {
  return b.startedAt.localeCompare(a.startedAt);
}
