import type { ErrorCode } from '../errors.ts';
import { NiiaError } from '../errors.ts';
import { limits } from '../protocol/limits.ts';
import { ByteSink, ByteSource } from './byte-stream.ts';
import type { Encoded } from './frames.ts';
import { encode } from './frames.ts';

/** Who asks. The daemon fills it in from what it has proved; nobody believes it from a client. */
export interface Principal {
  kind: 'local' | 'machine';
  /** Machine id; this machine's own for a local user. */
  id: string;
  name: string;
  role: 'viewer' | 'operator' | 'admin';
  /** The session inside which the asking program runs, where it came by that session's own socket. */
  session?: string | undefined;
}

/** The header of a request. Keys are short because it travels with every request. */
export interface RequestHeader {
  /** Method name. */
  m: string;
  /** Parameters, checked against the method's schema by whoever serves it. */
  p: unknown;
  /** Machine (id or name) that shall serve it; absent: the one that receives it. */
  to?: string;
  /** Milliseconds until the caller gives up. */
  d?: number;
  /** Idempotency key: a request with a key that was served before gets the recorded outcome. */
  k?: string;
  /** Set by a daemon towards its headless server only. */
  from?: { machine: string; principal: Principal };
}

export interface Reply {
  value: unknown;
  body?: Uint8Array;
}

export type CallFrames = (frame: Encoded, more: boolean) => void;

/**
 * One call as seen from one side: a request, a reply, events both ways and numbered byte streams both ways. Frames of
 * one call arrive in the order in which they were sent, so an event stands between the bytes before and after it.
 */
export class Call {
  readonly id: number;
  readonly ours: boolean;
  /** Frames of this call that wait for the transport; the peer takes them in turn with those of other calls. */
  readonly outbox: Encoded[] = [];
  readonly #wake: (call: Call) => void;
  readonly #control: (frame: Encoded) => void;
  readonly #sinks = new Map<number, ByteSink>();
  readonly #sources = new Map<number, ByteSource>();
  #eventHandler: ((event: unknown) => void) | undefined;
  #events: unknown[] = [];
  #eventBytes = 0;
  #over: NiiaError | undefined;

  constructor(id: number, ours: boolean, wake: (call: Call) => void, control: (frame: Encoded) => void) {
    this.id = id;
    this.ours = ours;
    this.#wake = wake;
    this.#control = control;
  }

  /** Sends an event to the other side; JSON. */
  emit(event: unknown): void {
    if (!this.#over) this.post(encode.json('event', this.ours, this.id, event));
  }

  /** Handles events of the other side, those that came before included. */
  onEvent(handler: (event: unknown) => void): void {
    this.#eventHandler = handler;
    this.#eventBytes = 0;
    for (const event of this.#events.splice(0)) handler(event);
  }

  /** Our sending end of stream `stream` (0 to 7). */
  sink(stream: number): ByteSink {
    let sink = this.#sinks.get(stream);
    if (!sink) {
      sink = new ByteSink(
        (bytes) => this.post(encode.data(this.ours, this.id, stream, bytes)),
        () => this.post(encode.end(this.ours, this.id, stream)),
      );
      if (this.#over) sink.fail(this.#over);
      this.#sinks.set(stream, sink);
    }
    return sink;
  }

  /** Our receiving end of stream `stream` (0 to 7). */
  source(stream: number): ByteSource {
    let source = this.#sources.get(stream);
    if (!source) {
      source = new ByteSource((bytes) => {
        if (!this.#over) this.#control(encode.credit(this.ours, this.id, stream, bytes));
      });
      if (this.#over) source.fail(this.#over);
      this.#sources.set(stream, source);
    }
    return source;
  }

  post(frame: Encoded): void {
    this.outbox.push(frame);
    this.#wake(this);
  }

  // What follows is for the peer.

  /** `bytes`: of the frame that it came in. */
  receiveEvent(event: unknown, bytes: number): void {
    if (this.#eventHandler) {
      this.#eventHandler(event);
      return;
    }
    if (this.#events.length >= limits.pendingEvents)
      throw new NiiaError('too_large', 'too many unhandled events in a call');
    this.#events.push(event);
    this.#eventBytes += bytes;
  }

  /** Bytes that came and nobody has taken yet. */
  get held(): number {
    let bytes = this.#eventBytes;
    for (const source of this.#sources.values()) bytes += source.waiting;
    return bytes;
  }

  async sinksFlushed(): Promise<void> {
    for (const sink of this.#sinks.values()) {
      sink.end();
      await sink.flushed();
    }
  }

  /** The call is over. Streams that the other side did not end break off with `error`. */
  finish(error: NiiaError, streamsComplete: boolean): void {
    if (this.#over) return;
    this.#over = error;
    for (const sink of this.#sinks.values()) sink.fail(error);
    for (const source of this.#sources.values()) {
      if (streamsComplete) source.end();
      else source.fail(error);
    }
  }
}

export class OutgoingCall extends Call {
  readonly response: Promise<Reply>;
  #resolve: (reply: Reply) => void = () => undefined;
  #reject: (error: NiiaError) => void = () => undefined;
  readonly #giveUp: (call: OutgoingCall, error: NiiaError) => void;

  constructor(
    id: number,
    wake: (call: Call) => void,
    control: (frame: Encoded) => void,
    giveUp: (call: OutgoingCall, error: NiiaError) => void,
  ) {
    super(id, true, wake, control);
    this.#giveUp = giveUp;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A caller that only uses streams or events need not look at the response.
    this.response.catch(() => undefined);
  }

  /** Tells the other side that nobody waits for this call any more; the response rejects with `code`. */
  cancel(code: ErrorCode = 'cancelled', message = 'the call was cancelled'): void {
    this.#giveUp(this, new NiiaError(code, message));
  }

  settle(reply: Reply): void {
    this.finish(new NiiaError('cancelled', 'the call is over'), true);
    this.#resolve(reply);
  }

  fail(error: NiiaError): void {
    this.finish(error, false);
    this.#reject(error);
  }
}

export class IncomingCall extends Call {
  readonly header: RequestHeader;
  readonly body: Uint8Array;
  /** Aborted when the caller cancels, its deadline passes or the connection is lost; the reason is a NiiaError. */
  readonly signal: AbortSignal;
  readonly #abort: AbortController;
  /** What `held` was when the peer last looked. */
  heldBefore = 0;

  constructor(
    id: number,
    wake: (call: Call) => void,
    control: (frame: Encoded) => void,
    header: RequestHeader,
    body: Uint8Array,
  ) {
    super(id, false, wake, control);
    this.header = header;
    this.body = body;
    this.#abort = new AbortController();
    this.signal = this.#abort.signal;
  }

  override get held(): number {
    return super.held + this.body.length;
  }

  abort(error: NiiaError): void {
    this.finish(error, false);
    this.#abort.abort(error);
  }
}
