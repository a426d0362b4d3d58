import { resolve } from 'node:path';
import type { ErrorCode } from '../../../shared/errors.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { RunState, RunStatus } from '../../../shared/protocol/run-methods.ts';
import { startingMachine } from '../../../shared/runs/starting-machine.ts';
import { waitingQuestions } from '../../../shared/workers/waiting-questions.ts';
import { readConnectorFile } from '../connector-file.ts';
import type { Context, Run } from '../context.ts';
import { printable } from '../format.ts';
import { findRun, fullReport, fullStatus, teamRuns } from '../run/find-run.ts';
import { ChangeLog, followRun, LiveTable } from '../run/follow-run.ts';
import { listTable, statusText } from '../run/run-table.ts';
import type { Specs } from '../specs/all.ts';
import { oneOf, pairs } from '../values.ts';

/** What a command that waited for a run fails with. */
const failures: Partial<Record<RunState, ErrorCode>> = {
  paused: 'outcome_unknown',
  failed: 'failed',
  cancelled: 'cancelled',
};

export const start: Run<Specs['run']> = async ({ args: [file], options }, context) => {
  const { daemon, out } = context;
  const inputs = pairs(options.input, '--input');
  const { text, folder } = readConnectorFile(file);
  // Larger than most commands together, and of use to few.
  const { readConnector } = await import('../../../shared/connector/reader.ts');
  const { definition, warnings } = readConnector(text, { file, folder, inputs });
  for (const warning of warnings) await out.advice(`warning: ${printable(warning)}`);
  const to =
    daemon.machine ?? startingMachine(definition.coordinators, (await daemon.query('machine.list', {})).machines);
  const params = { file: resolve(file), inputs };
  const { run } = await daemon.change('run.start', params, { to, body: Buffer.from(text) });
  if (options.detach) {
    await out.result({ run }, () => `${run}\n`);
    return;
  }
  await out.advice(
    `niia: run ${run}; it goes on without this command. See it again with: niia run status ${run} --follow`,
  );
  await finish(context, run, to);
};

export const list: Run<Specs['run list']> = async (_, { daemon, out }) => {
  const found = await teamRuns(daemon);
  for (const { machine, why } of found.missing) await out.advice(`niia: ${machine} was not asked: ${why}`);
  const runs = found.runs.map(({ at: _at, ...run }) => run);
  await out.result({ runs, missing: found.missing }, () => (runs.length === 0 ? 'no runs\n' : listTable(runs)));
};

export const status: Run<Specs['run status']> = async ({ args: [named], options }, context) => {
  const { daemon, out } = context;
  const { run, at } = await findRun(daemon, named);
  if (!options.follow) {
    const found = await fullStatus(daemon, run, at);
    await out.result(found, () => statusText(found));
    return;
  }
  if (out.json) {
    const last = await followRun(context, run, at, (told) => out.text(`${JSON.stringify(told)}\n`));
    context.exitCode = exitCodeOf(last);
    return;
  }
  await finish(context, run, at);
};

export const logs: Run<Specs['run logs']> = async ({ args: [named], options }, { daemon, out }) => {
  const { run, at } = await findRun(daemon, named);
  const call = await daemon.call('run.logs', { run, follow: options.follow }, { to: at });
  let writing = Promise.resolve();
  call.onEvent((entry) => {
    writing = writing.then(() => out.text(out.json ? `${JSON.stringify(entry)}\n` : logLine(entry)));
    writing.catch(() => call.cancel());
  });
  try {
    await call.result;
  } finally {
    await writing;
  }
};

export const report: Run<Specs['run report']> = async ({ args: [named] }, { daemon, out }) => {
  const { run, at } = await findRun(daemon, named);
  const found = await fullReport(daemon, run, at);
  await out.result(found.report, () => `${found.markdown.trimEnd().split('\n').map(printable).join('\n')}\n`);
};

export const cancel: Run<Specs['run cancel']> = async ({ args: [named] }, { daemon, out }) => {
  const { run, at } = await findRun(daemon, named);
  const info = await daemon.change('run.cancel', { run }, { to: at });
  await out.result(info, () => `${info.run}: ${info.state}\n`);
};

export const resume: Run<Specs['run resume']> = async ({ args: [named], options }, { daemon, out }) => {
  const { run, at } = await findRun(daemon, named);
  const given = oneOf(options.as ?? 'rerun', ['rerun', 'skip', 'fail'], '--as');
  const params = { run, worker: options.worker, decision: given };
  const info = await daemon.change('run.resume', params, { to: at });
  await out.result(info, () => `${info.run}: ${info.state}\n`);
};

/** Whatever the run waits for a person for: a question of one of its workers, or work that may have been done already. */
export const approve: Run<Specs['run approve']> = async ({ args: [named, option], options }, context) => {
  const { daemon, out } = context;
  const { run, at } = await findRun(daemon, named);
  const found = await fullStatus(daemon, run, at);
  const waiting = found.workers.filter(
    ({ name, state }) => (options.worker === undefined || name === options.worker) && /^(blocked|paused)$/.test(state),
  );
  const [worker, ...others] = waiting;
  if (!worker) throw new NiiaError('failed', `nothing of ${run} waits for a person`, `See: niia run status ${run}`);
  if (others.length > 0) {
    const names = waiting.map(({ name }) => name).join(', ');
    throw new NiiaError('usage', `several workers of ${run} wait: ${names}`, 'Say which with --worker.');
  }
  if (worker.state === 'paused') {
    const info = await daemon.change('run.resume', { run, worker: worker.name, decision: 'rerun' }, { to: at });
    await out.result(info, () => `${worker.name}: is run again\n`);
    return;
  }
  const { machines } = await daemon.query('machine.list', {}, { to: undefined });
  const there = machines.filter(({ name }) => name === worker.machine);
  const session = worker.session ?? undefined;
  const { questions } = await waitingQuestions(there, (to) => daemon.query('session.approvals', { session }, { to }));
  const question = questions.find((one) => one.session === session);
  if (!question) throw new NiiaError('failed', `no question of ${worker.name} waits any more`);
  const to = there.find(({ self }) => !self)?.id;
  const params = { session: question.session, id: question.id, option: option ?? 'allow' };
  const answered = await daemon.change('session.approve', params, { to });
  await out.result(answered, () => `${worker.name}: ${printable(answered.option.label)}\n`);
};

/** Shows the run until it is over, prints its end, and leaves the exit code for it. */
async function finish(context: Context, run: string, at: string | undefined): Promise<void> {
  const { out } = context;
  const live = new LiveTable(out.json ? 2 : 1);
  const changes = new ChangeLog((line) => out.advice(printable(line)));
  const last = await followRun(context, run, at, (told) => (live.isLive ? live.draw(told) : changes.tell(told)));
  if (out.json)
    await out.text(
      `${JSON.stringify(await fullStatus(context.daemon, run, (await findRun(context.daemon, run)).at))}\n`,
    );
  else if (!live.isLive) await out.text(statusText(last));
  if (last.state === 'paused') {
    await out.advice(
      `niia: the run waits for you: ${printable(last.why ?? '')}\nGo on with: niia run resume ${run} --as rerun|skip|fail`,
    );
  }
  context.exitCode = exitCodeOf(last);
}

function exitCodeOf({ state }: RunStatus): number {
  const code = failures[state];
  return code === undefined ? 0 : new NiiaError(code, '').exitCode;
}

function logLine({ at, record }: { at: string; record: unknown }): string {
  const { kind, at: _, ...rest } = record as { kind?: string; at?: string };
  return `${at}  ${(kind ?? '?').padEnd(9)}  ${printable(JSON.stringify(rest)).slice(0, 400)}\n`;
}
