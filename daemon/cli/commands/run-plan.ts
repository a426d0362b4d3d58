import type { PlannedPlace, PlannedWorker, RunPlan, Vanished } from '../../../shared/connector/plan.ts';
import { readConnectorFile } from '../connector-file.ts';
import type { Run } from '../context.ts';
import type { Cell } from '../format.ts';
import { count, printable, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { pairs } from '../values.ts';

export const plan: Run<Specs['run plan']> = async ({ args: [file], options }, { daemon, out }) => {
  const inputs = pairs(options.input, '--input');
  const { text, folder } = readConnectorFile(file);
  // Larger than most commands together, and of use to this one only.
  const [{ readConnector }, { planRun }] = await Promise.all([
    import('../../../shared/connector/reader.ts'),
    import('../../../shared/connector/plan.ts'),
  ]);
  const { definition, warnings } = readConnector(text, { file, folder, inputs, draft: true });
  for (const warning of warnings) await out.advice(`warning: ${printable(warning)}`);
  const { machines } = await daemon.query('machine.list', {});
  const planned = planRun(definition, machines);
  await out.result({ ...planned, warnings }, () => planText(planned));
};

function planText(plan: RunPlan): string {
  const phases = new Set(plan.workers.map(({ phase }) => phase)).size;
  const standbys = plan.standbys.length === 0 ? '' : `, or ${plan.standbys.join(', ')}`;
  const heading = `${plan.name}: ${count(plan.workers.length, 'worker')} in ${count(phases, 'phase')}, coordinated by ${plan.coordinator ?? 'nobody'}${standbys}`;
  const workers = table(['PHASE', 'WORKER', 'MACHINE', 'MODEL', 'THEN', 'WHY'], plan.workers.map(row));
  const vanished = plan.ifVanished.map(vanishedText).join('');
  return `${printable(heading)}\n\n${workers}${vanished === '' ? '' : `\nIf a machine vanished\n${vanished}`}`;
}

function row(worker: PlannedWorker): Cell[] {
  const then = worker.fallback.map((place) => `${place.machine ?? 'nowhere'} (${place.model})`).join(', ');
  return [worker.phase, worker.name, machineCell(worker), worker.model, then || '-', worker.why];
}

function machineCell({ machine }: PlannedPlace): Cell {
  return machine ?? { text: 'nowhere', colour: 'red' };
}

function vanishedText({ machine, run, workers }: Vanished): string {
  const lines = workers.map(({ name, machine: next, model, why }) =>
    next === null ? `${name}: ${why}` : `${name}: goes on with ${model} on ${next} (${why})`,
  );
  return [`${machine}:`, ...(run === null ? [] : [`  the run: ${run}`]), ...lines.map((line) => `  ${line}`)]
    .map((line) => `  ${printable(line)}\n`)
    .join('');
}
