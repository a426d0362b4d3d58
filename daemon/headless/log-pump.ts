import { NiiaError } from '../../shared/errors.ts';
import type { ByteSink } from '../../shared/rpc/byte-stream.ts';
import type { OutputLog } from './output-log.ts';

export interface PumpOptions {
  log: OutputLog;
  sink: ByteSink;
  offset: number;
  /** Nothing is sent from this offset on before `reached` has been called. */
  limit(): number;
  /** The limit was reached; true when there may be more to send now. */
  reached(): boolean;
  /** Called before bytes are sent; true when it has started something else and will call `pump` again. */
  diverted?(): boolean;
  /** The log no longer has these bytes; the pump goes on at `to`. */
  dropped(from: number, to: number): void;
  failed(error: NiiaError): void;
}

/** In a flood so much is sent at a time, or what came within so long (ms): a frame costs more than its bytes. */
const batchBytes = 64 << 10;
const batchMs = 3;
/** Less than this within that time is no flood and goes out at once: keystrokes' echoes, a redrawn screen. */
const quietBytes = 8 << 10;

/**
 * Sends a log to one reader at the reader's pace. It holds no bytes itself: where the reader has no room, they stay in
 * the log. At the log's end it sends what has just been appended in the same turn, without a copy.
 */
export class LogPump {
  readonly #options: PumpOptions;
  #offset: number;
  #busy = false;
  #stopped = false;
  /** When the present stretch of output began (`performance.now()`), and at which offset. */
  #stretchMs = 0;
  #stretchFrom = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#offset = options.offset;
    options.sink.onRoom = () => this.pump();
  }

  get offset(): number {
    return this.#offset;
  }

  /** Goes on elsewhere. */
  jump(offset: number): void {
    this.#offset = offset;
  }

  /** The log has grown: sends at once, except in a flood, where more is sure to follow. */
  arrived(): void {
    const { end } = this.#options.log;
    if (end - this.#offset < batchBytes) {
      if (this.#timer) return;
      const now = performance.now();
      if (now - this.#stretchMs > batchMs) {
        this.#stretchMs = now;
        this.#stretchFrom = end;
      }
      if (end - this.#stretchFrom > quietBytes) {
        this.#timer = setTimeout(() => this.pump(), batchMs);
        return;
      }
    }
    this.pump();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped = true;
    this.#options.sink.onRoom = undefined;
  }

  pump(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#busy) return;
    this.#busy = true;
    let reading = false;
    while (!this.#stopped && !reading) {
      const most = this.#options.limit() - this.#offset;
      if (most <= 0) {
        if (this.#options.reached()) continue;
        break;
      }
      const room = this.#options.sink.room;
      if (room === 0 || this.#options.diverted?.()) break;
      const bytes = this.#options.log.peek(this.#offset, Math.min(room, most));
      if (bytes) this.#send(bytes);
      else {
        reading = true;
        this.#read(Math.min(room, most));
      }
    }
    if (!reading) this.#busy = false;
  }

  #send(bytes: Uint8Array): void {
    this.#offset += bytes.length;
    this.#options.sink.write(bytes);
  }

  #read(most: number): void {
    this.#options.log.read(this.#offset, most).then(
      ({ from, bytes }) => {
        if (this.#stopped) return;
        this.#busy = false;
        if (from > this.#offset) {
          const gapFrom = this.#offset;
          this.#offset = from;
          this.#options.dropped(gapFrom, from);
          // Told first; the bytes are read again, as whoever was told may have moved on.
        } else {
          this.#send(bytes);
        }
        this.pump();
      },
      (error: unknown) => {
        if (this.#stopped) return;
        this.#options.failed(
          new NiiaError('io', `the output log cannot be read: ${NiiaError.from(error).message}`, undefined, {
            cause: error,
          }),
        );
      },
    );
  }
}
