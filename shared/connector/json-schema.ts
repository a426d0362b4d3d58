import { toJsonSchema } from '@valibot/to-json-schema';
import { fileSchema } from './file-schema.ts';

/** The JSON Schema of connector files, for editors: with completion, descriptions and errors. */
export function connectorJsonSchema(): Record<string, unknown> {
  return {
    ...toJsonSchema(fileSchema, { target: 'draft-07' }),
    title: 'niia connector file',
    description: 'A team of AI workers over machines: niia run FILE.',
    // Of VS Code: what the reader takes as well.
    allowComments: true,
    allowTrailingCommas: true,
  };
}
