import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { Size } from '../../shared/protocol/shapes.ts';
import type { ByteSink } from '../../shared/rpc/byte-stream.ts';
import type { ServedCall } from '../../shared/rpc/server.ts';
import { LogPump } from './log-pump.ts';
import { scrollbackLines } from './screen-messages.ts';
import type { Follower, Session, Watcher } from './session.ts';

type AttachCall = ServedCall<'session.attach'>;

/** A viewer who is further behind the screen than this gets a picture of it instead of all that came in between. */
export const jumpAtLag = 1 << 20;
/** How often a viewer hears at most how far its input is typed. */
const typedEveryMs = 50;

/**
 * One viewer of one session: what it types, and what it is shown. Output goes out in the turn in which it came while
 * the viewer keeps up; a slow one is left behind and jumps, and never holds anyone up.
 */
export class Viewer implements Follower, Watcher {
  readonly readOnly: boolean;
  readonly #session: Session;
  readonly #call: AttachCall;
  readonly #machine: string;
  /** Names the client over its reconnects. */
  readonly #client: string;
  readonly #sink: ByteSink;
  #pump: LogPump | undefined;
  /** Sizes that the viewer has yet to hear of, in the order of the output. */
  #sizes: Array<{ offset: number; size: Size }> = [];
  #picturing = false;
  #sessionEnded = false;
  #typedTimer: NodeJS.Timeout | undefined;
  #typedTold = 0;
  #over = false;
  #resolve: (reason: 'exited' | 'detached') => void = () => undefined;
  #reject: (error: NiiaError) => void = () => undefined;

  constructor(session: Session, call: AttachCall, client: string, machine: string) {
    this.#session = session;
    this.#call = call;
    this.#client = client;
    this.#machine = machine;
    this.readOnly = call.params.readOnly ?? false;
    this.#sink = call.sink(streams.output);
    this.#sessionEnded = !session.live;
  }

  /** Shows the session until it ends, the caller goes or another takes its place. */
  async run(): Promise<ResultOf<'session.attach'>> {
    const { signal, params } = this.#call;
    const session = this.#session;
    const over = new Promise<'exited' | 'detached'>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    over.catch(() => undefined);
    const gone = () => this.#reject(NiiaError.from(signal.reason));
    signal.addEventListener('abort', gone, { once: true });
    const unfollow = session.follow(this);
    try {
      if (signal.aborted) throw NiiaError.from(signal.reason);
      session.addViewer(this, params);
      this.#call.onEvent((event) => session.viewerResized(this, event));
      this.#begin().catch((error: unknown) => this.#reject(NiiaError.from(error)));
      const reason = await over;
      this.#tellTypedNow();
      return { session: session.id, machine: this.#machine, offset: this.#offset, reason, ...session.exit };
    } finally {
      this.#over = true;
      this.#pump?.stop();
      clearTimeout(this.#typedTimer);
      unfollow();
      session.removeViewer(this);
      signal.removeEventListener('abort', gone);
    }
  }

  /** Another call took this viewer's place. */
  replace(): void {
    this.#over = true;
    this.#resolve('detached');
  }

  // What the session tells

  output(): void {
    this.#pump?.arrived();
  }

  resized(offset: number, size: Size): void {
    this.#sizes.push({ offset, size });
    this.#pump?.pump();
  }

  titled(title: string): void {
    if (this.#pump && !this.#over) this.#call.emit({ type: 'title', title });
  }

  ended(): void {
    this.#sessionEnded = true;
    this.#pump?.pump();
  }

  // Output

  get #offset(): number {
    return this.#pump?.offset ?? this.#session.log.end;
  }

  async #begin(): Promise<void> {
    const { since } = this.#call.params;
    const { log } = this.#session;
    const replay = since !== undefined && since >= log.firstOffset && since <= log.end && log.end - since <= jumpAtLag;
    if (replay) {
      const [first, ...later] = this.#session.sizes.from(since);
      // Sizes told since this viewer follows are among them.
      this.#sizes = later;
      this.#attached(since, first?.size ?? this.#session.size);
    } else {
      const picture = await this.#session.snapshot(this.#scrollback);
      if (this.#over) return;
      this.#attached(picture.offset, picture);
      const missed = since !== undefined && since < picture.offset ? { from: since, to: picture.offset } : null;
      this.#show(picture, missed);
    }
    const { title } = this.#session.meta;
    if (title) this.#call.emit({ type: 'title', title });
    this.#takeInput();
    this.#pump?.pump();
  }

  #attached(offset: number, size: Size): void {
    const { id: session, name, log } = this.#session;
    const inputOffset = this.#session.typed.by(this.#client);
    this.#typedTold = inputOffset;
    const { cols, rows } = size;
    this.#call.emit({ type: 'attached', session, machine: this.#machine, name, offset, inputOffset, cols, rows });
    this.#pump = new LogPump({
      log,
      sink: this.#sink,
      offset,
      limit: () => this.#sizes[0]?.offset ?? log.end,
      reached: () => this.#reached(),
      diverted: () => this.#jumpIfBehind(),
      dropped: () => undefined,
      failed: (error) => this.#reject(error),
    });
  }

  get #scrollback(): number {
    return this.#call.params.scrollback ?? scrollbackLines;
  }

  /** The end of the output, or a change of size: true when there is more to do. */
  #reached(): boolean {
    // What comes next belongs behind the picture that is under way.
    if (this.#picturing) return false;
    const next = this.#sizes[0];
    if (next) {
      this.#sizes.shift();
      this.#call.emit({ type: 'size', ...next.size });
      return true;
    }
    if (this.#sessionEnded && this.#sink.room > 0) this.#resolve('exited');
    return false;
  }

  /** Asks for a picture where that saves the viewer much output, or where the log no longer has it. */
  #jumpIfBehind(): boolean {
    if (this.#picturing) return true;
    const behind = this.#session.drawn - this.#offset;
    if (behind <= jumpAtLag && this.#offset >= this.#session.log.firstOffset) return false;
    this.#picturing = true;
    this.#session.snapshot(this.#scrollback).then(
      (picture) => {
        this.#picturing = false;
        if (this.#over) return;
        this.#show(picture, { from: this.#offset, to: Math.max(picture.offset, this.#offset) });
        this.#pump?.pump();
      },
      (error: unknown) => this.#reject(NiiaError.from(error)),
    );
    return true;
  }

  #show(picture: { offset: number; bytes: Uint8Array } & Size, gap: { from: number; to: number } | null): void {
    const { offset, cols, rows, bytes } = picture;
    this.#sizes = this.#sizes.filter((one) => one.offset >= offset);
    this.#pump?.jump(offset);
    this.#call.emit({ type: 'snapshot', offset, length: bytes.length, gap, cols, rows });
    this.#sink.write(bytes);
  }

  // Input

  #takeInput(): void {
    let position = this.#call.params.inputOffset ?? this.#session.typed.by(this.#client);
    this.#call.source(streams.input).onData((bytes) => {
      const start = position;
      position += bytes.length;
      if (this.readOnly || this.#over) return undefined;
      // What was typed before a connection broke and is sent again is not typed again.
      const known = Math.max(0, this.#session.typed.by(this.#client) - start);
      if (known >= bytes.length) {
        this.#tellTyped();
        return undefined;
      }
      this.#session.typed.note(this.#client, position);
      const slow = this.#session.typeAtPace(this, known > 0 ? bytes.subarray(known) : bytes);
      this.#tellTyped();
      return slow;
    });
  }

  /** Says how far its input is typed: soon, and once for all that comes in quick succession. */
  #tellTyped(): void {
    this.#typedTimer ??= setTimeout(() => {
      this.#typedTimer = undefined;
      if (!this.#over) this.#tellTypedNow();
    }, typedEveryMs);
  }

  #tellTypedNow(): void {
    const inputOffset = this.#session.typed.by(this.#client);
    if (this.readOnly || inputOffset === this.#typedTold) return;
    this.#typedTold = inputOffset;
    this.#call.emit({ type: 'typed', inputOffset });
  }
}
