import type { Transport, TransportHandler } from './transport.ts';

/** Two transports joined back to back; messages arrive in a later microtask, as on a socket. */
export function memoryTransportPair(highWatermark = 256 << 10): [MemoryTransport, MemoryTransport] {
  const a = new MemoryTransport(highWatermark);
  const b = new MemoryTransport(highWatermark);
  a.join(b);
  b.join(a);
  return [a, b];
}

export class MemoryTransport implements Transport {
  #other: MemoryTransport | undefined;
  #handler: TransportHandler | undefined;
  #inbox: Uint8Array[] = [];
  #waiting = 0;
  #blocked = false;
  #closed = false;
  readonly #highWatermark: number;

  constructor(highWatermark: number) {
    this.#highWatermark = highWatermark;
  }

  join(other: MemoryTransport): void {
    this.#other = other;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    queueMicrotask(() => this.#deliver());
  }

  get writable(): boolean {
    return !this.#closed && this.#waiting < this.#highWatermark;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.#closed || !this.#other) return;
    const message = new Uint8Array(head.length + (body?.length ?? 0));
    message.set(head);
    if (body) message.set(body, head.length);
    this.#waiting += message.length;
    if (!this.writable) this.#blocked = true;
    this.#other.#inbox.push(message);
    const other = this.#other;
    queueMicrotask(() => other.#deliver());
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.closed(error);
    const other = this.#other;
    if (other) queueMicrotask(() => other.close(error));
  }

  #deliver(): void {
    if (!this.#handler) return;
    for (let message = this.#inbox.shift(); message; message = this.#inbox.shift()) {
      if (this.#closed) return;
      if (this.#other) this.#other.#taken(message.length);
      this.#handler.message(message);
    }
  }

  #taken(bytes: number): void {
    this.#waiting -= bytes;
    if (this.#blocked && this.#waiting < this.#highWatermark / 2) {
      this.#blocked = false;
      queueMicrotask(() => this.#handler?.writable());
    }
  }
}
