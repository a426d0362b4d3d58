import type { Size } from '../../shared/protocol/shapes.ts';
import type { OutputLog } from './output-log.ts';
import type { Drawing, Look, ScreenText, Snapshot, ToScreens } from './screen-messages.ts';
import type { ScreenRows } from './screen-rows.ts';

type WithoutScreen<T> = T extends unknown ? Omit<T, 'screen'> : never;

export interface ScreenHandler {
  titled(title: string): void;
  /** What a terminal would answer to the program. */
  reply(bytes: Uint8Array): void;
  /** More was drawn: `screen.drawn` has moved. */
  drawn(): void;
  /** The lower rows have changed; told while the screen is observed. */
  rows?(rows: ScreenRows): void;
}

/** What can be asked about a screen. */
export type AskType = 'text' | 'snapshot' | 'look' | 'drawing';

/** How a screen reaches whatever draws it. */
export interface ScreenWay {
  post(message: WithoutScreen<ToScreens>): void;
  ask(type: AskType, scrollback: number): Promise<ScreenText | Snapshot | Look | Drawing>;
  disposed(): void;
}

/** Where the bytes come from: a log, or what looks like one. */
export type ScreenSource = Pick<OutputLog, 'firstOffset' | 'end' | 'peek' | 'read'>;

/** Bytes on their way to be drawn: enough to keep the drawing busy, little enough that a question is soon answered. */
const mostInFlight = 256 << 10;
const largestChunk = 64 << 10;
/** A little output waits this long, so that drawing does not compete with its way to the viewers. */
const feedAfterMs = 4;

/** The screen of one session: fed from its log in order, bytes and sizes alike, off the path to the viewers. */
export class SessionScreen {
  readonly handler: ScreenHandler;
  readonly #log: ScreenSource;
  readonly #way: ScreenWay;
  readonly #scrollback: number | undefined;
  #size: Size;
  #sent: number;
  #drawn: number;
  #resizes: Array<{ offset: number; size: Size }> = [];
  #timer: NodeJS.Timeout | undefined;
  #reading = false;
  #disposed = false;
  #observed = false;
  /** Counts how often it was drawn from scratch: what was under way for an earlier time is void. */
  #life = 0;
  #waiters: Array<{ offset: number; wake: () => void }> = [];

  constructor(
    log: ScreenSource,
    size: Size,
    offset: number,
    handler: ScreenHandler,
    way: ScreenWay,
    scrollback?: number,
  ) {
    this.#scrollback = scrollback;
    this.#log = log;
    this.#size = size;
    this.#sent = offset;
    this.#drawn = offset;
    this.handler = handler;
    this.#way = way;
    this.#open(offset);
  }

  /** Output below this offset is drawn. */
  get drawn(): number {
    return this.#drawn;
  }

  /** The log has grown. */
  outputArrived(): void {
    if (this.#log.end - this.#sent >= largestChunk) this.#feed();
    else this.#timer ??= setTimeout(() => this.#feed(), feedAfterMs);
  }

  /** The terminal has another size from the log's end on. */
  resize(size: Size): void {
    this.#size = size;
    this.#resizes.push({ offset: this.#log.end, size });
    this.#feed();
  }

  /** Whether the handler is told of its rows, now and when they have changed. */
  observe(on: boolean): void {
    if (this.#observed === on || this.#disposed) return;
    this.#observed = on;
    this.#way.post({ type: 'observe', on });
  }

  /** Resolves once everything up to `offset` is drawn, at the latest after `withinMs`. */
  async drawnTo(offset: number, withinMs: number): Promise<void> {
    this.#feed();
    if (this.#drawn >= offset || this.#disposed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#waiters.push({
        offset,
        wake: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  async text(scrollback: number): Promise<ScreenText> {
    const answer = await this.#askTwice('text', scrollback);
    if (!('lines' in answer)) throw new Error('a snapshot where a text was asked for');
    return answer;
  }

  async snapshot(scrollback: number): Promise<Snapshot> {
    const answer = await this.#askTwice('snapshot', scrollback);
    if (!('bytes' in answer)) throw new Error('a text where a snapshot was asked for');
    return answer;
  }

  async look(): Promise<Look> {
    const answer = await this.#askTwice('look', 0);
    if (!('plain' in answer)) throw new Error('something else where a look was asked for');
    return answer;
  }

  /** All rows that were drawn and are kept. */
  async drawing(): Promise<Drawing> {
    const answer = await this.#askTwice('drawing', 0);
    if (!('alternate' in answer)) throw new Error('something else where a drawing was asked for');
    return answer;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    clearTimeout(this.#timer);
    this.#way.post({ type: 'dispose' });
    this.#way.disposed();
    for (const waiter of this.#waiters.splice(0)) waiter.wake();
  }

  // What follows is for Screens.

  drawnUpTo(offset: number): void {
    this.#drawn = offset;
    if (this.#waiters.length > 0) {
      const due = this.#waiters.filter((waiter) => waiter.offset <= offset);
      this.#waiters = this.#waiters.filter((waiter) => waiter.offset > offset);
      for (const waiter of due) waiter.wake();
    }
    this.#feed();
    this.handler.drawn();
  }

  /** Starts over, from the last `replay` bytes of the log. */
  drawAgain(replay: number): void {
    this.#life++;
    this.#reading = false;
    const offset = Math.max(this.#log.firstOffset, this.#log.end - replay);
    this.#sent = offset;
    this.#drawn = offset;
    this.#resizes = [];
    this.#open(offset);
    if (this.#observed) this.#way.post({ type: 'observe', on: true });
    this.#feed();
  }

  #open(offset: number): void {
    const scrollback = this.#scrollback === undefined ? {} : { scrollback: this.#scrollback };
    this.#way.post({ type: 'open', offset, ...this.#size, ...scrollback });
  }

  async #askTwice(type: AskType, scrollback: number): Promise<ScreenText | Snapshot | Look | Drawing> {
    const life = this.#life;
    try {
      return await this.#way.ask(type, scrollback);
    } catch (error) {
      // The drawing broke down under the question and was started anew.
      if (this.#life === life || this.#disposed) throw error;
      return await this.#way.ask(type, scrollback);
    }
  }

  #feed(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (!this.#reading && !this.#disposed) {
      const resize = this.#resizes[0];
      if (resize && resize.offset <= this.#sent) {
        this.#resizes.shift();
        this.#way.post({ type: 'resize', ...resize.size });
        continue;
      }
      const end = resize?.offset ?? this.#log.end;
      const most = Math.min(largestChunk, end - this.#sent, mostInFlight - (this.#sent - this.#drawn));
      if (most <= 0) return;
      const bytes = this.#log.peek(this.#sent, most);
      if (bytes) this.#send(bytes);
      else this.#readAndSend(most);
    }
  }

  #send(bytes: Uint8Array): void {
    this.#sent += bytes.length;
    // A copy of its own: it is handed over to another thread.
    this.#way.post({ type: 'bytes', end: this.#sent, bytes: new Uint8Array(bytes) });
  }

  #readAndSend(most: number): void {
    const life = this.#life;
    this.#reading = true;
    this.#log.read(this.#sent, most).then(
      ({ from, bytes }) => {
        if (this.#life !== life || this.#disposed) return;
        this.#reading = false;
        this.#sent = from;
        if (bytes.length > 0) this.#send(bytes);
        else this.#drawn = from;
        this.#feed();
      },
      () => {
        if (this.#life !== life || this.#disposed) return;
        // Unreadable: the picture goes on with what is in memory.
        this.#reading = false;
        this.drawAgain(0);
      },
    );
  }
}
