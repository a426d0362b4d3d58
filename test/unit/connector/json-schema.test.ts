import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { connectorJsonSchema } from '../../../shared/connector/json-schema.ts';
import { examineConnector } from '../../../shared/connector/reader.ts';
import { connectorFiles, fixture } from './fixtures.ts';

const schema = connectorJsonSchema();
const valid = new Ajv({
  strict: true,
  allowUnionTypes: true,
  keywords: ['allowComments', 'allowTrailingCommas'],
}).compile(schema);

const files = ['test/fixtures/connector/published', 'test/fixtures/connector/own', 'examples'].flatMap(connectorFiles);

/** What the reader says of the form of a file, leaving aside what it means. */
function formProblems(value: unknown): string[] {
  const { errors } = examineConnector(JSON.stringify(value), { file: 'f', folder: '/', draft: true });
  return errors.map(({ message }) => message).filter((message) => /^unknown key|^must|is missing$/.test(message));
}

interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  description?: string;
}

/** Every object of the schema with keys of its own, with a way to put a key into a file there. */
function objectsOf(part: Schema, path: string[] = []): Array<{ path: string[]; part: Schema }> {
  const below = [
    ...Object.entries(part.properties ?? {}).flatMap(([key, inner]) => objectsOf(inner, [...path, key])),
    ...(part.items ? objectsOf(part.items, [...path, '0']) : []),
    ...(part.anyOf ?? []).flatMap((inner) => objectsOf(inner, path)),
  ];
  return part.properties ? [{ path, part }, ...below] : below;
}

/** A file that has `value` at `path`, and nothing else. */
function fileWith(path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  return key === '0' ? [fileWith(rest, value)] : { [key]: fileWith(rest, value) };
}

describe('the JSON Schema for editors', () => {
  test.each(files)('accepts $file', ({ text }) => {
    expect(valid(JSON.parse(text)), JSON.stringify(valid.errors)).toBe(true);
  });

  test.each<[string, (file: Record<string, never>) => unknown]>([
    ['an unknown key', (file) => ({ ...file, pipelin: {} })],
    ['a list for an object', (file) => ({ ...file, session: [] })],
    ['a number for a time', (file) => ({ ...file, lease: { ttl: 15 } })],
    ['a time without a unit', (file) => ({ ...file, lease: { ttl: '15' } })],
    ['no phases', (file) => ({ ...file, pipeline: { phases: [] } })],
    ['an unknown reason', (file) => ({ ...file, failoverOn: ['bored'] })],
    ['an unknown type', (file) => ({ ...file, type: 'party' })],
    ['a hook without an address', (file) => ({ ...file, hooks: [{}] })],
  ])('refuses %s, as the reader does', (_, broken) => {
    const file = broken(JSON.parse(fixture('own/everything')));
    expect(valid(file)).toBe(false);
    expect(formProblems(file)).not.toEqual([]);
  });

  test('knows the keys that the reader knows, everywhere, and has words for each', () => {
    const objects = objectsOf(schema as Schema);
    expect(objects.length).toBeGreaterThan(20);
    for (const { path, part } of objects) {
      for (const [key, inner] of Object.entries(part.properties ?? {})) {
        expect(inner.description, [...path, key].join('.')).toBeTruthy();
      }
      // The reader names the keys that it knows where one is nothing like them.
      const problem = formProblems(fileWith(path, { zzzzzzzzzzzz: 1 })).find((message) => message.includes('zzzz'));
      const known = /known here: (.*)$/.exec(problem ?? '')?.[1]?.split(', ');
      expect(known, path.join('.')).toEqual(Object.keys(part.properties ?? {}));
    }
  });
});
