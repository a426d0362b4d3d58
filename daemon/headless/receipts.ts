import type { ResultOf } from '../../shared/protocol/methods.ts';
import { Log } from '../home/log.ts';
import type { Session } from './session.ts';

type WriteResult = ResultOf<'session.write'>;

/** How many writes are remembered; a repeat comes within seconds, this is hours of them. */
const remembered = 16_384;

const log = new Log('receipts');

/**
 * Remembers writes by their idempotency key, so that a repeat gets the first one's receipt and types nothing. They are
 * on disk before they are answered.
 */
export class Receipts {
  readonly #results = new Map<string, Promise<WriteResult>>();

  /** What the write with this key was answered, or is about to be. */
  find(key: string): Promise<WriteResult> | undefined {
    return this.#results.get(key);
  }

  /** Notes that a write was typed; resolves with its result once that is on disk. */
  record(key: string, session: Session, result: WriteResult): Promise<WriteResult> {
    const { receipt, bytes, outputOffset } = result;
    const recorded = session.folder.appendReceipt({ key, receipt, bytes, outputOffset }).then(
      () => result,
      (error: unknown) => {
        // The bytes are typed, and this process knows it: better a receipt in memory only than a failure that is none.
        log.warn('a receipt could not be written', { session: session.id, error });
        return result;
      },
    );
    this.#remember(key, recorded);
    return recorded;
  }

  /** Takes over what an earlier server answered. */
  async load(session: Session, machine: string): Promise<void> {
    for (const { key, receipt, bytes, outputOffset } of await session.folder.readReceipts()) {
      this.#remember(key, Promise.resolve({ session: session.id, machine, receipt, bytes, outputOffset }));
    }
  }

  #remember(key: string, result: Promise<WriteResult>): void {
    this.#results.set(key, result);
    if (this.#results.size <= remembered) return;
    const [oldest] = this.#results.keys();
    if (oldest !== undefined) this.#results.delete(oldest);
  }
}
