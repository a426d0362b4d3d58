import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { HelperProcess, HelperUser } from './helper-process.ts';
import type { FromHelper, ToHelper } from './helper-protocol.ts';
import type { P2pSignal } from './p2p-signal.ts';
import { P2pTransport } from './p2p-transport.ts';

export interface P2pEvents {
  /** To be carried to the other end. Called many times: candidates trickle, and may still come after `connected`. */
  signal(signal: P2pSignal): void;
  /** The data channel is open; its end is told by the transport. At most once. */
  connected(transport: Transport): void;
  /** It never came to be: no way was found within 20 s, or the helper ended. Not called after `connected` or `close`. */
  failed(error: NiiaError): void;
}

export interface P2pAttempt {
  /** From the other end, in any order, doubles too; does nothing once it is over. */
  signal(signal: P2pSignal): void;
  /** Gives the attempt up, or closes its transport. Nothing but the transport's end is told afterwards. */
  close(): void;
}

/** One attempt, and the connection that it leads to. */
export class P2pConnection implements P2pAttempt, HelperUser {
  readonly #events: P2pEvents;
  readonly #over: () => void;
  readonly #timer: NodeJS.Timeout;
  #helper: { process: HelperProcess; number: number } | undefined;
  #transport: P2pTransport | undefined;
  #phase: 'opening' | 'connected' | 'over' = 'opening';

  /** `over`: exactly once, when neither the attempt nor its transport needs the helper any more. */
  constructor(events: P2pEvents, timeoutMs: number, over: () => void) {
    this.#events = events;
    this.#over = over;
    this.#timer = setTimeout(() => this.#timedOut(timeoutMs), timeoutMs);
  }

  begin(number: number, process: HelperProcess, message: Extract<ToHelper, { type: 'open' }>): void {
    this.#helper = { process, number };
    const side = process.open(number, this, message);
    this.#transport = new P2pTransport({
      data: (head, body) => side.data(head, body),
      credit: (bytes) => side.credit(bytes),
      close: (abrupt) => {
        side.close(abrupt);
        this.#finish();
      },
    });
  }

  signal(signal: P2pSignal): void {
    if (this.#phase !== 'over') this.#helper?.process.tell(this.#helper.number, { type: 'signal', signal });
  }

  close(): void {
    if (this.#phase === 'over') return;
    if (this.#transport) this.#transport.close();
    else this.#finish();
  }

  control(message: FromHelper): void {
    switch (message.type) {
      case 'signal':
        this.#events.signal(message.signal);
        return;
      case 'connected':
        if (this.#phase !== 'opening' || !this.#transport) return;
        this.#phase = 'connected';
        clearTimeout(this.#timer);
        this.#events.connected(this.#transport);
        return;
      case 'closed':
        this.#end(message.error === undefined ? undefined : broken(message.error));
        return;
      case 'ready':
      case 'unavailable':
      case 'pong':
        return;
    }
  }

  data(bytes: Uint8Array): void {
    this.#transport?.receive(bytes);
  }

  credit(bytes: number): void {
    this.#transport?.credit(bytes);
  }

  lost(error: NiiaError): void {
    this.#end(error);
  }

  #timedOut(timeoutMs: number): void {
    const error = new NiiaError('timeout', `no P2P connection was made within ${timeoutMs / 1000} s`);
    this.#helper?.process.tell(this.#helper.number, { type: 'close', abrupt: true });
    this.#end(error);
  }

  #end(error: NiiaError | undefined): void {
    const before = this.#phase;
    this.#finish();
    if (before === 'opening') this.#events.failed(error ?? broken('the other side ended it'));
    else this.#transport?.end(error);
  }

  #finish(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    clearTimeout(this.#timer);
    this.#helper?.process.release(this.#helper.number);
    this.#over();
  }
}

function broken(why: string): NiiaError {
  return new NiiaError('offline', `the P2P connection ended: ${why}`);
}
