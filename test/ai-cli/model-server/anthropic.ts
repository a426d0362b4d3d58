import { EventStream, spoken } from './event-stream.ts';
import { field, type Json, list, textOf, words } from './json.ts';
import type { Dialect } from './model-server.ts';
import { withoutAdditions } from './script.ts';

/** Anthropic's Messages API, as claude uses it. */
export const anthropic: Dialect = {
  path: /\/messages$/,

  read(body) {
    const messages = list(field(body, 'messages'));
    const tools = list(field(body, 'tools')).map((tool) => words(field(tool, 'name')));
    const prompts = messages
      .filter((message) => field(message, 'role') === 'user')
      .map((message) => promptOf(field(message, 'content')))
      .filter((prompt) => prompt !== '');
    const last = field(messages.at(-1), 'content');
    const result = list(last).find((part) => field(part, 'type') === 'tool_result');
    // After a refused command the next prompt comes in the same message as the refusal.
    const prompted = promptOf(last) !== '' && !promptOf(last).startsWith('[Request interrupted');
    return {
      api: 'anthropic',
      prompt: prompts.at(-1) ?? '',
      toolResult: result !== undefined && !prompted ? textOf(field(result, 'content')) : undefined,
      tools,
      shellTool: tools.find((name) => name === 'Bash'),
    };
  },

  /** It asks on the side for a title. */
  aside(body) {
    const tools = list(field(body, 'tools'));
    const asksForTitle = /title/i.test(textOf(field(body, 'system'))) && tools.length === 0;
    return field(field(body, 'output_config'), 'format') !== undefined || asksForTitle
      ? '{"title":"Scripted"}'
      : undefined;
  },

  async write(response, answer, turn, body) {
    const id = `msg_${Date.now()}`;
    const message = {
      id,
      type: 'message',
      role: 'assistant',
      model: field(body, 'model'),
      stop_sequence: null,
      usage: { input_tokens: 10, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
    };
    const stop_reason = answer.kind === 'command' ? 'tool_use' : 'end_turn';
    const call = answer.kind === 'command' && {
      type: 'tool_use',
      id: `toolu_${id}`,
      name: turn.shellTool,
      input: { command: answer.command, description: 'A command' },
    };
    if (field(body, 'stream') !== true) {
      const content: object[] = [];
      for await (const piece of spoken(answer)) content.push({ type: 'text', text: piece });
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ ...message, content: call ? [...content, call] : content, stop_reason }));
      return;
    }
    const events = new EventStream(response);
    const send = (type: string, more: object): void => events.send({ type, ...more }, type);
    send('message_start', { message: { ...message, content: [], stop_reason: null } });
    send('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
    for await (const piece of spoken(answer)) {
      send('content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } });
    }
    send('content_block_stop', { index: 0 });
    if (call) {
      send('content_block_start', { index: 1, content_block: { ...call, input: {} } });
      const partial_json = JSON.stringify(call.input);
      send('content_block_delta', { index: 1, delta: { type: 'input_json_delta', partial_json } });
      send('content_block_stop', { index: 1 });
    }
    send('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 5 } });
    send('message_stop', {});
    events.end();
  },
};

function promptOf(content: Json | undefined): string {
  if (typeof content === 'string') return withoutAdditions(content);
  return list(content)
    .filter((part) => field(part, 'type') === 'text')
    .map((part) => withoutAdditions(words(field(part, 'text'))))
    .filter((part) => part !== '')
    .join('\n');
}
