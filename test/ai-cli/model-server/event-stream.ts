import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer } from './script.ts';

/** A response of server-sent events (HTML standard, 9.2). */
export class EventStream {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.flushHeaders();
  }

  send(data: object, event?: string): void {
    this.#response.write(`${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    this.#response.end();
  }
}

/** The pieces of an answer as the model comes to say them. */
export async function* spoken(answer: Exclude<Answer, { kind: 'error' }>): AsyncGenerator<string> {
  if (answer.kind === 'command') {
    yield answer.say;
    return;
  }
  if (answer.thinkMs) await pause(answer.thinkMs);
  for (const [i, piece] of answer.pieces.entries()) {
    if (i > 0 && answer.pauseMs) await pause(answer.pauseMs);
    yield piece;
  }
}
