/** What a transport tells its user. Set once, before the first message can arrive. */
export interface TransportHandler {
  message(bytes: Uint8Array): void;
  /** The send buffer fell below the low watermark after `writable` was false. */
  writable(): void;
  /** Exactly once; nothing follows. `error` is absent after an orderly close. */
  closed(error?: Error): void;
}

/**
 * A pipe of whole binary messages, in order, with backpressure. Sockets, links between daemons and in-memory pairs for
 * tests all look like this; whatever is above cannot tell them apart.
 */
export interface Transport {
  start(handler: TransportHandler): void;
  /**
   * Sends `head` followed by `body` as one message. Always accepts (the caller looks at `writable` first and bounds
   * what it sends when that is false); does nothing once closed. The bytes must not be changed afterwards.
   */
  send(head: Uint8Array, body?: Uint8Array): void;
  /** False while more than the high watermark waits to be sent. */
  readonly writable: boolean;
  close(error?: Error): void;
}
