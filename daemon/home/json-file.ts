import * as v from 'valibot';
import { readIfThere } from './files.ts';

/** What the file at `path` holds; undefined where there is none, or one that is torn, damaged or of another shape. */
export function readJsonFile<S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> | undefined {
  const text = readIfThere(path);
  return text === undefined ? undefined : parseJsonAs(text, schema);
}

/** The value of this text; undefined where it is not JSON, or of another shape. */
export function parseJsonAs<S extends v.GenericSchema>(text: string, schema: S): v.InferOutput<S> | undefined {
  const parsed = v.safeParse(schema, parseJson(text));
  return parsed.success ? parsed.output : undefined;
}

/** The value of this text; undefined where it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
