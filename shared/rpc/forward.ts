import { limits } from '../protocol/limits.ts';
import { streams } from '../protocol/session-methods.ts';
import type { Call, IncomingCall, Reply } from './call.ts';
import type { CallOptions, Peer } from './peer.ts';

/**
 * Passes a call on to another peer, whatever its method: request, events and streams both ways, cancellation and
 * deadline. Credit travels hop by hop, so a slow reader at one end slows the sender at the other. Events have no credit: a
 * call whose events pile up ends with `link_lost`, and can be made again.
 */
export async function forward(call: IncomingCall, peer: Peer, options: CallOptions = {}): Promise<Reply> {
  const { header } = call;
  const next = peer.call(header.m, header.p, {
    body: call.body,
    deadlineMs: header.d,
    key: header.k,
    signal: call.signal,
    ...options,
  });
  const pass = (to: Call) => (event: unknown) => {
    if (to.outbox.length < limits.pendingEvents) to.emit(event);
    else next.cancel('link_lost', `more than ${limits.pendingEvents} events wait for a side that does not take them`);
  };
  call.onEvent(pass(next));
  next.onEvent(pass(call));
  const input = call.source(streams.input);
  const onward = next.sink(streams.input);
  input.onData((bytes) => (onward.write(bytes) ? undefined : onward.flushed()));
  input.done.then(
    () => onward.end(),
    () => undefined,
  );
  for (const stream of [streams.output, streams.errors]) {
    const sink = call.sink(stream);
    const source = next.source(stream);
    source.onData((bytes) => (sink.write(bytes) ? undefined : sink.flushed()));
    source.done.then(
      () => sink.end(),
      () => undefined,
    );
  }
  const reply = await next.response;
  // The reply may not overtake output that still waits for the asker's credit.
  await Promise.all([next.source(streams.output).done, next.source(streams.errors).done]);
  return reply;
}
