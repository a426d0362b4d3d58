import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import type { Context, Run } from '../context.ts';
import type { Cell } from '../format.ts';
import { ago, roundTrip, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { awayError, wakeMachine } from '../wake-machine.ts';

export const list: Run<Specs['remote status list']> = async (_, { daemon, out }) => {
  const result = await daemon.query('machine.list', {});
  await out.result(result, () =>
    table(
      ['MACHINE', 'STATE', 'PATH', 'RTT', 'VERSION', 'HEADLESS', 'SESSIONS', 'ROLE', 'SINCE'],
      result.machines.map(row),
    ),
  );
};

function row(machine: MachineInfo): Cell[] {
  return [
    machine.self ? `${machine.name} (here)` : machine.name,
    machine.online ? { text: 'online', colour: 'green' } : { text: 'offline', colour: 'red' },
    machine.path ?? '-',
    roundTrip(machine.rttMs),
    machine.version ?? '-',
    machine.headless,
    String(machine.sessions),
    machine.role,
    ago(machine.since),
  ];
}

export const start: Run<Specs['start']> = async (_, context) => {
  const { out } = context;
  const result = await startServer(context);
  await out.result(
    result,
    () =>
      `headless on ${result.machine}: ${result.started ? 'started' : 'running already'} (pid ${result.pid})${restoredText(result.restored ?? [])}\n`,
  );
};

/** Of a machine that is away: brings it back where it is known how, else says all that is known. */
async function startServer(context: Context): Promise<ResultOf<'machine.start'>> {
  const { daemon } = context;
  try {
    return await daemon.change('machine.start', {});
  } catch (error) {
    if (!(error instanceof NiiaError && error.code === 'offline') || daemon.machine === undefined) throw error;
    const known = await daemon.ask('machine.known', { machine: daemon.machine }, { to: undefined });
    if (known.wake === null) throw awayError(known);
    await wakeMachine(known, known.wake, context);
    return await daemon.change('machine.start', {});
  }
}

function restoredText(restored: readonly string[]): string {
  return restored.length === 0 ? '' : `; started again: ${restored.join(', ')}`;
}
