import type { RunStatus } from '../../shared/protocol/run-methods.ts';
import type { RunRecord, StoredRecord } from './core/records.ts';
import { knownRecord } from './core/records.ts';

/** One attempt of a worker, and what came of it. */
export interface ReportedAttempt {
  epoch: number;
  attempt: number;
  machine: string;
  model: string;
  startedAt: string;
  endedAt: string | null;
  /** `succeeded`, the reason of a failure, `lost`, or `going on`. */
  outcome: string;
  why: string | null;
}

export interface ReportedWorker {
  name: string;
  phase: string;
  state: string;
  attempts: ReportedAttempt[];
  /** Work of attempts that were not taken, or of which a branch or folder is left. */
  kept: RunStatus['workers'][number]['kept'];
  error: string | null;
  text: string | null;
}

export interface RunReport {
  run: string;
  name: string;
  state: string;
  coordinator: string;
  startedAt: string;
  endedAt: string | null;
  durationMs: number;
  why: string | null;
  workers: ReportedWorker[];
  /** Pauses, decisions of people, changes of the coordinator. */
  events: Array<{ at: string; what: string }>;
}

/** Who did what where, how long it took, and what failed over and why. */
export function makeReport(status: RunStatus, stored: readonly StoredRecord[], now = Date.now()): RunReport {
  const records = stored.flatMap((record) => knownRecord(record) ?? []);
  const { run, name, state, coordinator, startedAt, endedAt, why } = status;
  return {
    ...{ run, name, state, coordinator, startedAt, endedAt, why },
    durationMs: (endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt),
    workers: status.workers.map((worker) => ({
      ...{ name: worker.name, phase: worker.phase, state: worker.state, kept: worker.kept, error: worker.error },
      attempts: attemptsOf(worker.name, records),
      text: worker.output?.text ?? null,
    })),
    events: records.flatMap(eventOf),
  };
}

function attemptsOf(worker: string, records: readonly RunRecord[]): ReportedAttempt[] {
  const [begun] = records;
  if (begun?.kind !== 'begun') return [];
  const definition = begun.definition.phases.flatMap(({ workers }) => workers).find(({ name }) => name === worker);
  const own = records.filter((record) => 'epoch' in record && record.worker === worker);
  return own.flatMap((record): ReportedAttempt[] => {
    if (record.kind !== 'grant') return [];
    const { epoch, attempt, placement, machine, at } = record;
    const end = own.find(
      (one) => 'epoch' in one && one.epoch === epoch && ['commit', 'failed', 'lost'].includes(one.kind),
    );
    return [
      {
        ...{ epoch, attempt, machine: machine.name, startedAt: at, endedAt: end?.at ?? null },
        model: definition?.placements[placement]?.model.alias ?? '?',
        ...outcomeOf(end),
      },
    ];
  });
}

function outcomeOf(end: RunRecord | undefined): Pick<ReportedAttempt, 'outcome' | 'why'> {
  switch (end?.kind) {
    case 'commit':
      return { outcome: 'succeeded', why: null };
    case 'failed':
      return { outcome: end.reason, why: end.why };
    case 'lost':
      return { outcome: 'lost', why: 'its machine was away longer than its lease' };
    default:
      return { outcome: 'going on', why: null };
  }
}

function eventOf(record: RunRecord): RunReport['events'] {
  const { at } = record;
  const of = (worker: string | null): string => (worker === null ? 'the run' : worker);
  switch (record.kind) {
    case 'term':
      return [{ at, what: `term ${record.term}: another coordinator` }];
    case 'lost':
      return [{ at, what: `${record.worker}: epoch ${record.epoch} given up, its machine is away` }];
    case 'fenced':
      return [{ at, what: `${record.worker}: epoch ${record.epoch} on ${record.machine.name} was fenced` }];
    case 'paused':
      return [{ at, what: `${of(record.worker)} paused: ${record.why}` }];
    case 'resumed':
      return [{ at, what: `${of(record.worker)}: ${record.decision}` }];
    case 'cancelled':
      return [{ at, what: 'cancelled' }];
    default:
      return [];
  }
}

/** The report as Markdown. What workers and files say goes in as text: it makes no headings, links or tables of its own. */
export function reportMarkdown(report: RunReport): string {
  const { run, name, state, coordinator, startedAt, endedAt, durationMs, why, workers, events } = report;
  const lines = [
    `# ${plain(name)}`,
    '',
    `Run \`${run}\` **${state}** after ${seconds(durationMs)}${why === null ? '' : `: ${plain(why)}`}.`,
    `Coordinated by ${plain(coordinator)}; ${startedAt} to ${endedAt ?? 'now'}.`,
    '',
    '| Phase | Worker | State | Attempts | Machine | Model | Time |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...workers.map(workerRow),
  ];
  const failed = workers.flatMap(({ name, attempts }) =>
    attempts
      .filter(({ outcome }) => outcome !== 'succeeded' && outcome !== 'going on')
      .map(
        ({ epoch, machine, model, outcome, why }) =>
          `- ${plain(name)}, epoch ${epoch} on ${plain(machine)} (${plain(model)}): ${outcome}${why === null ? '' : `: ${plain(why)}`}`,
      ),
  );
  if (failed.length > 0) lines.push('', '## What failed, and went elsewhere', '', ...failed);
  const kept = workers.flatMap((worker) =>
    worker.kept.map(
      ({ machine, epoch, branch, folder }) =>
        `- ${plain(worker.name)}, epoch ${epoch} on ${plain(machine)}: ${[branch && `branch ${plain(branch)}`, folder && `in ${plain(folder)}`].filter(Boolean).join(', ')}`,
    ),
  );
  if (kept.length > 0) lines.push('', '## Work that is kept', '', ...kept);
  if (events.length > 0) lines.push('', '## Events', '', ...events.map(({ at, what }) => `- ${at} ${plain(what)}`));
  const answers = workers.flatMap(({ name, text }) => (text ? ['', `### ${plain(name)}`, '', fenced(text)] : []));
  if (answers.length > 0) lines.push('', '## Outputs', ...answers);
  return `${lines.join('\n')}\n`;
}

function workerRow({ phase, name, state, attempts }: ReportedWorker): string {
  const last = attempts.at(-1);
  const time =
    last?.endedAt === null || last === undefined
      ? ''
      : seconds(Date.parse(last.endedAt) - Date.parse(attempts[0]?.startedAt ?? last.startedAt));
  const cells = [phase, name, state, String(attempts.length), last?.machine ?? '', last?.model ?? '', time];
  return `| ${cells.map((cell) => plain(cell).replaceAll('|', '\\|')).join(' | ')} |`;
}

function seconds(ms: number): string {
  if (ms < 60_000) return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60
    ? `${minutes} min ${Math.round((ms % 60_000) / 1_000)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** One line of text that Markdown leaves alone. */
function plain(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>#]/g, '\\$&');
}

/** As a block that the text cannot close. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${text.trimEnd()}\n${fence}`;
}
