import type { ErrorObject } from 'ajv';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseJson } from '../../home/json-file.ts';
import { AttemptFailure } from './failure.ts';

const shownErrors = 5;

/**
 * The JSON of an answer: all of it, or what stands in the last of its blocks that are marked ` ```json ` and are JSON, or
 * where none is marked, of all its blocks. Throws `output_invalid` where there is none, or one that does not satisfy the
 * schema; `true` stands for a schema that everything satisfies.
 */
export function jsonIn(text: string, schema: true | Record<string, unknown>): unknown {
  const value = [text, ...blocksOf(text)].map(parseJson).find((one) => one !== undefined);
  if (value === undefined)
    throw new AttemptFailure('output_invalid', `its output is no JSON: ${text.trim().slice(0, 200)}`);
  const wrong = schema === true ? [] : violations(value, schema);
  if (wrong.length === 0) return value;
  throw new AttemptFailure('output_invalid', `its output is not as its schema wants it: ${wrong.join('; ')}`);
}

/** What is in fences: those marked as JSON where there are any; the last first, since answers end with what they are about. */
function blocksOf(text: string): string[] {
  const fences = [...text.matchAll(/^[ \t]*```[ \t]*(\w*)[^\n]*\n([\s\S]*?)^[ \t]*```[ \t]*$/gm)];
  const marked = fences.filter(([, language]) => language?.toLowerCase() === 'json');
  return (marked.length > 0 ? marked : fences).map(([, , content = '']) => content).reverse();
}

/** What of the value does not satisfy the schema, in words. Throws `output_invalid` where the schema itself is none. */
function violations(value: unknown, schema: Record<string, unknown>): string[] {
  // Formats are for other tools: unknown ones must not fail an output.
  const options = { strict: false, allErrors: true, validateFormats: false, logger: false } as const;
  const { $schema, ...rest } = schema;
  const later = typeof $schema === 'string' && /20(19-09|20-12)/.test($schema);
  try {
    const ajv = later ? new Ajv2020(options) : new Ajv(options);
    const validate = ajv.compile(rest);
    if (validate(value)) return [];
    return (validate.errors ?? []).slice(0, shownErrors).map(shown);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new AttemptFailure('output_invalid', `its schema cannot be used: ${why}`, { cause: error });
  }
}

function shown({ instancePath, message }: ErrorObject): string {
  return `${instancePath || 'the value'} ${message ?? 'is wrong'}`;
}
