import { NiiaError } from '../errors.ts';
import { limits } from '../protocol/limits.ts';
import type { Transport, TransportHandler } from './transport.ts';

/** The part of a Node stream socket (net.Socket, tls.TLSSocket) that this transport uses. */
export interface StreamSocket {
  write(data: Uint8Array): boolean;
  cork(): void;
  uncork(): void;
  end(): unknown;
  destroy(error?: Error): unknown;
  readonly writableLength: number;
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown;
  on(event: 'drain' | 'end' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

const lengthBytes = 4;
/** Below this a copy into one buffer is cheaper than a second write. */
const copyBelow = 4 << 10;
const highWatermark = 256 << 10;
const mostChunks = 1024;

/** Messages over a byte stream: each is preceded by its length as an unsigned 32-bit big-endian number. */
export class SocketTransport implements Transport {
  readonly #socket: StreamSocket;
  #handler: TransportHandler | undefined;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** Length of the message being received; negative while its length prefix is. */
  #length = -1;
  #corked = false;
  #blocked = false;
  #closed = false;
  #error: Error | undefined;

  constructor(socket: StreamSocket) {
    this.#socket = socket;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('drain', () => {
      if (!this.#blocked) return;
      this.#blocked = false;
      handler.writable();
    });
    this.#socket.on('error', (error) => {
      this.#error ??= error;
    });
    this.#socket.on('end', () => this.#socket.end());
    this.#socket.on('close', () => this.#finish());
  }

  get writable(): boolean {
    return !this.#closed && this.#socket.writableLength < highWatermark;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.#closed) return;
    this.#cork();
    const bodyLength = body?.length ?? 0;
    const inline = body !== undefined && bodyLength < copyBelow;
    const first = Buffer.allocUnsafe(lengthBytes + head.length + (inline ? bodyLength : 0));
    first.writeUInt32BE(head.length + bodyLength, 0);
    first.set(head, lengthBytes);
    if (inline) first.set(body, lengthBytes + head.length);
    let flowing = this.#socket.write(first);
    if (body !== undefined && !inline) flowing = this.#socket.write(body);
    if (!flowing) this.#blocked = true;
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#error ??= error;
    this.#socket.end();
    this.#finish();
  }

  /** All that one turn of the event loop sends leaves in one system call. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  #receive(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    // A message that comes in crumbs must not cost a hundred times its size.
    if (this.#chunks.length >= mostChunks) {
      this.#chunks = [this.#take(this.#buffered)];
      this.#buffered = this.#chunks[0]?.length ?? 0;
    }
    while (!this.#closed) {
      if (this.#length < 0) {
        if (this.#buffered < lengthBytes) return;
        this.#length = Buffer.from(this.#take(lengthBytes)).readUInt32BE(0);
        if (this.#length > limits.message) {
          this.#error = new NiiaError(
            'too_large',
            `a message of ${this.#length} bytes is over the limit of ${limits.message}`,
          );
          this.#socket.destroy();
          this.#finish();
          return;
        }
      }
      if (this.#buffered < this.#length) return;
      const message = this.#take(this.#length);
      this.#length = -1;
      this.#handler?.message(message);
    }
  }

  /** The next `count` buffered bytes: a view where they lie in one chunk, else a copy. */
  #take(count: number): Uint8Array {
    this.#buffered -= count;
    const first = this.#chunks[0];
    if (first && first.length >= count) {
      if (first.length === count) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const out = new Uint8Array(count);
    let filled = 0;
    let whole = 0;
    while (filled < count) {
      const chunk = this.#chunks[whole];
      if (!chunk) throw new NiiaError('internal', 'the receive buffer is shorter than its count');
      const part = chunk.subarray(0, count - filled);
      out.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) whole++;
      else this.#chunks[whole] = chunk.subarray(part.length);
    }
    this.#chunks.splice(0, whole);
    return out;
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.closed(this.#error);
  }
}
