import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
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
