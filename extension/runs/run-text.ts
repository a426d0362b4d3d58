import { span } from '../../shared/duration.ts';
import type { RunInfo, WorkerStatus } from '../../shared/protocol/run-methods.ts';
import type { RowView } from '../machine-text.ts';
import { factTable, moment } from '../machine-text.ts';
import type { Phase, StepState } from './run-state.ts';
import { isOver } from './run-state.ts';

/** A run as the view shows it. */
export interface RunFacts extends RunInfo {
  /** Why nothing is told of it at present; undefined where it is. */
  untold: string | undefined;
}

/** Codicons and theme colours, as the Machines view has them. */
const looks: Record<StepState, Pick<RowView, 'icon' | 'color'>> = {
  waiting: { icon: 'circle-outline', color: 'disabledForeground' },
  granted: { icon: 'play-circle', color: 'charts.yellow' },
  running: { icon: 'sync~spin', color: 'charts.blue' },
  blocked: { icon: 'bell-dot', color: 'charts.orange' },
  lost: { icon: 'debug-disconnect', color: 'charts.yellow' },
  paused: { icon: 'debug-pause', color: 'charts.orange' },
  succeeded: { icon: 'pass', color: 'charts.green' },
  failed: { icon: 'error', color: 'charts.red' },
  cancelled: { icon: 'circle-slash', color: 'disabledForeground' },
};

export function runRow(run: RunFacts, now: Date): RowView {
  const { name, state, coordinator, startedAt, endedAt, why, untold } = run;
  const facts = told([
    state,
    state === 'paused' ? (why ?? undefined) : undefined,
    timeOf(startedAt, endedAt, now),
    untold === undefined ? undefined : `${coordinator} does not answer`,
  ]);
  return {
    label: name,
    description: facts.join(' · '),
    ...(untold === undefined ? looks[state] : { icon: 'question', color: 'disabledForeground' }),
    tooltip: factTable(name, [
      ['State', state],
      ['Why', why ?? undefined],
      ['Coordinator', untold === undefined ? coordinator : `${coordinator}: ${untold}`],
      ['Started', moment(startedAt, now)],
      ['Ended', endedAt === null ? undefined : moment(endedAt, now)],
      ['Took', endedAt === null ? undefined : tookText(startedAt, endedAt)],
      ['Run', run.run],
    ]),
    contextValue: `run;${isOver(run) ? 'over' : 'live'};${state}`,
    spoken: [`run ${name}`, ...facts].join(', '),
  };
}

export function phaseRow({ name, state, workers }: Phase): RowView {
  const done = workers.filter((worker) => worker.state === 'succeeded').length;
  const facts = [state, `${done} of ${workers.length} done`];
  return {
    label: name,
    description: facts.join(' · '),
    ...looks[state],
    tooltip: factTable(`Phase ${name}`, [
      ['State', state],
      ['Workers', workers.map((worker) => `${worker.name}: ${worker.state}`).join(', ')],
    ]),
    contextValue: 'phase',
    spoken: [`phase ${name}`, ...facts].join(', '),
  };
}

export function workerRow(worker: WorkerStatus, now: Date): RowView {
  const { name, state, machine, model, attempt, startedAt, endedAt, error, lastLine } = worker;
  const facts = [state, ...workerFacts(worker, now)];
  const ways = worker.session === null || machine === null ? 'no-session' : 'session';
  return {
    label: name,
    description: facts.join(' · '),
    ...looks[state],
    tooltip: factTable(machine === null ? name : `${name} on ${machine}`, [
      ['State', worker.sessionState === null ? state : `${state} (its session: ${worker.sessionState})`],
      ['Last line', lastLine ?? undefined],
      ['Error', error ?? undefined],
      ['Model', model ?? undefined],
      ['Attempt', attempt > 0 ? `${attempt} (epoch ${worker.epoch})` : undefined],
      ['After', worker.needs.length === 0 ? undefined : worker.needs.join(', ')],
      ['Started', startedAt === null ? undefined : moment(startedAt, now)],
      ['Took', startedAt === null || endedAt === null ? undefined : tookText(startedAt, endedAt)],
      ...worker.kept.map((kept) => ['Kept work', keptText(kept)] as const),
      ['Session', worker.session ?? undefined],
    ]),
    contextValue: `worker;${state};${ways}`,
    spoken: [`worker ${name}`, ...facts, error ?? undefined].filter((part) => part !== undefined).join(', '),
  };
}

/** Machine, model, time, and which attempt it is where it is not the first. */
export function workerFacts({ machine, model, startedAt, endedAt, attempt }: WorkerStatus, now: Date): string[] {
  return told([
    machine ?? undefined,
    model ?? undefined,
    startedAt === null ? undefined : timeOf(startedAt, endedAt, now),
    attempt > 1 ? `attempt ${attempt}` : undefined,
  ]);
}

/** Since when it goes on, or how long it took. A length of what goes on would have to be drawn again each second. */
export function timeOf(startedAt: string, endedAt: string | null, now: Date): string {
  return endedAt === null ? `since ${moment(startedAt, now)}` : tookText(startedAt, endedAt);
}

function tookText(startedAt: string, endedAt: string): string {
  return span(Date.parse(endedAt) - Date.parse(startedAt));
}

function keptText({ machine, epoch, branch, folder }: WorkerStatus['kept'][number]): string {
  const where = told([branch === null ? undefined : `branch ${branch}`, folder ?? undefined]);
  return `${machine}, epoch ${epoch}: ${where.join(' in ') || 'nothing'}`;
}

function told(facts: ReadonlyArray<string | undefined>): string[] {
  return facts.filter((fact) => fact !== undefined);
}
