import type { CallToolResult, McpServer, ServerContext } from '@modelcontextprotocol/server';
import { toStandardJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { Machines } from './machines.ts';
import { reportProgress } from './progress.ts';

/** What a tool may do, by which a server's owner decides which it offers. */
export type Right = 'read' | 'write' | 'approve';

export interface Caller {
  machines: Machines;
  /** Aborted when the client cancels the request. */
  signal: AbortSignal;
  /** The session in which the server itself runs, `id` on this machine; undefined: none. */
  ownSession: string | undefined;
}

type Fields = v.ObjectEntries;

export interface Tool<I extends Fields = Fields> {
  name: string;
  title: string;
  description: string;
  right: Right;
  /** A repeat changes nothing more. */
  idempotent?: boolean;
  input: I;
  /** What the client is told while it waits; undefined: the tool answers at once. */
  waiting?: string;
  run(input: v.InferOutput<v.ObjectSchema<I, undefined>>, caller: Caller): Promise<object>;
}

/** Keeps the types of a tool's input together with what it does. */
export function tool<I extends Fields>(definition: Tool<I>): Registration {
  return { right: definition.right, register: (server, base) => register(server, definition, base) };
}

export interface Registration {
  right: Right;
  register(server: McpServer, base: Omit<Caller, 'signal'>): void;
}

function register<I extends Fields>(server: McpServer, definition: Tool<I>, base: Omit<Caller, 'signal'>): void {
  const { name, title, description, right, idempotent = right === 'read', input, waiting } = definition;
  const schema = v.object(input);
  server.registerTool(
    name,
    {
      title,
      description,
      inputSchema: toStandardJsonSchema(schema),
      annotations: { readOnlyHint: right === 'read', destructiveHint: right !== 'read', idempotentHint: idempotent },
    },
    async (given: v.InferOutput<typeof schema>, context: ServerContext) => {
      const stop = waiting === undefined ? undefined : reportProgress(context, waiting);
      try {
        return result(await definition.run(given, { ...base, signal: context.mcpReq.signal }));
      } catch (error) {
        return failure(NiiaError.from(error));
      } finally {
        stop?.();
      }
    },
  );
}

function result(value: object): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(value) }] };
}

/** An error is an answer to the model: it says what failed and what to do next. */
function failure(error: NiiaError): CallToolResult {
  return { isError: true, content: [{ type: 'text', text: JSON.stringify({ error }) }] };
}
