import type { ServerResponse } from 'node:http';
import { EventStream, spoken } from './event-stream.ts';
import { field, list, textOf, words } from './json.ts';
import type { Dialect } from './model-server.ts';
import { type Answer, withoutAdditions } from './script.ts';

/** Google's generateContent and streamGenerateContent, as gemini-cli uses them. */
export const gemini: Dialect = {
  path: /:(stream)?generateContent$/i,

  read(body) {
    const contents = list(field(body, 'contents'));
    const tools = list(field(body, 'tools'))
      .flatMap((tool) => list(field(tool, 'functionDeclarations')))
      .map((tool) => words(field(tool, 'name')));
    const prompts = contents
      .filter((content) => field(content, 'role') === 'user')
      .map((content) => withoutAdditions(textOf(field(content, 'parts'))))
      .filter((prompt) => prompt !== '');
    const result = list(field(contents.at(-1), 'parts'))
      .map((part) => field(part, 'functionResponse'))
      .find((found) => found !== undefined);
    return {
      api: 'gemini',
      prompt: prompts.at(-1) ?? '',
      toolResult: result === undefined ? undefined : JSON.stringify(field(result, 'response')),
      tools,
      shellTool: tools.find((name) => name === 'run_shell_command'),
    };
  },

  /** It asks on the side which model to take and who is to speak next, and wants JSON for that. */
  aside(body) {
    const config = field(body, 'generationConfig');
    if (field(config, 'responseMimeType') !== 'application/json' && !field(config, 'responseJsonSchema'))
      return undefined;
    return JSON.stringify({
      reasoning: 'scripted',
      next_speaker: 'user',
      model_choice: 'flash',
      complexity_reasoning: 'simple',
      complexity_score: 10,
    });
  },

  async write(response, answer, turn) {
    const call =
      answer.kind === 'command'
        ? [{ functionCall: { name: turn.shellTool, args: { command: answer.command, description: 'A command' } } }]
        : [{ text: '' }];
    if (!response.req.url?.includes('stream')) return await writeWhole(response, answer, call);
    const events = new EventStream(response);
    for await (const piece of spoken(answer)) events.send(candidate([{ text: piece }], false));
    events.send(candidate(call, true));
    events.end();
  },
};

async function writeWhole(
  response: ServerResponse,
  answer: Exclude<Answer, { kind: 'error' }>,
  call: object[],
): Promise<void> {
  let said = '';
  for await (const piece of spoken(answer)) said += piece;
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(candidate([{ text: said }, ...call], true)));
}

function candidate(parts: object[], last: boolean): object {
  return {
    candidates: [{ index: 0, content: { role: 'model', parts }, ...(last ? { finishReason: 'STOP' } : {}) }],
    usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
    modelVersion: 'scripted',
    responseId: 'scripted',
  };
}
