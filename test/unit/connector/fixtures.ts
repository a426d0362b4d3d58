import { readdirSync, readFileSync } from 'node:fs';
import type { Examined } from '../../../shared/connector/reader.ts';
import { examineConnector } from '../../../shared/connector/reader.ts';

const root = new URL('../../../', import.meta.url);

export interface Fixture {
  file: string;
  text: string;
}

/** Connector files of a folder of the repository. */
export function connectorFiles(folder: string): Fixture[] {
  const at = new URL(`${folder}/`, root);
  return readdirSync(at)
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({ file: name, text: readFileSync(new URL(name, at), 'utf8') }));
}

export function fixture(name: string): string {
  return readFileSync(new URL(`test/fixtures/connector/${name}.connector.json`, root), 'utf8');
}

/** A file given as a value or as text, looked into as for a run. */
export function examine(content: unknown, inputs: Record<string, string> = {}): Examined {
  const text = typeof content === 'string' ? content : JSON.stringify(content, null, 1);
  return examineConnector(text, { file: 'f.connector.json', folder: '/work', inputs });
}

/** Its problems as `LINE:COLUMN: message`. */
export function problems(content: unknown, inputs?: Record<string, string>): string[] {
  return examine(content, inputs).errors.map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

/** The workers of a file that has no problems, by their names. */
export function workers(content: unknown, inputs?: Record<string, string>) {
  const { definition, errors } = examine(content, inputs);
  if (!definition) throw new Error(`it has problems: ${JSON.stringify(errors)}`);
  return Object.fromEntries(definition.phases.flatMap((phase) => phase.workers).map((worker) => [worker.name, worker]));
}

/** A file of one phase with these workers. */
export function withWorkers(list: readonly object[], more: object = {}): object {
  return { connector: '2.0', pipeline: { phases: [{ name: 'p', workers: list }] }, ...more };
}
