/** Bounds that both sides of a connection rely on. Sizes are bytes, times are milliseconds. */
export const limits = {
  /** The largest message on any transport. A larger one closes the connection. */
  message: 1 << 20,
  /** The largest JSON header of a request, result or event. */
  header: 256 << 10,
  /** The largest body of a request or result. Longer input goes as several requests or as a stream. */
  body: 512 << 10,
  /** Stream bytes in one frame: small enough that a keystroke behind a flood waits for one frame only. */
  data: 16 << 10,
  /** Bytes a sender may have in flight on one stream before the receiver has consumed them. */
  window: 256 << 10,
  /** Streams of one call, each way. */
  streams: 8,
  /** Calls that one peer may have open at the other at a time. */
  openCalls: 1024,
  /** Events that wait for a handler, or to be passed on, before the call is ended. */
  pendingEvents: 256,
  /** Bytes of all calls that the other side opened that may wait to be taken. */
  held: 64 << 20,
  /** Characters of an error's message, and of its hint, that are told to the other side. */
  errorText: 4096,
  /** How long a connection may take to say hello. */
  helloMs: 10_000,
} as const;
