import { networkInterfaces } from 'node:os';

/** Milliseconds between looks at the interfaces and the clocks. */
const everyMs = 1_000;
/** A look that is this late means that the computer slept, or this process was stopped. */
const sleptMs = 2_000;

/** Tells when this computer may be elsewhere: its addresses changed, or it woke up. */
export class NetworkWatch {
  readonly #timer: NodeJS.Timeout;
  #addresses = addressesNow();
  /** The clock that counts sleep is the wall clock; it may also be set, and then one look too many does no harm. */
  #wall = Date.now();
  #steady = performance.now();

  constructor(changed: (why: string) => void) {
    this.#timer = setInterval(() => {
      const why = this.#look();
      if (why) changed(why);
    }, everyMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): string | undefined {
    const [wall, steady, addresses] = [Date.now(), performance.now(), addressesNow()];
    const late = Math.max(wall - this.#wall, steady - this.#steady) - everyMs;
    const moved = addresses !== this.#addresses;
    [this.#wall, this.#steady, this.#addresses] = [wall, steady, addresses];
    if (late >= sleptMs) return 'this computer slept';
    return moved ? 'the addresses of this computer changed' : undefined;
  }
}

function addressesNow(): string {
  const all = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.map(({ address }) => `${name} ${address}`),
  );
  return all.sort().join('\n');
}
