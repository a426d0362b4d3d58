import type { Transport, TransportHandler } from '../../../shared/transport/transport.ts';

/** A transport of which the test holds the other end: what is sent is counted, what comes is what the test gives. */
export class LooseEnd implements Transport {
  #handler: TransportHandler | undefined;
  readonly sent: Uint8Array[] = [];
  sentBytes = 0;
  closed = false;
  error: Error | undefined;
  writable = true;
  /** How many of the last messages are kept. */
  readonly #keep: number;

  constructor(keep = 64) {
    this.#keep = keep;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.closed) return;
    const message = body ? Buffer.concat([head, body]) : Uint8Array.from(head);
    this.sentBytes += message.length;
    this.sent.push(message);
    if (this.sent.length > this.#keep) this.sent.shift();
  }

  close(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    this.#handler?.closed(error);
  }

  /** A message from the other side. */
  give(message: Uint8Array): void {
    if (!this.closed) this.#handler?.message(message);
  }
}
