import type { Readable } from 'node:stream';
import { NiiaError } from '../../shared/errors.ts';
import type { ByteSink } from '../../shared/rpc/byte-stream.ts';
import { LogMemory } from './log-memory.ts';

/** A background process may keep the command's output open; after the command's end it is given this much silence. */
const silenceAfterExitMs = 1000;
const pieceBytes = 16 << 10;
/** Bytes that the asker may not have yet, before the command has to wait: where it may come back, and where not. */
const mostKept = 4 << 20;
const mostInPassing = 64 << 10;

/**
 * One output of a command on its way to whoever asked, addressed by byte. What the asker may not have is kept, so that
 * one that comes back misses nothing; a command that is too far ahead waits in its pipe.
 */
export class AskOutput {
  readonly #pipe: Readable | null;
  readonly #keep: boolean;
  readonly #memory = new LogMemory(0);
  readonly #closed: Promise<void>;
  #acknowledged = 0;
  #sent = 0;
  #complete = false;
  #lastByteAt = performance.now();
  #sink: ByteSink | undefined;
  #allSent: (() => void) | undefined;

  /** `keep`: until it is acknowledged; otherwise until it is sent. */
  constructor(pipe: Readable | null, keep: boolean) {
    this.#pipe = pipe;
    this.#keep = keep;
    this.#closed = new Promise((resolve) => {
      if (pipe) pipe.once('close', resolve);
      else resolve();
    });
    pipe?.on('error', () => undefined);
    pipe?.on('data', (bytes: Uint8Array) => {
      this.#lastByteAt = performance.now();
      this.#memory.append(bytes);
      this.#pump();
      if (this.kept >= this.#most) pipe.pause();
    });
  }

  /** Bytes held for the asker. */
  get kept(): number {
    return this.#memory.end - this.#acknowledged;
  }

  /** Sends from `offset` on, and then what comes. Throws where that is not kept any more, or was never said. */
  connect(sink: ByteSink, offset: number): void {
    if (offset < this.#acknowledged) {
      throw new NiiaError('outcome_unknown', `the command's output before byte ${this.#acknowledged} is not kept`);
    }
    if (offset > this.#memory.end) {
      throw new NiiaError('usage', `the command has said ${this.#memory.end} bytes, not ${offset}`);
    }
    this.#sent = offset;
    this.acknowledge(offset);
    this.#sink = sink;
    sink.onRoom = () => this.#pump();
    this.#pump();
  }

  disconnect(sink: ByteSink): void {
    sink.onRoom = undefined;
    if (this.#sink === sink) this.#sink = undefined;
  }

  acknowledge(offset: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, Math.min(offset, this.#sent));
    this.#memory.dropBelow(this.#acknowledged);
    this.#flow();
  }

  /** Resolves when all there will be has come: the pipe has ended, or was silent for a while after the command's end. */
  async complete(): Promise<void> {
    this.#lastByteAt = performance.now();
    const pipe = this.#pipe;
    const timer = setInterval(() => {
      // While the command's output has to wait the silence is not its own.
      if (pipe?.isPaused()) this.#lastByteAt = performance.now();
      else if (performance.now() - this.#lastByteAt >= silenceAfterExitMs) pipe?.destroy();
    }, silenceAfterExitMs / 10);
    try {
      await this.#closed;
    } finally {
      clearInterval(timer);
    }
    this.#complete = true;
    this.#pump();
  }

  /** Resolves when everything is on its way to the asker that is connected now. */
  async allSent(): Promise<void> {
    if (this.#complete && this.#sent === this.#memory.end) return;
    await new Promise<void>((resolve) => {
      this.#allSent = resolve;
    });
  }

  /** Nobody will come for the rest. */
  destroy(): void {
    this.#pipe?.destroy();
  }

  #pump(): void {
    const sink = this.#sink;
    while (sink && sink.room > 0) {
      const piece = this.#memory.peek(this.#sent, pieceBytes);
      if (!piece) break;
      this.#sent += piece.length;
      sink.write(piece);
    }
    if (!this.#keep) this.acknowledge(this.#sent);
    if (this.#complete && this.#sent === this.#memory.end) this.#allSent?.();
  }

  #flow(): void {
    if (this.#pipe?.isPaused() && this.kept < this.#most) this.#pipe.resume();
  }

  get #most(): number {
    return this.#keep ? mostKept : mostInPassing;
  }
}
