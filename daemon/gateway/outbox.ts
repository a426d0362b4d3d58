/** What a waiting message counts for on top of its bytes: a flood of tiny ones takes memory too. */
const overhead = 128;

interface Circuit {
  messages: Uint8Array[];
  /** Index of the first message that still waits. */
  first: number;
  bytes: number;
}

/**
 * What waits to be sent to one machine, apart for each sender, so that one sender's flood neither takes another's room
 * nor its turn. Senders are served one message each in turn.
 */
export class Outbox {
  readonly #circuits = new Map<number, Circuit>();
  readonly #send: (message: Uint8Array) => void;
  readonly #writable: () => boolean;
  readonly #limit: number;
  #waiters: Array<() => void> = [];

  constructor(send: (message: Uint8Array) => void, writable: () => boolean, limit: number) {
    this.#send = send;
    this.#writable = writable;
    this.#limit = limit;
  }

  /** False, and nothing is taken, where more than the limit would wait for this sender. */
  relay(sender: number, message: Uint8Array): boolean {
    if (this.#circuits.size === 0 && this.#writable()) {
      this.#send(message);
      return true;
    }
    const circuit = this.#circuits.get(sender);
    if ((circuit?.bytes ?? 0) + message.length + overhead > this.#limit) return false;
    this.#wait(sender, circuit, message);
    return true;
  }

  /** Sends `message` after all that waits from this sender. */
  finish(sender: number, message: Uint8Array): void {
    const circuit = this.#circuits.get(sender);
    if (circuit) this.#wait(sender, circuit, message);
    else this.#send(message);
  }

  /** Forgets what waits from this sender. */
  drop(sender: number): void {
    this.#circuits.delete(sender);
    this.#settle();
  }

  clear(): void {
    this.#circuits.clear();
    this.#settle();
  }

  /** Sends while the transport takes it. */
  flush(): void {
    while (this.#circuits.size > 0 && this.#writable()) {
      for (const [sender, circuit] of this.#circuits) {
        const message = circuit.messages[circuit.first];
        if (message) {
          circuit.first++;
          circuit.bytes -= message.length + overhead;
          this.#send(message);
        }
        if (circuit.first >= circuit.messages.length) this.#circuits.delete(sender);
        else if (circuit.first > 64 && circuit.first * 2 > circuit.messages.length) {
          circuit.messages = circuit.messages.slice(circuit.first);
          circuit.first = 0;
        }
        if (!this.#writable()) break;
      }
    }
    this.#settle();
  }

  get waitingBytes(): number {
    let bytes = 0;
    for (const circuit of this.#circuits.values()) bytes += circuit.bytes;
    return bytes;
  }

  /** Resolves when nothing waits. */
  empty(): Promise<void> {
    if (this.#circuits.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wait(sender: number, circuit: Circuit | undefined, message: Uint8Array): void {
    // A small message that waits must not keep alive the large buffer that it came in.
    const kept = message.length * 2 < message.buffer.byteLength ? new Uint8Array(message) : message;
    const bytes = message.length + overhead;
    if (circuit) {
      circuit.messages.push(kept);
      circuit.bytes += bytes;
    } else this.#circuits.set(sender, { messages: [kept], first: 0, bytes });
  }

  #settle(): void {
    if (this.#circuits.size > 0 || this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}
