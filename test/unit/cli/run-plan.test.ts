import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { MachineInfo } from '../../../shared/protocol/shapes.ts';
import { cliWithAnswers } from './harness.ts';

// Each step is a process, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const { cli, serve } = cliWithAnswers();

function machine(name: string, more: Partial<MachineInfo> = {}): MachineInfo {
  return {
    ...{ name, id: `id-${name}`, self: false, online: true, path: 'direct', rttMs: 1, since: null, lastSeen: null },
    ...{ version: null, platform: null, headless: 'running', sessions: 0, role: 'operator', labels: {} },
    ...more,
  };
}

const team = { machines: [machine('here', { self: true }), machine('there', { labels: { gpu: 'yes' } })] };

function write(name: string, content: unknown): string {
  const text = content instanceof Uint8Array || typeof content === 'string' ? content : JSON.stringify(content);
  writeFileSync(join(cli.folder, name), text);
  return name;
}

const file = {
  connector: '2.0',
  name: 'two',
  inputs: { topic: null },
  pipeline: {
    phases: [
      { name: 'find', model: 'codex', prompt: 'Find {{inputs.topic}}.', machine: { labels: { gpu: 'yes' } } },
      { name: 'tell', model: 'opus', prompt: '{{workers.find.output.text}}' },
    ],
  },
};

describe('niia run plan', () => {
  test('shows where each worker would go, why, and what if that machine vanished', async () => {
    await serve({ 'machine.list': () => team });
    const name = write('two.connector.json', file);
    const plain = await cli.run(['run', 'plan', name, '--input', 'topic=ants']);
    expect(plain).toMatchObject({ code: 0, err: '' });
    expect(plain.out).toMatch(/^two: 2 workers in 2 phases, coordinated by here\n/);
    expect(plain.out).toMatch(/\nfind +find +there +codex +- +gpu=yes; the only one\ntell +tell +here +opus/);
    expect(plain.out).toMatch(
      /\nIf a machine vanished\n {2}here:\n.*\n {4}tell: waits for here.*\n {2}there:\n {4}find: waits for there/,
    );
    const json = await cli.run(['run', 'plan', name, '--input', 'topic=ants', '--json']);
    expect(json.err).toBe('');
    expect(JSON.parse(json.out)).toMatchObject({
      name: 'two',
      coordinator: 'here',
      workers: [
        { name: 'find', phase: 'find', machine: 'there', model: 'codex', fallback: [] },
        { name: 'tell', phase: 'tell', machine: 'here', model: 'opus' },
      ],
      ifVanished: [{ machine: 'here' }, { machine: 'there', run: null, workers: [{ name: 'find', machine: null }] }],
      warnings: [],
    });
  });

  test('says on stderr what a run would need besides', async () => {
    await serve({ 'machine.list': () => team });
    const { code, err } = await cli.run(['run', 'plan', write('two.connector.json', file)]);
    expect(code).toBe(0);
    expect(err).toMatch(/^warning: two\.connector\.json:1:\d+: the input "topic" has no value: --input topic=…\n$/);
  });

  test('names all that is wrong with a file, with its place, before any daemon is asked', async () => {
    const name = write('bad.connector.json', '{\n  "nmae": "x",\n  "models": { "primary": "calude" }\n}\n');
    const { code, err } = await cli.run(['run', 'plan', name]);
    expect(code).toBe(2);
    expect(err).toMatch(/^niia: bad\.connector\.json:2:3: unknown key "nmae"; did you mean "name"\?\n.*README/);
    const json = await cli.run(['run', 'plan', name, '--json']);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.err)).toMatchObject({ error: { code: 'usage', message: expect.stringContaining(':2:3:') } });
  });

  test.each<[string, unknown, RegExp]>([
    ['a meeting', { type: 'meeting', participants: [{ id: 'a', model: 'opus' }] }, /a meeting cannot be run yet/],
    ['a later version', { connector: '3.0' }, /needs a niia that reads 3\.0/],
    ['another encoding', new Uint8Array([0x22, 0xff, 0x22]), /is not UTF-8/],
  ])('%s is refused with 2', async (_, content, message) => {
    const { code, err } = await cli.run(['run', 'plan', write('x.connector.json', content)]);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  test('so are a file that is not there and a folder', async () => {
    expect(await cli.run(['run', 'plan', 'none.json'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('none.json'),
    });
    expect(await cli.run(['run', 'plan', '.'])).toMatchObject({ code: 2, err: expect.stringContaining('is a folder') });
  });
});
