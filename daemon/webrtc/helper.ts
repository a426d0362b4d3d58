import type { Transport } from '../../shared/transport/transport.ts';
import { HelperConnection } from './helper-connection.ts';
import type { FromHelper, HelperFrame, ToHelper } from './helper-protocol.ts';
import { dataHeader, decodeHelperFrame, encodeCredit, encodeHelperControl, toHelperSchema } from './helper-protocol.ts';

/** How long the other ends may take to hear of the end, milliseconds. */
const partingMs = 800;

/** After the end of a connection the heap is collected so often, every so many milliseconds. */
const collectPasses = 3;
const collectMs = 500;

/** The helper's side of the pipe: makes and ends connections as the daemon says. */
export class Helper {
  readonly #pipe: Transport;
  readonly #connections = new Map<number, HelperConnection>();
  readonly #gather: () => void;
  readonly #exit: () => void;
  #parting = false;
  #collecting: NodeJS.Timeout | undefined;
  #passes = 0;

  /**
   * `gather`: what is sent in this turn of the event loop may leave at its end, at once. `exit`: the daemon is gone, or
   * wishes the end, and the other ends of all connections know.
   */
  constructor(pipe: Transport, gather: () => void, exit: () => void) {
    this.#pipe = pipe;
    this.#gather = gather;
    this.#exit = exit;
    pipe.start({
      message: (bytes) => this.#receive(decodeHelperFrame(bytes, toHelperSchema)),
      writable: () => undefined,
      closed: () => this.#part(),
    });
    this.#tell(0, { type: 'ready' });
  }

  #receive(frame: HelperFrame<ToHelper>): void {
    const { connection: number } = frame;
    const connection = this.#connections.get(number);
    switch (frame.kind) {
      case 'data':
        connection?.send(frame.bytes);
        return;
      case 'credit':
        connection?.credit(frame.bytes);
        return;
      case 'control':
        if (frame.message.type === 'ping') this.#tell(0, { type: 'pong' });
        else if (frame.message.type === 'open') this.#open(number, frame.message);
        else connection?.control(frame.message);
    }
  }

  #open(number: number, { initiator, iceServers, relayOnly }: Extract<ToHelper, { type: 'open' }>): void {
    const header = dataHeader(number);
    try {
      const connection = new HelperConnection(
        { initiator, iceServers, relayOnly },
        {
          control: (message) => this.#tell(number, message),
          data: (bytes) => {
            this.#gather();
            this.#pipe.send(header, bytes);
          },
          credit: (bytes) => this.#pipe.send(encodeCredit(number, bytes)),
          ended: () => this.#ended(number),
        },
      );
      this.#connections.set(number, connection);
    } catch (error) {
      this.#tell(number, { type: 'closed', error: error instanceof Error ? error.message : String(error) });
    }
  }

  #ended(number: number): void {
    this.#connections.delete(number);
    if (this.#parting && this.#connections.size === 0) this.#exit();
    this.#collect();
  }

  /**
   * The native library keeps two threads and four descriptors for each connection until its object is collected, and
   * this heap is too small to be collected often by itself. What the first pass finalizes the next ones free.
   */
  #collect(): void {
    this.#passes = collectPasses;
    this.#collecting ??= setInterval(() => {
      globalThis.gc?.();
      this.#passes--;
      if (this.#passes > 0) return;
      clearInterval(this.#collecting);
      this.#collecting = undefined;
    }, collectMs);
  }

  #part(): void {
    this.#parting = true;
    if (this.#connections.size === 0) this.#exit();
    setTimeout(() => this.#exit(), partingMs);
    for (const connection of [...this.#connections.values()]) connection.control({ type: 'close', abrupt: false });
  }

  #tell(connection: number, message: FromHelper): void {
    this.#pipe.send(encodeHelperControl(connection, message));
  }
}
