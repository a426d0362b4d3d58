import type { NiiaError } from '../../shared/errors.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';

/** What an open link needs from below. */
export interface LinkBelow {
  send(head: Uint8Array, body?: Uint8Array): void;
  readonly writable: boolean;
  hangUp(error?: Error): void;
}

/** One open link as its user sees it: paths come and go unnoticed, the end of the session ends it. */
export class LinkTransport implements Transport {
  readonly #below: LinkBelow;
  #handler: TransportHandler | undefined;
  /** What came before `start`, until it is delivered. */
  #inbox: Uint8Array[] | undefined = [];
  #closed = false;
  #error: Error | undefined;

  constructor(below: LinkBelow) {
    this.#below = below;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    queueMicrotask(() => {
      const inbox = this.#inbox ?? [];
      for (let message = inbox.shift(); message; message = inbox.shift()) handler.message(message);
      this.#inbox = undefined;
      if (this.#closed) handler.closed(this.#error);
    });
  }

  get writable(): boolean {
    return !this.#closed && this.#below.writable;
  }

  /** Throws `too_large` beyond 1 MiB. */
  send(head: Uint8Array, body?: Uint8Array): void {
    if (!this.#closed) this.#below.send(head, body);
  }

  /** Ends the session with the other machine; it is told why. */
  close(error?: Error): void {
    if (!this.#closed) this.#below.hangUp(error);
  }

  delivered(message: Uint8Array): void {
    if (this.#inbox) this.#inbox.push(message);
    else this.#handler?.message(message);
  }

  drained(): void {
    if (!this.#closed) this.#handler?.writable();
  }

  ended(error: NiiaError): void {
    this.#closed = true;
    this.#error = error;
    if (!this.#inbox) this.#handler?.closed(error);
  }
}
