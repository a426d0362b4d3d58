import { beforeAll, describe, expect, it } from 'vitest';
import { Machine, windowEnvironment, withMachines } from './machines.ts';
import { packagedExtension } from './package.ts';
import { until } from './until.ts';
import { withWorkbench } from './workbench.ts';

let vsix: string;
beforeAll(async () => {
  vsix = await packagedExtension();
});

describe('a window on a machine where niia does not run', () => {
  it('starts it, works in a terminal, joins a team and invites another machine', async () => {
    const here = await Machine.fresh('HERE');
    const founder = await Machine.started('FOUNDER');
    const guest = await Machine.started('GUEST');
    await withMachines([here, founder, guest], () =>
      withWorkbench('first-steps', { vsix: [vsix], env: windowEnvironment(here) }, async (wb) => {
        const tree = wb.tree('Machines');
        await wb.openView('niia.machines');
        await wb.page.getByText('niia does not run on this machine').waitFor();
        await wb.waitForStatusBar('niia.niia.machines', /niia: off/);
        await wb.screenshot('welcome');

        await wb.page.getByRole('button', { name: 'Start niia' }).click();
        await tree.waitForRow('HERE', (row) => row.description.includes('this machine'), 30_000);
        await tree.waitForRow('Invite a machine…');
        await tree.waitForRow('Join a team…');
        await wb.waitForStatusBar('niia.niia.machines', /1\/1/);
        // The daemon is the one that the extension brought along.
        const { pid, home } = await here.json('status');
        expect(home).toBe(here.home);
        const daemon = (await wb.server.processes.list()).find((one) => one.pid === pid);
        expect(daemon?.command).toContain('/extensions/niia.niia-');

        await tree.inlineAction('HERE', 'New Session');
        await wb.quickInput.submit('bash --norc', { about: /Which command/ });
        await wb.quickInput.submit('work', { about: /Which name/ });
        await tree.waitForRow('work', (row) => row.level === 2 && row.description.includes('1 viewer'));
        await wb.terminals.waitForText(/[$#]/);
        await wb.terminals.type('echo "$NIIA_SESSION in $PWD" $((6*7))\n');
        await wb.terminals.waitForText(new RegExp(`local-1 in ${wb.folder} 42`));

        await tree.menuAction('work', 'Rename Session');
        await wb.quickInput.submit('errand', { about: /Which name/ });
        await tree.waitForRow('errand');
        await until('the tab to follow', async () =>
          (await wb.terminals.names()).some((name) => name.startsWith('errand — HERE')),
        );
        await tree.menuAction('errand', 'Kill Session');
        expect(await wb.messages.waitForDialog()).toMatch(/Kill the session errand on HERE/);
        await wb.messages.answerDialog('Kill');
        await tree.waitForRow('errand', (row) => /ended by SIGHUP|exit/.test(row.description));

        const { code } = await founder.json('invite', '--role', 'admin');
        await wb.runCommand('niia.join');
        await wb.quickInput.waitFor(/Join a Team/);
        await wb.page.keyboard.type('not a code');
        await wb.page.getByText('A code begins with').waitFor();
        await wb.quickInput.submit(code, { about: /Join a Team/ });
        await wb.messages.waitForNotification(/HERE is now an admin of the team/);
        await tree.waitForRow('FOUNDER', (row) => /direct|p2p|gateway/.test(row.description));

        await wb.runCommand('niia.invite');
        await wb.quickInput.choose('Viewer', { about: /What may it do/ });
        await wb.quickInput.choose('1 hour', { about: /How long/ });
        const { text } = await wb.messages.waitForNotification(/code for one viewer/);
        await wb.screenshot('invite');
        const shown = /niia join (niia1-\S+)/.exec(text)?.[1] ?? '';
        await guest.niia('join', shown);
        await tree.waitForRow('GUEST', (row) => /direct|p2p|gateway/.test(row.description));

        await here.niia('down', '--sessions');
        await wb.page.getByText('niia does not run on this machine').waitFor();
      }),
    );
  });
});
