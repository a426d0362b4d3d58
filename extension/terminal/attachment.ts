import type { ErrorCode } from '../../shared/errors.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { AttachEvent } from '../../shared/protocol/session-methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { Size } from '../../shared/protocol/shapes.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import type { Peer } from '../../shared/rpc/peer.ts';
import type { SnapshotEvent } from './output-position.ts';
import { OutputPosition } from './output-position.ts';
import { UnacknowledgedInput } from './unacknowledged-input.ts';

/** What shows a session. */
export interface AttachmentView {
  /** Output or a part of a picture, in order; a promise where the next has to wait. */
  show(bytes: Uint8Array): Promise<void> | undefined;
  /** A picture follows: whatever is shown or waits to be is void. */
  picture(snapshot: SnapshotEvent): void;
  /** The session's size. */
  resized(size: Size): void;
  /** It stands, for the first time or again. */
  attached(name: string, readOnly: boolean): void;
  titled(title: string): void;
  /** It does not stand for the moment; it is being taken up again. */
  interrupted(error: NiiaError): void;
  /** The session's process ended; all output was shown. */
  ended(exitCode: number | null, signal: string | null): void;
  /** It cannot be shown any more. */
  failed(error: NiiaError): void;
}

export interface AttachmentOptions {
  /** Resolves with a connection to the daemon as soon as there is one. */
  connected: (signal: AbortSignal) => Promise<Peer>;
  /** Machine id. */
  machine: string;
  /** Session id. */
  session: string;
  /** Names this viewer over its reconnects; unique. */
  client: string;
  size: Size;
  view: AttachmentView;
  random?: () => number;
}

/** What may be different in a moment; anything else is final. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'link_lost',
  'offline',
  'timeout',
  'daemon_not_running',
  'busy',
  'outcome_unknown',
  'gateway_unreachable',
  'cancelled',
]);

const mostUnacknowledged = 4 << 20;
const firstPauseMs = 50;
/** Events of the machine's presence cut a pause short, so that a long one costs nothing. */
const longestPauseMs = 15_000;

/** One viewer of one session, over any number of connections: nothing that is shown or typed is lost or repeated. */
export class Attachment {
  readonly #o: AttachmentOptions;
  readonly #position = new OutputPosition();
  readonly #input = new UnacknowledgedInput(mostUnacknowledged);
  readonly #over = new AbortController();
  #call: TypedCall<'session.attach'> | undefined;
  #size: Size;
  #readOnly = false;
  #failures = 0;
  #endPause: (() => void) | undefined;

  constructor(options: AttachmentOptions) {
    this.#o = options;
    this.#size = options.size;
  }

  get readOnly(): boolean {
    return this.#readOnly;
  }

  /** Follows the session until it ends or `detach`. Never rejects: the view is told. */
  async run(): Promise<void> {
    const { signal } = this.#over;
    const { connected, view } = this.#o;
    while (!signal.aborted) {
      try {
        const end = await this.#follow(await connected(signal));
        if (end.reason === 'exited') {
          view.ended(end.exitCode, end.signal);
          return;
        }
      } catch (cause) {
        if (signal.aborted) return;
        const error = NiiaError.from(cause);
        if (error.code === 'denied' && !this.#readOnly) {
          // Who may not type may perhaps look.
          this.#readOnly = true;
          continue;
        }
        if (!passing.has(error.code)) {
          view.failed(error);
          return;
        }
        view.interrupted(error);
      }
      await this.#pause();
    }
  }

  /** False where it can go nowhere: the viewer only reads, or too much waits already. */
  type(bytes: Uint8Array): boolean {
    if (this.#readOnly || !this.#input.add(bytes)) return false;
    this.#call?.sink(streams.input).write(bytes);
    return true;
  }

  resize(size: Size): void {
    if (size.cols === this.#size.cols && size.rows === this.#size.rows) return;
    this.#size = size;
    this.#call?.emit({ type: 'resize', ...size });
  }

  /** Tries at once, where it waits before another try. */
  wake(): void {
    this.#failures = 0;
    this.#endPause?.();
  }

  /** Leaves the session running. */
  detach(): void {
    this.#over.abort(new NiiaError('cancelled', 'the viewer left'));
    const call = this.#call;
    this.#call = undefined;
    call?.cancel();
    this.#endPause?.();
  }

  async #follow(peer: Peer) {
    const { machine, session, client } = this.#o;
    this.#position.begin();
    const { since } = this.#position;
    const call = typedCall(
      peer,
      'session.attach',
      {
        session,
        client,
        ...this.#size,
        inputOffset: this.#input.base,
        ...(since === undefined ? {} : { since }),
        ...(this.#readOnly ? { readOnly: true } : {}),
      },
      { to: machine },
    );
    this.#call = call;
    const output = call.source(streams.output);
    try {
      call.onEvent((event) => {
        if (this.#call === call) this.#handle(event);
      });
      // What an ended call still holds comes again on the next one.
      output.onData((bytes) => (this.#call === call ? this.#take(bytes) : undefined));
      for (const bytes of this.#input.pending()) call.sink(streams.input).write(bytes);
      const result = await call.result;
      await output.done;
      return result;
    } finally {
      if (this.#call === call) this.#call = undefined;
    }
  }

  #handle(event: AttachEvent): void {
    const { view } = this.#o;
    switch (event.type) {
      case 'attached':
        this.#failures = 0;
        this.#position.attached(event.offset);
        this.#input.confirm(event.inputOffset);
        view.attached(event.name, this.#readOnly);
        view.resized(event);
        return;
      case 'snapshot':
        view.resized(event);
        for (const piece of this.#position.announce(event)) if (piece.type === 'picture') view.picture(piece.snapshot);
        return;
      case 'size':
        view.resized(event);
        return;
      case 'typed':
        this.#input.confirm(event.inputOffset);
        return;
      case 'waiting':
        this.#call?.cancel('link_lost', 'the machine cannot be reached now');
        return;
      case 'title':
        view.titled(event.title);
    }
  }

  #take(bytes: Uint8Array): Promise<void> | undefined {
    const { view } = this.#o;
    let wait: Promise<void> | undefined;
    for (const piece of this.#position.take(bytes)) {
      if (piece.type === 'picture') view.picture(piece.snapshot);
      else wait = view.show(piece.bytes);
    }
    return wait;
  }

  async #pause(): Promise<void> {
    if (this.#over.signal.aborted) return;
    const ms = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.#failures++, 20));
    const random = this.#o.random ?? Math.random;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms * (0.5 + random() / 2));
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = undefined;
  }
}
