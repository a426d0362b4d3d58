import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { commandIds, contextKeys } from '../../../extension/command-ids.ts';
import { presentError } from '../../../extension/error-messages.ts';
import { runRow, workerRow } from '../../../extension/runs/run-text.ts';
import { exitCodes, NiiaError } from '../../../shared/errors.ts';
import { ended, now, shownRun, waiting, worker } from './run-fixtures.ts';

const root = new URL('../../../', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
const { commands, menus, views, viewsContainers, viewsWelcome, configuration, terminal } = manifest.contributes;
type Command = { command: string; title: string; category: string; icon?: string };
type Item = { command: string; when: string; group: string };
const items: Item[] = Object.values<Item[]>(menus).flat();
const viewItems: Item[] = [...menus['view/title'], ...menus['view/item/context']];
const fileItems: Item[] = [...menus['editor/title'], ...menus['explorer/context']];

describe('the manifest and the code', () => {
  it('know the same commands', () => {
    expect(commands.map(({ command }: Command) => command).sort()).toEqual([...commandIds].sort());
  });

  it('give every command a title, the category and an icon', () => {
    for (const { title, category, icon } of commands as Command[]) {
      expect(title).toMatch(/^[A-Z]/);
      expect(category).toBe('niia');
      expect(icon).toMatch(/^\$\([a-z-]+\)$/);
    }
  });

  it('offer in menus and welcome texts only commands that exist', () => {
    const links = viewsWelcome.flatMap(({ contents }: { contents: string }) =>
      [...contents.matchAll(/\(command:([^)]+)\)/g)].map((match) => match[1]),
    );
    for (const command of [...items.map((item) => item.command), ...links]) expect(commandIds).toContain(command);
  });

  it('put every menu entry into one of the views, or on connector files, and into a group', () => {
    for (const { when } of viewItems) expect(when).toMatch(/^view == niia\.(machines|runs)\b/);
    for (const { when } of fileItems) expect(when).toMatch(/^resourceFilename =~ /);
    expect(items).toHaveLength(viewItems.length + fileItems.length);
    for (const { group } of items) expect(group).toMatch(/^(navigation|inline|\d_[a-z]+)@\d$/);
  });

  it('offer to run connector files and no others, in trusted workspaces', () => {
    expect(fileItems.map(({ command }) => command)).toEqual(['niia.runConnector', 'niia.runConnector']);
    for (const { when } of fileItems) {
      const [, pattern = '', rest] = /^resourceFilename =~ \/(.+)\/ (.+)$/.exec(when) ?? [];
      expect(rest).toBe('&& isWorkspaceTrusted');
      const files = [
        'review.connector.json',
        'connector.json',
        'notconnector.json',
        'connector.json.txt',
        'package.json',
      ];
      expect(files.filter((name) => new RegExp(pattern).test(name))).toEqual(files.slice(0, 2));
    }
  });

  it('offer on each row of a run what can be done with it', () => {
    const offered = (row: string): string[] => {
      const context = menus['view/item/context'] as Item[];
      const fits = context.filter(({ when }) => {
        const [, view, is, pattern] = /^view == ([\w.]+) && viewItem (=~|==) (.+)$/.exec(when) ?? [];
        if (view !== 'niia.runs' || pattern === undefined) return false;
        return is === '==' ? row === pattern : new RegExp(pattern.slice(1, -1)).test(row);
      });
      return [...new Set(fits.map(({ command }) => command.replace('niia.run', '')))].sort();
    };
    const rowOf = (state: 'running' | 'paused') => runRow(shownRun(undefined, { state }), now).contextValue;
    expect(offered(rowOf('running'))).toEqual(['Cancel', 'Graph', 'Report']);
    expect(offered(rowOf('paused'))).toEqual(['Cancel', 'Graph', 'Report', 'Resume']);
    expect(offered(runRow(shownRun(undefined, ended), now).contextValue)).toEqual(['Graph', 'Report']);
    expect(offered(workerRow(waiting('w'), now).contextValue)).toEqual([]);
    expect(offered(workerRow(worker('w'), now).contextValue)).toEqual(['OpenTerminal']);
    expect(offered(workerRow(worker('w', { state: 'blocked' }), now).contextValue)).toEqual([
      'Approve',
      'OpenTerminal',
    ]);
    const paused = workerRow(worker('w', { state: 'paused' }), now).contextValue;
    expect(offered(paused)).toEqual(['Approve', 'OpenTerminal', 'Resume']);
  });

  it('use no context key that nobody sets', () => {
    const whens = [...items, ...viewsWelcome, ...commands].flatMap(({ when, enablement }) => [when, enablement]);
    const keys = whens.flatMap((when) => [...(when ?? '').matchAll(/\bniia\.\w+(?= [!=]=)/g)].map(([key]) => key));
    expect(new Set(keys)).toEqual(new Set(Object.values(contextKeys)));
  });

  it('declare what the contract names', () => {
    expect(viewsContainers.activitybar.map(({ id }: { id: string }) => id)).toEqual(['niia']);
    expect(views.niia).toEqual([
      expect.objectContaining({ id: 'niia.machines', name: 'Machines' }),
      expect.objectContaining({ id: 'niia.runs', name: 'Runs' }),
    ]);
    expect(terminal.profiles.map(({ id }: { id: string }) => id)).toEqual(['niia.remoteWorker']);
    expect(Object.keys(configuration.properties)).toContain('niia.home');
    for (const name of Object.keys(configuration.properties)) expect(name).toMatch(/^niia\./);
    expect(existsSync(new URL(viewsContainers.activitybar[0].icon, root))).toBe(true);
  });

  it('do no work before the editor has started', () => {
    expect(manifest.activationEvents).not.toContain('*');
  });

  it('read every setting that they declare, and no other', () => {
    const sources = readdirSync(new URL('extension/', root), { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    );
    const text = sources.map((file) => readFileSync(new URL(`extension/${file}`, root), 'utf8')).join('\n');
    const read = [...text.matchAll(/setting\('(\w+)'\)/g)].map((match) => `niia.${match[1]}`);
    expect(new Set(read)).toEqual(new Set(Object.keys(configuration.properties)));
  });
});

describe('errors', () => {
  it('each have a text, and buttons that lead somewhere; only what was meant goes unsaid', () => {
    for (const code of Object.keys(exitCodes) as Array<keyof typeof exitCodes>) {
      const presented = presentError(new NiiaError(code, 'it went wrong', 'Do this.'));
      if (code === 'cancelled') {
        expect(presented).toBeUndefined();
        continue;
      }
      expect(presented?.message).toMatch(/^niia: it went wrong\./);
      for (const { command } of presented?.actions ?? []) expect(commandIds).toContain(command);
    }
  });

  it('offer to start a daemon that does not run', () => {
    expect(presentError(new NiiaError('daemon_not_running', 'niia does not run', 'Start it with: niia up'))).toEqual({
      message: 'niia: niia does not run.',
      actions: [
        { title: 'Start niia', command: 'niia.start' },
        { title: 'Show Log', command: 'niia.showLog' },
      ],
    });
  });
});
