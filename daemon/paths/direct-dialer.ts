import { NiiaError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { race } from '../mesh/race.ts';
import type { AddressBook } from './address-book.ts';
import { Retry } from './retry.ts';

/** Milliseconds before the next address is tried beside one that does not answer. */
const staggerMs = 250;
/** For a connection: where another path works, and where one is missed, since a lost first packet is repeated late. */
const connectMs = 5_000;
const urgentConnectMs = 2_000;
/** The machine with the higher id lets the other one dial first, so that two do not meet half-way. */
const politeMs = 700;

export interface DirectDialerOptions {
  machine: string;
  /** Of the two machines this one dials first. */
  first: boolean;
  book: Pick<AddressBook, 'of' | 'good'>;
  /** One attempt at one address, which gives up after `timeoutMs`. */
  dial: (url: string, signal: AbortSignal, timeoutMs: number) => Promise<Transport>;
  ready: (transport: Transport) => void;
  changed: () => void;
}

/** Keeps trying to dial one machine straight, while there is no direct path to it and an address is known. */
export class DirectDialer {
  readonly #o: DirectDialerOptions;
  readonly #retry = new Retry();
  #notBefore = 0;
  #had = false;
  #attempt: AbortController | undefined;
  #failure: string | undefined;

  constructor(options: DirectDialerOptions) {
    this.#o = options;
    if (!options.first) this.#notBefore = performance.now() + politeMs;
  }

  /** Looks at what there is: `have`: a direct path that works, or may yet; `missed`: the link has no path at all. */
  consider(have: boolean, missed: boolean, now: number): void {
    if (this.#had && !have) this.#retry.ended(now);
    this.#had = have;
    if (have || this.#attempt || now < this.dueAt) return;
    const addresses = this.#o.book.of(this.#o.machine);
    if (addresses.length === 0) return;
    this.#dial(
      addresses.map(({ url }) => url),
      missed,
    );
  }

  get dueAt(): number {
    return Math.max(this.#retry.dueAt, this.#notBefore);
  }

  /** Why there is no direct path. */
  get note(): string {
    if (this.#attempt) return 'being dialled';
    return this.#failure ?? 'no address is known at which it listens';
  }

  get trying(): boolean {
    return this.#attempt !== undefined;
  }

  /** Something changed: an address, the network. */
  reset(now: number): void {
    this.#retry.reset(now);
    this.#notBefore = this.#o.first ? now : now + politeMs;
  }

  close(): void {
    this.#attempt?.abort(new NiiaError('cancelled', 'no longer wanted'));
  }

  #dial(urls: readonly string[], missed: boolean): void {
    const { machine, book, dial, ready, changed } = this.#o;
    const abort = new AbortController();
    this.#attempt = abort;
    race({
      attempts: urls.map((url) => async (signal: AbortSignal) => ({
        url,
        transport: await dial(url, signal, missed ? urgentConnectMs : connectMs),
      })),
      staggerMs,
      signal: abort.signal,
      discard: ({ transport }) => transport.close(),
    })
      .then(
        ({ url, transport }) => {
          this.#failure = undefined;
          this.#retry.succeeded(performance.now());
          this.#had = true;
          book.good(machine, url);
          ready(transport);
        },
        (error: unknown) => {
          this.#failure = NiiaError.from(error).message;
          this.#retry.failed(performance.now(), missed);
        },
      )
      .finally(() => {
        this.#attempt = undefined;
        if (!abort.signal.aborted) changed();
      });
  }
}
