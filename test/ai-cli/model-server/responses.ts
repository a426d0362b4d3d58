import { EventStream, spoken } from './event-stream.ts';
import { field, type Json, list, textOf, words } from './json.ts';
import type { Dialect } from './model-server.ts';
import { withoutAdditions } from './script.ts';

const shellTools = ['exec_command', 'shell_command', 'shell', 'local_shell'];

/** A tool's name; those of an MCP server stand in a space of their own, behind its name. */
function toolNames(tool: Json): string[] {
  const name = words(field(tool, 'name') ?? field(tool, 'type'));
  return [name, ...list(field(tool, 'tools')).map((inner) => `${name}.${words(field(inner, 'name'))}`)];
}

/** OpenAI's Responses API, as codex uses it. */
export const responses: Dialect = {
  path: /\/responses$/,

  read(body) {
    const input = field(body, 'input');
    const items = typeof input === 'string' ? [{ role: 'user', content: input }] : list(input);
    const last = items.at(-1);
    const output = field(last, 'output');
    const tools = list(field(body, 'tools')).flatMap(toolNames);
    const users = items.filter((item) => field(item, 'role') === 'user');
    return {
      api: 'responses',
      prompt: withoutAdditions(textOf(field(users.at(-1), 'content'))),
      toolResult: words(field(last, 'type')).endsWith('_output')
        ? typeof output === 'string'
          ? output
          : JSON.stringify(output)
        : undefined,
      tools,
      shellTool: shellTools.find((name) => tools.includes(name)),
    };
  },

  /** It asks on the side for a title, and offers no tool then. */
  aside(body) {
    return list(field(body, 'tools')).length === 0 ? 'Scripted' : undefined;
  },

  async write(response, answer, turn, body) {
    const events = new EventStream(response);
    const id = `resp_${response.req.socket.remotePort}_${Date.now()}`;
    let sequence = 0;
    const send = (type: string, more: object): void =>
      events.send({ type, ...more, sequence_number: sequence++ }, type);
    const head = { id, object: 'response', created_at: 1, model: field(body, 'model') };
    send('response.created', { response: { ...head, status: 'in_progress', output: [] } });
    const message = {
      id: `msg_${id}`,
      type: 'message',
      role: 'assistant',
      status: 'in_progress',
      content: [] as Json[],
    };
    const place = { item_id: message.id, output_index: 0, content_index: 0 };
    send('response.output_item.added', { output_index: 0, item: message });
    send('response.content_part.added', { ...place, part: { type: 'output_text', text: '', annotations: [] } });
    let said = '';
    for await (const piece of spoken(answer)) {
      said += piece;
      send('response.output_text.delta', { ...place, delta: piece });
    }
    send('response.output_text.done', { ...place, text: said });
    const output: object[] = [
      { ...message, status: 'completed', content: [{ type: 'output_text', text: said, annotations: [] }] },
    ];
    send('response.output_item.done', { output_index: 0, item: output[0] });
    if (answer.kind === 'command') {
      const call = {
        id: `fc_${id}`,
        type: 'function_call',
        call_id: `call_${id}`,
        name: turn.shellTool,
        arguments: JSON.stringify(commandArguments(turn.shellTool, answer.command)),
        status: 'completed',
      };
      send('response.output_item.added', { output_index: 1, item: { ...call, arguments: '', status: 'in_progress' } });
      send('response.function_call_arguments.done', { item_id: call.id, output_index: 1, arguments: call.arguments });
      send('response.output_item.done', { output_index: 1, item: call });
      output.push(call);
    }
    const usage = {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 15,
    };
    send('response.completed', { response: { ...head, status: 'completed', output, usage } });
    events.end();
  },
};

/** Asks to leave the sandbox, which is what codex asks a person about. */
function commandArguments(tool: string | undefined, command: string): object {
  const why = { sandbox_permissions: 'require_escalated', justification: 'The model wants to run this' };
  if (tool === 'exec_command') return { cmd: command, ...why };
  if (tool === 'shell_command') return { command, ...why };
  return { command: ['bash', '-lc', command], with_escalated_permissions: true, justification: why.justification };
}
