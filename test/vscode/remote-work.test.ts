import { beforeAll, describe, expect, it } from 'vitest';
import { Machine, windowEnvironment, withMachines } from './machines.ts';
import { packagedExtension } from './package.ts';
import { until } from './until.ts';
import { withWorkbench } from './workbench.ts';

let vsix: string;
beforeAll(async () => {
  vsix = await packagedExtension();
});

describe('a window in a team of two', () => {
  it("shows both live, and keeps a remote worker's terminal over a crash of the daemon and a reload", async () => {
    const a = await Machine.started('MACHINE-A');
    const b = await Machine.started('MACHINE-B');
    await withMachines([a, b], async () => {
      await a.admit(b);
      await withWorkbench('remote-work', { vsix: [vsix], env: windowEnvironment(a) }, async (wb) => {
        const tree = wb.tree('Machines');
        await wb.openView('niia.machines');
        await tree.waitForRow('MACHINE-A', (row) => row.description.includes('this machine'));
        await tree.waitForRow('MACHINE-B', (row) => /gateway · (<1|\d+) ms · \d/.test(row.description));

        // By the command line, with nobody refreshing the view.
        await b.niia('new', '--name', 'work', '--', 'bash', '--norc', '--noprofile');
        await tree.waitForRow('work', (row) => row.level === 2);
        await tree.click('work');
        await wb.terminals.waitForText(/[$#]/);
        await wb.terminals.type('echo $((6*7)) on $NIIA_MACHINE_NAME; printf "\\303\\251\\342\\202\\254\\n"\n');
        await wb.terminals.waitForText(/^42 on MACHINE-B\né€$/m);
        expect((await wb.terminals.names())[0]).toMatch(/^work — MACHINE-B/);
        await tree.waitForRow('work', (row) => row.description.includes('1 viewer'));
        await wb.screenshot('remote-terminal');

        // Numbered lines go on while there is no daemon here; each arrives once.
        await wb.terminals.type('clear; for i in $(seq 1 10); do echo "line $i"; sleep 0.4; done; echo over\n');
        await wb.terminals.waitForText('line 3');
        await a.killDaemon();
        await wb.terminals.waitForText('[reconnecting…]');
        await wb.screenshot('reconnecting');
        await a.niia('up');
        const text = await wb.terminals.waitForText(/^over$/m, 30_000);
        const lines = Array.from({ length: 10 }, (_, at) => `line ${at + 1}`);
        expect(text.split('\n').slice(0, 11)).toEqual([...lines, 'over']);
        await wb.terminals.type('echo typed once $((40+2))\n');
        await wb.terminals.waitForText(/^typed once 42$/m);
        await tree.waitForRow('MACHINE-B', (row) => row.description.includes('gateway'));

        await wb.runCommand('niia.remoteAsk');
        await wb.quickInput.choose(/MACHINE-B/, { about: /On which machine/ });
        await wb.quickInput.submit('echo said; echo complained >&2; exit 3', { about: /Which command/ });
        await wb.messages.waitForNotification(/ended with exit code 3/);
        const asked = await wb.output('niia: ask').waitForText('exit code 3');
        expect(asked).toContain('said\n');
        expect(asked).toContain('complained\n');

        await wb.terminals.createWithProfile('Remote Worker (niia)');
        await wb.quickInput.choose(/New session on MACHINE-B/, { about: /Which session/ });
        await tree.waitForRow('main', (row) => row.level === 2);
        await wb.terminals.select(/^main — MACHINE-B/);
        await wb.terminals.waitForText(/[$#]/);
        await wb.terminals.type('exec bash --norc\nseq 1 1000000; echo last $((1+1))\n');
        await wb.terminals.waitForText(/^1000000\nlast 2$/m, 30_000);
        await wb.terminals.kill(/^main — MACHINE-B/);
        // Closed is detached.
        await tree.waitForRow(
          'main',
          (row) => !row.description.includes('viewer') && !row.description.includes('exit'),
        );

        await wb.reload();
        await wb.terminals.focus();
        await until('the terminal to be there again', async () =>
          (await wb.terminals.names()).some((name) => name.startsWith('work — MACHINE-B')),
        );
        expect((await wb.terminals.names()).filter((name) => name.includes('MACHINE-B'))).toHaveLength(1);
        await wb.terminals.select(/work — MACHINE-B/);
        // Its picture, scrollback and all, and then live.
        await wb.terminals.waitForText(/^typed once 42$/m);
        await wb.terminals.type('echo again $((40+2))\n');
        await wb.terminals.waitForText(/^again 42$/m);

        await wb.openView('niia.machines');
        await tree.waitForRow('work');
        await wb.screenshot('machines');
        await b.niia('down');
        await tree.waitForRow('MACHINE-B', (row) => row.description.startsWith('offline since'));
        await wb.waitForStatusBar('niia.niia.machines', /1\/2/);
        await b.niia('up');
        // The session outlived its daemon, and its terminal comes back by itself.
        await tree.waitForRow('work', (row) => row.description.includes('1 viewer'));
        await wb.terminals.type('exit\n');
        await until('the terminal to close with its session', async () =>
          (await wb.terminals.names()).every((name) => !name.startsWith('work')),
        );
      });
    });
  });
});
