import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as readAll } from 'node:stream/consumers';
import { anthropic } from './anthropic.ts';
import { gemini } from './gemini.ts';
import type { Json } from './json.ts';
import { responses } from './responses.ts';
import { type Answer, echo, type Script, type Turn, text } from './script.ts';

/** One API as its CLI uses it. */
export interface Dialect {
  /** Of the requests for an answer. */
  path: RegExp;
  read(body: Json): Turn;
  /** The text for a request that the CLI makes on the side, which no script is to see. */
  aside?(body: Json): string | undefined;
  write(response: ServerResponse, answer: Exclude<Answer, { kind: 'error' }>, turn: Turn, body: Json): Promise<void>;
}

const dialects: readonly Dialect[] = [responses, gemini, anthropic];

/** A model server on loopback that answers by a script, and remembers what it was asked. */
export class ModelServer {
  readonly turns: Turn[] = [];
  /** What the model does; may be exchanged at any time. */
  script: Script;
  readonly #server: Server;

  private constructor(script: Script) {
    this.script = script;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) =>
        response.destroy(error instanceof Error ? error : undefined),
      );
    });
  }

  static async start(script: Script = echo): Promise<ModelServer> {
    const model = new ModelServer(script);
    model.#server.listen(0, '127.0.0.1');
    await once(model.#server, 'listening');
    return model;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The prompts that arrived, in their order; a prompt that came twice stands there twice. */
  get prompts(): string[] {
    return this.turns.filter(({ toolResult }) => toolResult === undefined).map(({ prompt }) => prompt);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const raw = await readAll(request);
    const dialect = request.method === 'POST' ? dialects.find((one) => one.path.test(path)) : undefined;
    if (!dialect) return answerOther(path, response);
    const body = JSON.parse(raw) as Json;
    const turn = dialect.read(body);
    const aside = dialect.aside?.(body);
    if (aside !== undefined) return await dialect.write(response, { kind: 'text', pieces: [aside] }, turn, body);
    this.turns.push(turn);
    const wanted = this.script(turn);
    // A CLI that has switched its shell off cannot be asked to run anything.
    const answer = wanted.kind === 'command' && turn.shellTool === undefined ? text(wanted.say) : wanted;
    if (answer.kind === 'error') return refuse(answer.status, response);
    await dialect.write(response, answer, turn, body);
  }
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function refuse(status: 429 | 500, response: ServerResponse): void {
  const type = status === 429 ? 'rate_limit_error' : 'api_error';
  json(response, status, {
    type: 'error',
    error: { type, message: 'scripted failure', code: status, status: 'UNAVAILABLE' },
  });
}

/** What CLIs ask besides: how long a prompt is, and which models there are. */
function answerOther(path: string, response: ServerResponse): void {
  const counts = path.endsWith(':countTokens') ? 'totalTokens' : path.endsWith('/count_tokens') && 'input_tokens';
  if (counts) json(response, 200, { [counts]: 10 });
  else if (path.endsWith('/models')) {
    json(response, 200, { object: 'list', data: [{ id: 'scripted', object: 'model' }], models: [] });
  } else {
    json(response, 404, { error: { type: 'not_found_error', message: `there is no ${path} here` } });
  }
}
