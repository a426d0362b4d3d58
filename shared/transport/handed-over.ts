import type { Transport, TransportHandler } from './transport.ts';

/**
 * A transport that was in use for a greeting, for whoever has the conversation from then on: it can be started again,
 * and what comes in between is kept. Whoever greeted passes on what the transport says: `receive`, `drained`, `end`.
 */
export class HandedOver implements Transport {
  readonly #under: Transport;
  readonly #mostBytes: number;
  #handler: TransportHandler | undefined;
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #live = false;
  #closed = false;
  #error: Error | undefined;

  /** `mostBytes`: what may come before `start`; with more the transport is closed. */
  constructor(under: Transport, mostBytes: number) {
    this.#under = under;
    this.#mostBytes = mostBytes;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    queueMicrotask(() => {
      for (let message = this.#inbox.shift(); message; message = this.#inbox.shift()) handler.message(message);
      this.#live = true;
      if (this.#closed) handler.closed(this.#error);
    });
  }

  get writable(): boolean {
    return this.#under.writable;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    this.#under.send(head, body);
  }

  close(error?: Error): void {
    this.#under.close(error);
  }

  receive(bytes: Uint8Array): void {
    if (this.#live) {
      this.#handler?.message(bytes);
      return;
    }
    this.#inbox.push(bytes);
    this.#inboxBytes += bytes.length;
    if (this.#inboxBytes > this.#mostBytes) this.close();
  }

  drained(): void {
    if (this.#live) this.#handler?.writable();
  }

  end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    if (this.#live) this.#handler?.closed(error);
  }
}
