import { commands, window, workspace } from 'vscode';
import { answersWithinMs } from '../../shared/ask-machines.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { WorkerStatus } from '../../shared/protocol/run-methods.ts';
import { targetOf } from '../command-ids.ts';
import { isOver, waitsForPerson } from '../runs/run-state.ts';
import type { ShownRun } from '../runs/runs-model.ts';
import type { Services } from '../services.ts';
import { openTerminal } from './open-terminal.ts';

const anyRun = { is: () => true, none: 'there are no runs' };
const goesOn = { is: (run: ShownRun) => !isOver(run), none: 'no run goes on' };
const isPaused = { is: ({ state }: ShownRun) => state === 'paused', none: 'no run is paused' };

/** Shows the session in which a worker works, or has worked. */
export async function runOpenTerminal(services: Services, argument: unknown): Promise<void> {
  const title = "niia: Open a Worker's Terminal";
  const { runPicker } = services;
  const target = targetOf(argument);
  const run = await runPicker.run(target, title, anyRun);
  if (!run) return;
  const such = { is: hasSession, none: `no session is known of ${target.worker ?? `any worker of ${run.name}`}` };
  const worker = await runPicker.worker(run, target, title, such);
  if (worker) await openTerminal(services, { machine: worker.machine, session: worker.session });
}

/** Answers what a worker waits for a person for: its question, or whether it is to be run again. */
export async function runApprove(services: Services, argument: unknown): Promise<void> {
  const title = 'niia: Approve';
  const { runPicker } = services;
  const target = targetOf(argument);
  const run = await runPicker.run(target, title, goesOn);
  if (!run) return;
  const none =
    target.worker === undefined
      ? `nothing of ${run.name} waits for a person`
      : `${target.worker} does not wait for a person`;
  const worker = await runPicker.worker(run, target, title, { is: waitsForPerson, none });
  if (!worker) return;
  if (worker.state === 'paused') await decide(services, run, worker);
  else await answer(services, worker);
}

/** Goes on with a run that paused, as the person decides. */
export async function runResume(services: Services, argument: unknown): Promise<void> {
  const title = 'niia: Resume a Run';
  const { runPicker } = services;
  const target = targetOf(argument);
  const run = await runPicker.run(target, title, isPaused);
  if (!run) return;
  const such = { is: ({ state }: WorkerStatus) => state === 'paused', none: `nothing of ${run.name} is paused` };
  const worker = await runPicker.worker(run, target, title, such);
  if (worker) await decide(services, run, worker);
}

/** Ends a run and its workers, once that was confirmed. */
export async function runCancel({ runPicker, connection }: Services, argument: unknown): Promise<void> {
  const run = await runPicker.run(targetOf(argument), 'niia: Cancel a Run', goesOn);
  if (!run) return;
  const cancel = 'Cancel the Run';
  const detail = 'Its workers end. What they changed is kept, and the report says where.';
  const answered = await window.showWarningMessage(`Cancel the run ${run.name}?`, { modal: true, detail }, cancel);
  if (answered === cancel) await connection.change('run.cancel', { run: run.run }, { to: run.at });
}

/** Opens the report of a run, as it is now, and its preview beside it. */
export async function runReport({ runPicker, reports }: Services, argument: unknown): Promise<void> {
  const run = await runPicker.run(targetOf(argument), 'niia: Show the Report of a Run', anyRun);
  if (!run) return;
  const uri = reports.uriOf(run.run);
  reports.renew(uri);
  await window.showTextDocument(await workspace.openTextDocument(uri), { preview: true });
  await commands.executeCommand('markdown.showPreviewToSide', uri);
}

export async function runGraph({ runPicker, graphs }: Services, argument: unknown): Promise<void> {
  const run = await runPicker.run(targetOf(argument), 'niia: Show the Graph of a Run', anyRun);
  if (run) graphs.show(run);
}

function hasSession({ machine, session }: WorkerStatus): boolean {
  return machine !== null && session !== null;
}

const decisions = [
  {
    label: 'Run it again',
    detail: 'Though its prompt went out: what it did outside may be done twice.',
    decision: 'rerun',
  },
  { label: 'Skip it', detail: 'The run goes on without its output.', decision: 'skip' },
  { label: 'Let it have failed', detail: 'The run fails once its other workers have ended.', decision: 'fail' },
] as const;

async function decide({ connection }: Services, run: ShownRun, { name }: WorkerStatus): Promise<void> {
  const title = `niia: ${name} of ${run.name} is paused`;
  const placeHolder = run.why ?? 'What shall become of it?';
  const chosen = await window.showQuickPick(decisions, { title, placeHolder, ignoreFocusOut: true });
  if (!chosen) return;
  await connection.change('run.resume', { run: run.run, worker: name, decision: chosen.decision }, { to: run.at });
}

async function answer({ connection, picker }: Services, { name, machine, session }: WorkerStatus): Promise<void> {
  const there = machine === null ? undefined : await picker.machine({ machine }, 'niia: Approve');
  if (!there || session === null) throw new NiiaError('fenced', `${name} has no session any more`);
  const to = { to: there.id, deadlineMs: answersWithinMs };
  const { questions } = await connection.ask('session.approvals', { session }, to);
  const question = questions.find((one) => one.session === session);
  if (!question) throw new NiiaError('fenced', `no question of ${name} waits any more`);
  const items = question.options.map(({ number, label, means }) => ({
    ...{ label: `${number}. ${label}`, description: means ?? '', option: String(number) },
  }));
  const title = `${name} on ${there.name}: ${question.question}`;
  const placeHolder = question.command ?? 'Which answer?';
  const chosen = await window.showQuickPick(items, { title, placeHolder, ignoreFocusOut: true });
  if (!chosen) return;
  const { id } = question;
  await connection.change('session.approve', { session, id, option: chosen.option }, { to: there.id });
}
