import type { MethodName } from '../protocol/methods.ts';
import { streams } from '../protocol/session-methods.ts';
import type { TypedCall } from './client.ts';
import { wholeStream } from './whole-stream.ts';

/** The JSON on stream `output` of a call that succeeds; rejects as the call does. */
export async function jsonStream(call: Pick<TypedCall<MethodName>, 'source' | 'result'>): Promise<unknown> {
  const json = wholeStream(call.source(streams.output), Number.POSITIVE_INFINITY);
  json.catch(() => undefined);
  await call.result;
  return JSON.parse(new TextDecoder().decode(await json));
}
