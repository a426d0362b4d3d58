import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forAllTests } from '../support/shared.ts';
import { Machine, windowEnvironment } from './machines.ts';
import { packagedExtension } from './package.ts';
import { until } from './until.ts';
import { type Workbench, withWorkbench } from './workbench.ts';

describe('a window in a team of two', () => {
  let a: Machine;
  let b: Machine;
  beforeAll(async () => {
    [a, b] = await Promise.all([Machine.started('MACHINE-A'), Machine.started('MACHINE-B')]);
    await a.admit(b);
  });
  afterAll(() => Promise.all([a, b].map((machine) => machine?.dispose())));

  /** One window for all tests: each takes it as it is after the start, without terminals and notifications. */
  const window = forAllTests<Workbench>(async (body) => {
    const vsix = await packagedExtension();
    await withWorkbench('team-of-two', { vsix: [vsix], env: windowEnvironment(a) }, body);
  });
  const shell = ['--', 'bash', '--norc', '--noprofile'];
  const inWindow = async (name: string, test: (wb: Workbench) => Promise<void>): Promise<void> => {
    const wb = window();
    try {
      await wb.openView('niia.machines');
      await wb
        .tree('Machines')
        .waitForRow('MACHINE-B', (row) => /(direct|p2p|gateway) · (<1|\d+) ms · \d/.test(row.description));
      await test(wb);
      await wb.runCommand('workbench.action.terminal.killAll');
      await wb.runCommand('notifications.clearAll');
    } catch (error) {
      await wb.recordFailure(`${name}-failed`);
      throw error;
    }
  };

  it("shows sessions as they come, and a remote worker's terminal goes on over a crash of the daemon", () =>
    inWindow('crash', async (wb) => {
      const tree = wb.tree('Machines');
      await tree.waitForRow('MACHINE-A', (row) => row.description.includes('this machine'));
      // By the command line, with nobody refreshing the view.
      await b.niia('new', '--name', 'work', ...shell);
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
      await tree.waitForRow('MACHINE-B', (row) => /direct|p2p|gateway/.test(row.description));
      await b.niia('kill', '--session', 'work');
    }));

  it('opens a terminal by its profile, shows a flood to its end, detaches on close, and asks', () =>
    inWindow('profile', async (wb) => {
      const tree = wb.tree('Machines');
      await wb.terminals.createWithProfile('Remote Worker (niia)');
      await wb.quickInput.choose(/New session on MACHINE-B/, { about: /Which session/ });
      await tree.waitForRow('main', (row) => row.level === 2);
      await wb.terminals.focus();
      await wb.terminals.select(/^main — MACHINE-B/);
      await wb.terminals.waitForText(/[$#]/);
      await wb.terminals.type('seq 1 1000000; echo last $((1+1))\n');
      await wb.terminals.waitForText(/^1000000\nlast 2$/m, 30_000);
      await wb.terminals.kill(/^main — MACHINE-B/);
      await tree.waitForRow('main', (row) => !/viewer|exit|ended/.test(row.description));

      await wb.runCommand('niia.remoteAsk');
      await wb.quickInput.choose(/MACHINE-B/, { about: /On which machine/ });
      await wb.quickInput.submit('echo said; echo complained >&2; exit 3', { about: /Which command/ });
      await wb.messages.waitForNotification(/ended with exit code 3/);
      const asked = await wb.output('niia: ask').waitForText('exit code 3');
      expect(asked).toContain('said\n');
      expect(asked).toContain('complained\n');
      await b.niia('kill', '--session', 'main');
    }));

  it('has its terminals back after a reload, and sees a machine go and come', () =>
    inWindow('reload', async (wb) => {
      const tree = wb.tree('Machines');
      await b.niia('new', '--name', 'kept', ...shell);
      await tree.inlineAction('kept', 'Open Terminal');
      await wb.terminals.waitForText(/[$#]/);
      await wb.terminals.type('echo before $((40+2))\n');
      await wb.terminals.waitForText(/^before 42$/m);

      await wb.reload();
      await wb.terminals.focus();
      const back = async () => (await wb.terminals.names()).filter((name) => name.startsWith('kept — MACHINE-B'));
      await until('the terminal to be there again', async () => (await back()).length === 1);
      await wb.terminals.select(/^kept — MACHINE-B/);
      // Its picture, scrollback and all, and then live.
      await wb.terminals.waitForText(/^before 42$/m);
      await wb.terminals.type('echo after $((40+2))\n');
      await wb.terminals.waitForText(/^after 42$/m);

      await wb.openView('niia.machines');
      await tree.waitForRow('kept');
      await wb.screenshot('machines');
      await b.niia('down');
      await tree.waitForRow('MACHINE-B', (row) => row.description.startsWith('offline since'));
      await wb.waitForStatusBar('niia.niia.machines', /1\/2/);
      await b.niia('up');
      // The session outlived its daemon, and its terminal comes back by itself.
      await tree.waitForRow('kept', (row) => row.description.includes('1 viewer'));
      await wb.terminals.select(/^kept — MACHINE-B/);
      await wb.terminals.type('exit\n');
      await until('the terminal to close with its session', async () => (await back()).length === 0);
    }));
});
