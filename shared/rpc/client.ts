import * as v from 'valibot';
import { NiiaError } from '../errors.ts';
import type { DownEventOf, MethodName, ParamsOf, ResultOf, UpEventOf } from '../protocol/methods.ts';
import { methods } from '../protocol/methods.ts';
import type { ByteSink, ByteSource } from './byte-stream.ts';
import type { OutgoingCall } from './call.ts';
import type { CallOptions, Peer } from './peer.ts';

/** A call whose method is known: its events and its result are checked as they arrive. */
export interface TypedCall<M extends MethodName> {
  readonly result: Promise<ResultOf<M>>;
  /** The bytes that came with the result. */
  readonly body: Promise<Uint8Array>;
  onEvent(handler: (event: DownEventOf<M>) => void): void;
  emit(event: UpEventOf<M>): void;
  sink(stream: number): ByteSink;
  source(stream: number): ByteSource;
  cancel: OutgoingCall['cancel'];
}

export function typedCall<M extends MethodName>(
  peer: Peer,
  method: M,
  params: ParamsOf<M>,
  options: CallOptions = {},
): TypedCall<M> {
  const call = peer.call(method, params, options);
  const spec = methods[method];
  const result = call.response.then(({ value }) => check<ResultOf<M>>(spec.result, value, method));
  const body = call.response.then((reply) => reply.body ?? new Uint8Array());
  result.catch(() => undefined);
  body.catch(() => undefined);
  return {
    result,
    body,
    onEvent: (handler) => call.onEvent((event) => handler(check<DownEventOf<M>>(spec.down, event, method))),
    emit: (event) => call.emit(event),
    sink: (stream) => call.sink(stream),
    source: (stream) => call.source(stream),
    cancel: (code, message) => call.cancel(code, message),
  };
}

/** Asks and waits for the result. */
export async function ask<M extends MethodName>(
  peer: Peer,
  method: M,
  params: ParamsOf<M>,
  options: CallOptions = {},
): Promise<ResultOf<M>> {
  return await typedCall(peer, method, params, options).result;
}

function check<T>(schema: v.GenericSchema, value: unknown, method: string): T {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output as T;
  throw new NiiaError('bad_request', `${method}: an answer of an unexpected shape (${explain(parsed.issues)})`);
}

/** The first thing that is wrong, as `path: what`. */
export function explain(issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0];
  if (!issue) return 'malformed';
  const path = v.getDotPath(issue);
  return path ? `${path}: ${issue.message}` : issue.message;
}
