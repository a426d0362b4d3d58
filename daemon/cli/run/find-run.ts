import * as v from 'valibot';
import { answersWithinMs } from '../../../shared/ask-machines.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { RunStatus } from '../../../shared/protocol/run-methods.ts';
import { runReportSchema, runStatusSchema } from '../../../shared/protocol/run-methods.ts';
import { jsonStream } from '../../../shared/rpc/json-stream.ts';
import type { FoundRun, TeamRuns } from '../../../shared/runs/team-runs.ts';
import { newestFirst, teamRuns as runsOf } from '../../../shared/runs/team-runs.ts';
import type { DaemonClient } from '../daemon-client.ts';

/** The runs of the machine that the command names, or of all of the team. */
export async function teamRuns(daemon: DaemonClient): Promise<TeamRuns> {
  const ask = (to: string | undefined, deadlineMs?: number) => daemon.query('run.list', {}, { to, deadlineMs });
  if (daemon.machine !== undefined) {
    const { runs } = await ask(daemon.machine);
    return { runs: newestFirst(runs.map((run) => ({ ...run, at: daemon.machine }))), missing: [] };
  }
  const { machines } = await daemon.query('machine.list', {}, { to: undefined });
  return await runsOf(machines, (to) => ask(to, answersWithinMs));
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
  return v.parse(runStatusSchema, await jsonStream(await daemon.call('run.status', { run }, { to: at })));
}

export async function fullReport(
  daemon: DaemonClient,
  run: string,
  at: string | undefined,
): Promise<v.InferOutput<typeof runReportSchema>> {
  return v.parse(runReportSchema, await jsonStream(await daemon.call('run.report', { run }, { to: at })));
}
