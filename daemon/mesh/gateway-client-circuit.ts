import { NiiaError } from '../../shared/errors.ts';
import { gatewayLimits } from '../../shared/protocol/gateway.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import { encodeRelay } from './gateway-wire.ts';

/** One conversation through a gateway with whoever has `index` there: a slice of the connection to the gateway. */
export class Circuit implements Transport {
  readonly index: number;
  readonly #under: Transport;
  readonly #closedHere: (circuit: Circuit) => void;
  #handler: TransportHandler | undefined;
  /** What came before `start`. */
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  /** What came before is delivered; the rest goes straight to the handler. */
  #live = false;
  #blocked = false;
  #closed = false;
  #error: Error | undefined;

  constructor(index: number, under: Transport, closedHere: (circuit: Circuit) => void) {
    this.index = index;
    this.#under = under;
    this.#closedHere = closedHere;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
    queueMicrotask(() => this.#catchUp(handler));
  }

  get writable(): boolean {
    if (this.#closed) return false;
    // Other circuits may have filled the connection: whoever was told to wait is told when it drains.
    if (!this.#under.writable) this.#blocked = true;
    return this.#under.writable;
  }

  /** Throws `too_large` for more than `gatewayLimits.payload` bytes. */
  send(head: Uint8Array, body?: Uint8Array): void {
    if (this.#closed) return;
    const length = head.length + (body?.length ?? 0);
    if (length > gatewayLimits.payload) {
      throw new NiiaError('too_large', `a message of ${length} bytes is over the gateway's ${gatewayLimits.payload}`);
    }
    this.#under.send(encodeRelay(this.index, head, body));
    if (!this.#under.writable) this.#blocked = true;
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#inbox = [];
    this.end(error);
    this.#closedHere(this);
  }

  /** A payload for this circuit. */
  receive(payload: Uint8Array): void {
    if (this.#closed) return;
    if (this.#live) {
      this.#handler?.message(payload);
      return;
    }
    this.#inbox.push(payload);
    this.#inboxBytes += payload.length;
    if (this.#inboxBytes > gatewayLimits.circuit) this.close(new NiiaError('too_large', 'nobody reads this circuit'));
  }

  /** The connection below takes more. */
  drained(): void {
    if (!this.#blocked || this.#closed) return;
    this.#blocked = false;
    this.#handler?.writable();
  }

  /** Ends it without a word to whoever made it. What came before is still delivered. */
  end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    if (this.#live) this.#handler?.closed(error);
  }

  #catchUp(handler: TransportHandler): void {
    for (let payload = this.#inbox.shift(); payload; payload = this.#inbox.shift()) handler.message(payload);
    this.#live = true;
    if (this.#closed) handler.closed(this.#error);
  }
}
