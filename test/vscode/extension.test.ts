import { beforeAll, describe, it } from 'vitest';
import { Machine, withMachines } from './machines.ts';
import { packagedExtension } from './package.ts';
import { withWorkbench } from './workbench.ts';

let vsix: string;
beforeAll(async () => {
  vsix = await packagedExtension();
});

describe('trial', () => {
  it('shows things', async () => {
    const a = await Machine.started('MACHINE-A');
    const b = await Machine.started('MACHINE-B');
    await withMachines([a, b], async () => {
      await a.admit(b);
      await withWorkbench('trial', { vsix: [vsix], env: { NIIA_HOME: a.home } }, async (wb) => {
        await wb.openView('niia.machines');
        await wb.tree('Machines').waitForRow('MACHINE-B', (r) => r.description.includes('gateway'));
        await b.niia('new', '--name', 'work', '--', 'bash', '--norc');
        await wb.tree('Machines').waitForRow('work');
        console.log(await wb.tree('Machines').rows());
        await wb.tree('Machines').click('work');
        await wb.terminals.type('echo $((6*7))\n');
        await wb.terminals.waitForText('42');
        console.log(await wb.terminals.names());
        await wb.screenshot('trial');
      });
    });
  });
});
