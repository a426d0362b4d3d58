import * as v from 'valibot';
import { NiiaError } from '../errors.ts';
import type { DownEventOf, MethodName, ParsedParamsOf, ResultOf, UpEventOf } from '../protocol/methods.ts';
import { methods } from '../protocol/methods.ts';
import type { ByteSink, ByteSource } from './byte-stream.ts';
import type { IncomingCall, Reply } from './call.ts';
import { explain } from './client.ts';

/** A served call whose parameters have been checked. */
export interface ServedCall<M extends MethodName> {
  readonly method: M;
  readonly params: ParsedParamsOf<M>;
  readonly body: Uint8Array;
  readonly key: string | undefined;
  /** Aborted when nobody waits any more; the reason is a NiiaError. */
  readonly signal: AbortSignal;
  emit(event: DownEventOf<M>): void;
  onEvent(handler: (event: UpEventOf<M>) => void): void;
  sink(stream: number): ByteSink;
  source(stream: number): ByteSource;
  readonly raw: IncomingCall;
}

/** `C` is what the serving process adds: who asks, and what it needs to answer. */
export type Handler<M extends MethodName, C> = (call: ServedCall<M>, context: C) => Promise<ResultOf<M>> | ResultOf<M>;

/** One handler for each method: a missing one does not compile. */
export type Handlers<M extends MethodName, C> = { [K in M]: Handler<K, C> };

/** Checks the parameters of `call` and hands it to its handler. */
export async function dispatch<M extends MethodName, C>(
  handlers: Handlers<M, C>,
  method: M,
  call: IncomingCall,
  context: C,
): Promise<Reply> {
  const spec = methods[method];
  const parsed = v.safeParse(spec.params as v.GenericSchema, call.header.p ?? {});
  if (!parsed.success) throw new NiiaError('usage', `${method}: ${explain(parsed.issues)}`);
  const served: ServedCall<M> = {
    method,
    params: parsed.output as ParsedParamsOf<M>,
    body: call.body,
    key: call.header.k,
    signal: call.signal,
    emit: (event) => call.emit(event),
    onEvent: (handler) =>
      call.onEvent((event) => {
        const up = v.safeParse(spec.up as v.GenericSchema, event);
        if (!up.success) throw new NiiaError('bad_request', `${method}: ${explain(up.issues)}`);
        handler(up.output as UpEventOf<M>);
      }),
    sink: (stream) => call.sink(stream),
    source: (stream) => call.source(stream),
    raw: call,
  };
  return { value: await handlers[method](served, context) };
}
