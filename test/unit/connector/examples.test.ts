import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { connectorJsonSchema } from '../../../shared/connector/json-schema.ts';
import { readConnector } from '../../../shared/connector/reader.ts';
import { connectorFiles } from './fixtures.ts';

const files = connectorFiles('examples');
const inputs: Record<string, Record<string, string>> = {
  'distributed-research.connector.json': { question: 'Why?' },
  'follow-the-sun.connector.json': { goal: 'All of it.' },
  'failover.connector.json': { task: 'Something.' },
};

test.each(files)('the example $file can be run as it is, without a warning', ({ file, text }) => {
  const { definition, warnings } = readConnector(text, { file, folder: '/work', inputs: inputs[file] ?? {} });
  expect(warnings).toEqual([]);
  expect(`${definition.name}.connector.json`).toBe(file);
});

test('every example is named in their README, and no other', () => {
  const readme = readFileSync(new URL('../../../examples/README.md', import.meta.url), 'utf8');
  const named = [...readme.matchAll(/\(([\w-]+\.connector\.json)\)/g)].map(([, file]) => file);
  expect(named.sort()).toEqual(files.map(({ file }) => file).sort());
});

test('distributed research is four workers on two machines', () => {
  const file = files.find(({ file }) => file.startsWith('distributed'));
  const { definition } = readConnector(file?.text ?? '', { file: 'f', folder: '/', inputs: { question: 'x' } });
  const machines = definition.phases.flatMap((phase) => phase.workers).map((worker) => worker.placements[0]?.machine);
  expect(machines).toHaveLength(4);
  expect(new Set(machines.map((choice) => JSON.stringify(choice))).size).toBe(2);
});

describe('the README', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const section = /\n## Connector files\n(.*?)\n## /s.exec(readme)?.[1] ?? '';

  test('shows a file that can be run', () => {
    const text = /```json\n(.*?)```/s.exec(section)?.[1] ?? '';
    expect(readConnector(text, { file: 'README.md', folder: '/' }).warnings).toEqual([]);
  });

  test('names every key that a pipeline may have', () => {
    const { properties } = connectorJsonSchema() as { properties: Record<string, { properties?: object }> };
    // Of the types that cannot be run yet, or for editors and readers alone.
    const elsewhere = ['agents', 'communication', 'any_to_any', 'broadcast', 'agenda', '$schema', 'description'];
    for (const [key, { properties: inner = {} }] of Object.entries(properties)) {
      if (elsewhere.includes(key)) continue;
      for (const name of [key, ...Object.keys(inner)]) {
        expect(section, name).toMatch(new RegExp(`\\b${name}\\b`));
      }
    }
  });
});
