import { randomUUID } from 'node:crypto';
import { NiiaError } from '../../../shared/errors.ts';
import type { ResultOf } from '../../../shared/protocol/methods.ts';
import type { AttachEvent } from '../../../shared/protocol/session-methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { Size } from '../../../shared/protocol/shapes.ts';
import type { TypedCall } from '../../../shared/rpc/client.ts';
import type { DaemonClient } from '../daemon-client.ts';
import type { Deadline } from '../deadline.ts';
import { away, broke, Pauses } from '../retry.ts';
import { InputLog } from './input-log.ts';
import { OutputPosition } from './output-position.ts';

type Attached = Extract<AttachEvent, { type: 'attached' }>;
type Gap = { from: number; to: number } | null;

/** What the screen needs to hear between the bytes. */
type Turn = { do: 'draw'; gap: Gap } | { do: 'repaint'; offset: number; picture: Uint8Array } | ({ do: 'size' } & Size);

/** What shows the session: a terminal, a recording. */
export interface Screen {
  /** The session is there, for the first time or again. */
  attached(session: Attached, again: boolean): void;
  /** A picture of the whole screen follows; what is shown so far does not count. `gap`: output that is left out. */
  redraw(gap: Gap): void | Promise<void>;
  show(bytes: Uint8Array): void | Promise<void>;
  resized(size: Size): void | Promise<void>;
  /** The connection broke; it is taken up again. */
  lost(error: NiiaError): void;
  /** Whether, after a break, something of ours covers what the session shows, so that it has to be painted again. */
  covered(): boolean;
}

export interface ViewerOptions {
  daemon: DaemonClient;
  deadline: Deadline;
  screen: Screen;
  session: string | undefined;
  /** Makes a shell where no session lives, in this folder (undefined: the machine's home). */
  create: boolean;
  cwd?: string | undefined;
  readOnly: boolean;
  size: Size;
  scrollback?: number | undefined;
}

/** How long a viewer who leaves waits until what it typed has arrived. */
const lastInputMs = 1_000;

/**
 * A viewer of one session that outlives its connections: output goes on at the byte where it broke off, input that was
 * under way goes out again, and the session types it once.
 */
export class ResumingViewer {
  readonly #o: ViewerOptions;
  readonly #client = randomUUID();
  readonly #input = new InputLog();
  readonly #position = new OutputPosition<Turn>();
  #session: string | undefined;
  #size: Size;
  #call: TypedCall<'session.attach'> | undefined;
  /** Output is shown piece by piece, in order, at the screen's pace. */
  #showing: Promise<void> = Promise.resolve();
  /** Why the screen cannot be shown on. */
  #failure: unknown;
  readonly #arrivals = new Set<() => void>();

  constructor(options: ViewerOptions) {
    this.#o = options;
    this.#session = options.session;
    this.#size = options.size;
  }

  /** Whether what is typed leaves at once. */
  get connected(): boolean {
    return this.#call !== undefined;
  }

  /** Shows the session until it ends or `signal` says to leave; then rejects with the signal's reason. */
  async run(signal: AbortSignal): Promise<ResultOf<'session.attach'>> {
    const pauses = new Pauses();
    let wasAttached = false;
    for (;;) {
      try {
        return await this.#attach(signal, wasAttached, () => {
          wasAttached = true;
          pauses.reset();
        });
      } catch (cause) {
        signal.throwIfAborted();
        if (this.#failure) throw this.#failure;
        const error = NiiaError.from(cause);
        // Throws where it was our own time that ran out.
        const { leftMs } = this.#o.deadline;
        const worthAnother = broke(error) || away(error) || (error.code === 'timeout' && leftMs !== 0);
        if (!wasAttached || !worthAnother) throw error;
        this.#o.screen.lost(error);
      }
      await pauses.wait(signal);
    }
  }

  /** Types `bytes`, now or when the connection is back; false, without typing, where too much waits already. */
  type(bytes: Uint8Array): boolean {
    if (!this.#input.add(bytes)) return false;
    this.#call?.sink(streams.input).write(bytes);
    return true;
  }

  resize(size: Size): void {
    this.#size = size;
    this.#call?.emit({ type: 'resize', ...size });
  }

  /** Bytes that were typed and are not known to have arrived. */
  get waitingInput(): number {
    return this.#input.unacknowledgedBytes;
  }

  /** Calls back whenever some input has arrived. */
  onArrival(listener: () => void): void {
    this.#arrivals.add(listener);
  }

  /** Resolves when everything typed has arrived, or cannot any more. */
  async lastInput(): Promise<void> {
    if (this.waitingInput === 0 || !this.#call) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, lastInputMs);
      this.onArrival(() => {
        if (this.waitingInput > 0) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async #attach(signal: AbortSignal, again: boolean, attached: () => void): Promise<ResultOf<'session.attach'>> {
    const { daemon, create, cwd, readOnly, scrollback } = this.#o;
    const which = this.#session === undefined ? { create, cwd } : { session: this.#session };
    const since = again ? this.#position.resumeAt : undefined;
    const call = await daemon.call(
      'session.attach',
      {
        ...which,
        client: this.#client,
        readOnly,
        since,
        inputOffset: this.#input.acknowledged,
        scrollback,
        ...this.#size,
      },
      { signal },
    );
    const output = call.source(streams.output);
    call.onEvent((event) => {
      if (event.type === 'attached') {
        attached();
        this.#begin(event, again);
      } else {
        this.#hear(event);
      }
    });
    output.onData((bytes) => this.#enqueue(bytes));
    for (const bytes of this.#input.unacknowledged) call.sink(streams.input).write(bytes);
    this.#call = call;
    try {
      return await call.result;
    } finally {
      this.#call = undefined;
      // What arrived before the end is shown first: only then is it known where to go on.
      await Promise.allSettled([output.done]);
      await Promise.allSettled([this.#showing]);
    }
  }

  #begin(event: Attached, again: boolean): void {
    this.#session = event.session;
    this.#input.acknowledge(event.inputOffset);
    this.#position.start(event.offset);
    const covered = again && this.#o.screen.covered();
    this.#o.screen.attached(event, again);
    if (covered) this.#hold(this.#repaint(event.session));
  }

  #hear(event: Exclude<AttachEvent, Attached>): void {
    switch (event.type) {
      case 'snapshot': {
        const { gap, offset: to, length: picture } = event;
        this.#position.mark({ at: gap?.from ?? null, to, picture, what: { do: 'draw', gap } });
        this.#hold();
        return;
      }
      case 'size':
        this.#position.mark({ at: null, what: { do: 'size', cols: event.cols, rows: event.rows } });
        this.#hold();
        return;
      case 'typed':
        this.#input.acknowledge(event.inputOffset);
        for (const listener of this.#arrivals) listener();
        return;
      case 'waiting':
        // The call would go on by itself, but nobody would see why nothing moves.
        this.#call?.cancel('link_lost', 'the machine cannot be reached now');
        return;
      case 'title':
        return;
    }
  }

  /**
   * Paints the session as it is at some offset ahead, once the output has come so far: what covered it is gone and
   * nothing is shown twice.
   */
  async #repaint(session: string): Promise<void> {
    const picture = await this.#picture(session);
    if (picture) this.#position.mark({ at: picture.offset, what: { do: 'repaint', ...picture } });
  }

  async #picture(session: string): Promise<{ offset: number; picture: Uint8Array } | undefined> {
    const done = new AbortController();
    try {
      const call = await this.#o.daemon.call(
        'session.attach',
        { session, client: randomUUID(), readOnly: true, scrollback: 0, ...this.#size },
        { signal: done.signal },
      );
      let due: { offset: number; length: number } | undefined;
      call.onEvent((event) => {
        if (event.type === 'snapshot') due ??= { offset: event.offset, length: event.length };
      });
      const chunks: Uint8Array[] = [];
      let length = 0;
      for await (const bytes of call.source(streams.output)) {
        chunks.push(bytes);
        length += bytes.length;
        if (due && length >= due.length) break;
      }
      if (!due || length < due.length) return undefined;
      return { offset: due.offset, picture: Buffer.concat(chunks).subarray(0, due.length) };
    } catch (error) {
      // The connection broke again and the next one paints, or the session ended and says so itself.
      if (error instanceof NiiaError) return undefined;
      throw error;
    } finally {
      done.abort();
    }
  }

  /** Shows what is due without further bytes, after `before`. */
  #hold(before?: Promise<void>): void {
    this.#chain(() => before).catch(() => undefined);
    this.#enqueue(new Uint8Array()).catch(() => undefined);
  }

  #enqueue(bytes: Uint8Array): Promise<void> {
    return this.#chain(() => this.#present(bytes));
  }

  /** A screen that fails ends the viewing; the rejection reaches whoever waits for `run`. */
  #chain(step: () => Promise<void> | undefined): Promise<void> {
    this.#showing = this.#showing.then(step);
    this.#showing.catch((error: unknown) => {
      this.#failure ??= error;
      this.#call?.cancel();
    });
    return this.#showing;
  }

  async #present(bytes: Uint8Array): Promise<void> {
    const { screen } = this.#o;
    for (const piece of this.#position.take(bytes)) {
      if ('bytes' in piece) await screen.show(piece.bytes);
      else await this.#turn(piece.mark);
    }
  }

  async #turn(turn: Turn): Promise<void> {
    const { screen } = this.#o;
    if (turn.do === 'size') {
      await screen.resized(turn);
    } else if (turn.do === 'draw') {
      await screen.redraw(turn.gap);
    } else if (turn.offset === this.#position.resumeAt) {
      await screen.redraw(null);
      await screen.show(turn.picture);
    }
  }
}
