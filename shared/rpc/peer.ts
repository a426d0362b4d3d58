import * as v from 'valibot';
import { NiiaError } from '../errors.ts';
import { limits } from '../protocol/limits.ts';
import { agreeOnVersion, protocolRange, refuseOtherVersions } from '../protocol/version.ts';
import type { Transport } from '../transport/transport.ts';
import type { Call, Reply, RequestHeader } from './call.ts';
import { IncomingCall, OutgoingCall } from './call.ts';
import type { Encoded } from './frames.ts';
import { decode, encode } from './frames.ts';
import { SendQueue } from './send-queue.ts';

/** What each side says first. */
export const helloSchema = v.object({
  protocol: v.object({ min: v.number(), max: v.number() }),
  /** Product version, for messages. */
  software: v.string(),
  /** What kind of process speaks: `cli`, `daemon`, `headless`, `extension`. */
  face: v.string(),
});
export type Hello = v.InferOutput<typeof helloSchema>;

const headerSchema = v.object({
  m: v.pipe(v.string(), v.maxLength(64)),
  p: v.optional(v.unknown()),
  to: v.optional(v.pipe(v.string(), v.maxLength(128))),
  d: v.optional(v.pipe(v.number(), v.minValue(0))),
  k: v.optional(v.pipe(v.string(), v.maxLength(128))),
  from: v.optional(
    v.object({
      machine: v.string(),
      principal: v.object({
        kind: v.picklist(['local', 'machine']),
        id: v.string(),
        name: v.string(),
        role: v.picklist(['viewer', 'operator', 'admin']),
        session: v.optional(v.string()),
      }),
    }),
  ),
});

export interface PeerOptions {
  /** Says who we are to the other side. */
  face: string;
  software: string;
  /** Serves the other side's requests; absent, every request is refused. */
  serve?: (call: IncomingCall) => Promise<Reply> | Reply;
  /** The connection is over; open calls have failed already. */
  closed?: (error: NiiaError) => void;
  /** The other side's greeting; the first thing that comes. */
  greeted?: (hello: Hello) => void;
}

export interface CallOptions {
  to?: string | undefined;
  body?: Uint8Array | undefined;
  /** Milliseconds; both sides give up after it with `timeout`. */
  deadlineMs?: number | undefined;
  key?: string | undefined;
  from?: RequestHeader['from'] | undefined;
  signal?: AbortSignal | undefined;
}

/** Timers longer than this overflow in Node. */
const longestTimer = 2 ** 31 - 1;

/**
 * Both ends of one connection: opens calls at the other side and serves those that the other side opens. Calls share
 * the transport fairly (see SendQueue), so a flood in one delays the others by one frame.
 */
export class Peer {
  readonly #transport: Transport;
  readonly #options: PeerOptions;
  readonly #outgoing = new Map<number, OutgoingCall>();
  readonly #incoming = new Map<number, IncomingCall>();
  readonly #timers = new Map<Call, NodeJS.Timeout>();
  readonly #queue = new SendQueue();
  readonly #helloTimer: NodeJS.Timeout;
  #nextId = 1;
  /** What the other side's calls hold, as far as it was looked at. */
  #held = 0;
  #hello: Hello | undefined;
  #closed: NiiaError | undefined;

  constructor(transport: Transport, options: PeerOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#helloTimer = setTimeout(
      () => this.close(new NiiaError('timeout', 'the other side did not say hello')),
      limits.helloMs,
    );
    transport.start({
      message: (bytes) => this.#receive(bytes),
      writable: () => this.#pump(),
      closed: (error) => this.#shut(lost(error)),
    });
    const hello: Hello = { protocol: protocolRange, software: options.software, face: options.face };
    this.#sendUrgent(encode.json('hello', true, 0, hello));
  }

  /** The other side's greeting, once it came. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** How many calls are open, both ways. */
  get openCalls(): number {
    return this.#outgoing.size + this.#incoming.size;
  }

  /** Opens a call. Its response rejects with a NiiaError; `link_lost` when the connection breaks before the reply. */
  call(method: string, params: unknown, options: CallOptions = {}): OutgoingCall {
    const id = this.#nextId;
    this.#nextId = id === 0xffffffff ? 1 : id + 1;
    const call = new OutgoingCall(
      id,
      (ready) => this.#enqueue(ready),
      (frame) => this.#sendUrgent(frame),
      (given, error) => this.#giveUp(given, error),
    );
    if (this.#closed) {
      call.fail(this.#closed);
      return call;
    }
    const header: RequestHeader = { m: method, p: params };
    if (options.to !== undefined) header.to = options.to;
    if (options.deadlineMs !== undefined) header.d = options.deadlineMs;
    if (options.key !== undefined) header.k = options.key;
    if (options.from !== undefined) header.from = options.from;
    let frame: Encoded;
    try {
      frame = encode.withBody('request', true, id, header, options.body);
    } catch (error) {
      call.fail(NiiaError.from(error));
      return call;
    }
    this.#outgoing.set(id, call);
    if (options.deadlineMs !== undefined) {
      this.#setTimer(call, options.deadlineMs, () =>
        call.cancel('timeout', `${method} took longer than ${Math.round(options.deadlineMs ?? 0)} ms`),
      );
    }
    const signal = options.signal;
    if (signal) {
      const cancel = () => {
        const { code, message } = NiiaError.from(signal.reason);
        if (signal.reason instanceof NiiaError) call.cancel(code, message);
        else call.cancel();
      };
      if (signal.aborted) queueMicrotask(cancel);
      else {
        signal.addEventListener('abort', cancel, { once: true });
        const forget = () => signal.removeEventListener('abort', cancel);
        call.response.then(forget, forget);
      }
    }
    call.post(frame);
    return call;
  }

  close(error: NiiaError = new NiiaError('link_lost', 'the connection was closed')): void {
    if (this.#closed) return;
    this.#transport.close(error);
    this.#shut(error);
  }

  // Sending

  #sendUrgent(frame: Encoded): void {
    this.#queue.urgent(frame);
    this.#pump();
  }

  #enqueue(call: Call): void {
    this.#queue.ready(call);
    this.#pump();
  }

  #pump(): void {
    if (this.#closed) return;
    while (this.#transport.writable) {
      const frame = this.#queue.take();
      if (!frame) return;
      this.#transport.send(frame.head, frame.body);
    }
  }

  // Receiving

  #receive(bytes: Uint8Array): void {
    if (this.#closed) return;
    try {
      this.#handle(bytes);
    } catch (error) {
      // A peer that breaks the protocol is not talked to any further.
      this.close(NiiaError.from(error));
    }
  }

  #handle(bytes: Uint8Array): void {
    const frame = decode(bytes);
    if (frame.type === 'hello') {
      if (this.#hello) throw new NiiaError('bad_request', 'a second hello');
      refuseOtherVersions(frame.json, 'niia on the other side');
      const hello = v.safeParse(helloSchema, frame.json);
      if (!hello.success) throw new NiiaError('bad_request', 'a malformed hello');
      agreeOnVersion(hello.output.protocol, `${hello.output.face} ${hello.output.software}`);
      clearTimeout(this.#helloTimer);
      this.#hello = hello.output;
      this.#options.greeted?.(hello.output);
      return;
    }
    if (!this.#hello) throw new NiiaError('bad_request', 'a frame before the hello');
    if (frame.type === 'request') {
      this.#serve(frame.call, frame.json, frame.body);
      return;
    }
    const call = frame.mine ? this.#outgoing.get(frame.call) : this.#incoming.get(frame.call);
    // Frames that crossed with the end of their call are late, not wrong.
    if (!call) return;
    switch (frame.type) {
      case 'event':
        call.receiveEvent(frame.json, bytes.length);
        this.#bound(call);
        return;
      case 'data':
        call.source(frame.stream).push(frame.bytes);
        this.#bound(call);
        return;
      case 'credit':
        call.sink(frame.stream).grant(frame.granted);
        return;
      case 'end':
        call.source(frame.stream).end();
        return;
      case 'result':
        if (call instanceof OutgoingCall) {
          this.#forget(call);
          call.settle({ value: frame.json, body: frame.body });
        }
        return;
      case 'error':
        if (call instanceof OutgoingCall) {
          this.#forget(call);
          call.fail(NiiaError.fromWire(frame.json));
        }
        return;
      case 'cancel':
        if (call instanceof IncomingCall) call.abort(new NiiaError('cancelled', 'the caller cancelled'));
    }
  }

  #serve(id: number, json: unknown, body: Uint8Array): void {
    if (this.#incoming.has(id)) throw new NiiaError('bad_request', `call ${id} is open already`);
    const header = v.safeParse(headerSchema, json);
    if (!header.success) throw new NiiaError('bad_request', 'a malformed request header');
    const call = new IncomingCall(
      id,
      (ready) => this.#enqueue(ready),
      (frame) => this.#sendUrgent(frame),
      withoutUndefined(header.output),
      body,
    );
    if (this.#incoming.size >= limits.openCalls) {
      call.post(encode.error(false, id, new NiiaError('busy', 'too many open calls on one connection')));
      return;
    }
    this.#incoming.set(id, call);
    this.#bound(call);
    const { d: deadlineMs, m: method } = call.header;
    if (deadlineMs !== undefined) {
      this.#setTimer(call, deadlineMs, () =>
        call.abort(new NiiaError('timeout', `${method} took longer than ${Math.round(deadlineMs)} ms`)),
      );
    }
    void this.#answer(call);
  }

  /** Throws `too_large` where the other side sends to its calls what nobody takes, and more and more of it. */
  #bound(call: Call): void {
    if (!(call instanceof IncomingCall)) return;
    this.#look(call);
    if (this.#held <= limits.held) return;
    // What was taken since each was looked at last does not count.
    for (const one of this.#incoming.values()) this.#look(one);
    if (this.#held > limits.held) throw new NiiaError('too_large', 'more was sent to open calls than is taken');
  }

  #look(call: IncomingCall): void {
    const { held } = call;
    this.#held += held - call.heldBefore;
    call.heldBefore = held;
  }

  async #answer(call: IncomingCall): Promise<void> {
    let last: Encoded;
    try {
      if (!this.#options.serve) throw new NiiaError('unknown_method', 'this side serves no requests');
      const reply = await this.#options.serve(call);
      await call.sinksFlushed();
      last = encode.withBody('result', false, call.id, reply.value, reply.body);
    } catch (error) {
      // What ended the call is what the caller is told, not what its handler made of it.
      last = encode.error(false, call.id, NiiaError.from(call.signal.aborted ? call.signal.reason : error));
    }
    if (this.#closed) return;
    call.post(last);
    call.finish(new NiiaError('cancelled', 'the call is over'), true);
    this.#incoming.delete(call.id);
    this.#held -= call.heldBefore;
    this.#clearTimer(call);
  }

  #giveUp(call: OutgoingCall, error: NiiaError): void {
    if (this.#outgoing.get(call.id) !== call) return;
    this.#forget(call);
    // Behind what the call has still to send, so that a cancellation never overtakes its own request.
    call.post(encode.cancel(true, call.id));
    call.fail(error);
  }

  #forget(call: OutgoingCall): void {
    this.#outgoing.delete(call.id);
    this.#clearTimer(call);
  }

  #setTimer(call: Call, ms: number, expire: () => void): void {
    if (ms <= longestTimer) this.#timers.set(call, setTimeout(expire, ms));
  }

  #clearTimer(call: Call): void {
    clearTimeout(this.#timers.get(call));
    this.#timers.delete(call);
  }

  #shut(error: NiiaError): void {
    if (this.#closed) return;
    this.#closed = error;
    clearTimeout(this.#helloTimer);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    const outgoing = [...this.#outgoing.values()];
    const incoming = [...this.#incoming.values()];
    this.#outgoing.clear();
    this.#incoming.clear();
    this.#queue.clear();
    for (const call of outgoing) call.fail(error);
    for (const call of incoming) call.abort(error);
    this.#options.closed?.(error);
  }
}

function lost(error: Error | undefined): NiiaError {
  if (error instanceof NiiaError) return error;
  return new NiiaError(
    'link_lost',
    error ? `the connection broke: ${error.message}` : 'the connection was closed',
    undefined,
    {
      cause: error,
    },
  );
}

function withoutUndefined(header: v.InferOutput<typeof headerSchema>): RequestHeader {
  const { m, p, ...rest } = header;
  const clean: RequestHeader = { m, p };
  if (rest.to !== undefined) clean.to = rest.to;
  if (rest.d !== undefined) clean.d = rest.d;
  if (rest.k !== undefined) clean.k = rest.k;
  if (rest.from !== undefined) clean.from = rest.from;
  return clean;
}
