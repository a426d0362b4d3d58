import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { commandIds, contextKeys } from '../../../extension/command-ids.ts';
import { presentError } from '../../../extension/error-messages.ts';
import { exitCodes, NiiaError } from '../../../shared/errors.ts';

const root = new URL('../../../', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
const { commands, menus, views, viewsContainers, viewsWelcome, configuration, terminal } = manifest.contributes;
type Command = { command: string; title: string; category: string; icon?: string };
type Item = { command: string; when: string; group: string };
const items: Item[] = Object.values<Item[]>(menus).flat();

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

  it('put every menu entry into this view and into a group', () => {
    for (const { when, group } of items) {
      expect(when).toMatch(/^view == niia\.machines/);
      expect(group).toMatch(/^(navigation|inline|\d_[a-z]+)@\d$/);
    }
  });

  it('use no context key that nobody sets', () => {
    const whens = [...items, ...viewsWelcome, ...commands].flatMap(({ when, enablement }) => [when, enablement]);
    const keys = whens.flatMap((when) => [...(when ?? '').matchAll(/\bniia\.\w+(?= [!=]=)/g)].map(([key]) => key));
    expect(new Set(keys)).toEqual(new Set(Object.values(contextKeys)));
  });

  it('declare what the contract names', () => {
    expect(viewsContainers.activitybar.map(({ id }: { id: string }) => id)).toEqual(['niia']);
    expect(views.niia).toEqual([expect.objectContaining({ id: 'niia.machines', name: 'Machines' })]);
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
