import type { Size } from '../../../shared/protocol/shapes.ts';

type EventCode = 'o' | 'r' | 'm';

/** Lines of an asciicast v2 file (docs.asciinema.org/manual/asciicast/v2). Times are milliseconds. */
export class Asciicast {
  readonly #startMs: number;
  /** A character may be cut between two chunks. */
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  header({ cols, rows }: Size, title: string): string {
    const timestamp = Math.floor(this.#startMs / 1_000);
    return `${JSON.stringify({ version: 2, width: cols, height: rows, timestamp, title, env: { TERM: 'xterm-256color' } })}\n`;
  }

  output(nowMs: number, bytes: Uint8Array): string {
    const text = this.#decoder.decode(bytes, { stream: true });
    return text === '' ? '' : this.#event(nowMs, 'o', text);
  }

  resize(nowMs: number, { cols, rows }: Size): string {
    return this.#event(nowMs, 'r', `${cols}x${rows}`);
  }

  marker(nowMs: number, label: string): string {
    return this.#event(nowMs, 'm', label);
  }

  #event(nowMs: number, code: EventCode, data: string): string {
    return `${JSON.stringify([Math.max(0, nowMs - this.#startMs) / 1_000, code, data])}\n`;
  }
}
