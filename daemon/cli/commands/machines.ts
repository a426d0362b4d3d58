import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import type { Run } from '../context.ts';
import type { Cell } from '../format.ts';
import { ago, roundTrip, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';

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

export const start: Run<Specs['start']> = async (_, { daemon, out }) => {
  const result = await daemon.change('machine.start', {});
  await out.result(
    result,
    () => `headless on ${result.machine}: ${result.started ? 'started' : 'running already'} (pid ${result.pid})\n`,
  );
};
