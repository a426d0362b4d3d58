import { NiiaError } from '../../shared/errors.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import { helperLimits } from './helper-protocol.ts';

/** Where the transport's messages go. */
export interface HelperSide {
  data(head: Uint8Array, body?: Uint8Array): void;
  credit(bytes: number): void;
  close(abrupt: boolean): void;
}

/**
 * The data channel of one WebRTC connection, which another process holds. `close()` lets out what was sent before;
 * `close(error)` drops what has not left yet.
 */
export class P2pTransport implements Transport {
  readonly #helper: HelperSide;
  #handler: TransportHandler | undefined;
  #live = false;
  #inbox: Uint8Array[] = [];
  /** Sent, and not yet taken on by the data channel; bytes. */
  #outgoing = 0;
  #blocked = false;
  /** Taken by our user since the helper was last told. */
  #taken = 0;
  #closed = false;
  #error: Error | undefined;

  constructor(helper: HelperSide) {
    this.#helper = helper;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    queueMicrotask(() => {
      for (let message = this.#inbox.shift(); message; message = this.#inbox.shift()) this.#deliver(message);
      this.#live = true;
      if (this.#closed) handler.closed(this.#error);
    });
  }

  get writable(): boolean {
    return !this.#closed && this.#outgoing < helperLimits.outgoing;
  }

  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.#closed) return;
    const length = head.length + (body?.length ?? 0);
    if (length > helperLimits.message) {
      this.close(new NiiaError('too_large', `a message of ${length} bytes is more than a data channel takes`));
      return;
    }
    this.#outgoing += length;
    if (!this.writable) this.#blocked = true;
    this.#helper.data(head, body);
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#inbox = [];
    this.#helper.close(error !== undefined);
    this.end(error);
  }

  /** A message came. */
  receive(message: Uint8Array): void {
    if (this.#closed) return;
    if (this.#live) this.#deliver(message);
    else this.#inbox.push(message);
  }

  /** The data channel took so many bytes on. */
  credit(bytes: number): void {
    this.#outgoing -= bytes;
    if (!this.#blocked || this.#closed || this.#outgoing > helperLimits.outgoingLow) return;
    this.#blocked = false;
    this.#handler?.writable();
  }

  /** The connection is no more. */
  end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    if (this.#live) this.#handler?.closed(error);
  }

  #deliver(message: Uint8Array): void {
    this.#taken += message.length;
    if (this.#taken >= helperLimits.creditStep && !this.#closed) {
      this.#helper.credit(this.#taken);
      this.#taken = 0;
    }
    this.#handler?.message(message);
  }
}
