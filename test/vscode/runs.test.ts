import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Machine, windowEnvironment } from './machines.ts';
import { packagedExtension } from './package.ts';
import { labelled } from './text.ts';
import { until } from './until.ts';
import { type Workbench, withWorkbench } from './workbench.ts';

/** It works until there is a file GO in its folder, which is the same on both machines: they are one computer. */
const works = 'read task; echo "working on $task"; while [ ! -e GO ]; do sleep 0.1; done; echo found';
const file = {
  connector: '2.0',
  name: 'pair',
  inputs: { topic: { description: 'What to look for' } },
  models: { works: { command: ['sh', '-c', works], driver: 'exec' }, tells: { command: ['cat'], driver: 'exec' } },
  pipeline: {
    phases: [
      {
        name: 'look',
        model: 'works',
        prompt: '{{inputs.topic}}\n',
        workers: [
          { name: 'near', machine: 'MACHINE-A' },
          { name: 'far', machine: 'MACHINE-B' },
        ],
      },
      { name: 'tell', model: 'tells', prompt: '{{workers.near.output.text}}{{workers.far.output.text}}' },
    ],
  },
};

describe('a run in a window', () => {
  let vsix: string;
  let folder: string;
  let a: Machine;
  let b: Machine;
  beforeAll(async () => {
    vsix = await packagedExtension();
    folder = await mkdtemp(path.join(os.tmpdir(), 'niia-run-'));
    [a, b] = await Promise.all([Machine.started('MACHINE-A'), Machine.started('MACHINE-B')]);
    await a.admit(b);
  });
  afterAll(async () => {
    await Promise.all([a, b].map((machine) => machine?.dispose()));
    await rm(folder, { recursive: true, force: true });
  });

  const write = (name: string, content: object): Promise<void> =>
    writeFile(path.join(folder, name), `${JSON.stringify(content, null, 2)}\n`);
  const open = async (wb: Workbench, name: string): Promise<void> => {
    await wb.runCommand('workbench.action.quickOpen');
    await wb.quickInput.choose(name, { filter: name });
    await wb.page.locator('.editor-instance .view-lines').first().waitFor();
  };
  const runFile = (wb: Workbench): Promise<void> =>
    wb.page
      .locator(`.editor-actions .action-label${labelled('Run a Connector File')}`)
      .first()
      .click();

  it('starts from the title of its file, shows in its view and as a picture, and ends before the eyes', async () => {
    const { models, ...rest } = file;
    await write('bad.connector.json', { ...rest, modles: models });
    await write('pair.connector.json', file);
    await withWorkbench('runs', { vsix: [vsix], env: windowEnvironment(a), folder }, async (wb) => {
      const runs = wb.tree('Runs');
      await wb.openView('niia.machines');
      await wb.tree('Machines').waitForRow('MACHINE-B', (row) => /direct|p2p|gateway/.test(row.description));
      await wb.page.getByText('No runs yet').waitFor();

      await open(wb, 'bad.connector.json');
      await runFile(wb);
      await wb.messages.waitForNotification(/bad\.connector\.json:\d+:3: unknown key "modles"; did you mean "models"/);
      await wb.page.locator('.squiggly-error').first().waitFor();

      await open(wb, 'pair.connector.json');
      await runFile(wb);
      await wb.quickInput.submit('ants', { about: /What to look for/ });
      await runs.waitForRow('pair', (row) => row.level === 1 && row.description.startsWith('running'), 30_000);
      const running = (machine: string) => (row: { description: string; level: number }) =>
        row.level === 3 && row.description.startsWith(`running · ${machine} · works`);
      await runs.waitForRow('near', running('MACHINE-A'), 30_000);
      await runs.waitForRow('far', running('MACHINE-B'), 30_000);
      await runs.waitForRow('tell', (row) => row.level === 2 && row.description === 'waiting · 0 of 1 done');

      // It is offered once there is a session.
      await runs.inlineAction('far', "Open Worker's Terminal");
      await wb.terminals.waitForText('working on ants');
      expect((await wb.terminals.names())[0]).toContain('MACHINE-B');

      await runs.inlineAction('pair', 'Show Run Graph');
      const graph = wb.page.frameLocator('iframe.webview').frameLocator('#active-frame');
      await graph.getByRole('button', { name: /^near, phase look, running, MACHINE-A/ }).waitFor();
      await graph.getByRole('button', { name: /^tell, phase tell, waiting/ }).waitFor();
      expect(await graph.getByRole('row').count()).toBe(4);
      await wb.screenshot('run-going-on');

      await writeFile(path.join(folder, 'GO'), '');
      await runs.waitForRow('pair', (row) => row.description.startsWith('succeeded'), 60_000);
      await graph.getByRole('button', { name: /^far, phase look, succeeded, MACHINE-B/ }).waitFor();
      await graph.getByRole('button', { name: /^tell, phase tell, succeeded/ }).waitFor();
      await wb.screenshot('run-over');

      await runs.menuAction('pair', 'Show Run Report');
      const tab = wb.page.locator('.tab', { hasText: /^pair-[0-9a-f]{6}\.md$/ });
      await tab.waitFor();
      const preview = wb.page.locator('.tab', { hasText: /^Preview pair-/ });
      await preview.waitFor();
      const lines = async () => (await wb.page.locator('.editor-instance .view-lines').allTextContents()).join('\n');
      await until('the report', async () => /MACHINE-B/.test(await lines()), { found: lines });
      const shown = wb.page.frameLocator('iframe.webview').last().frameLocator('#active-frame');
      await shown.getByRole('heading', { name: 'near' }).waitFor();
      await wb.screenshot('run-report');
    });
  });
});
