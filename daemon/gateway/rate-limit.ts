import { TokenBucket } from '../../shared/token-bucket.ts';

/** How often something may happen from each address: `burst` times at once, then `perSecond`. */
export class AddressRate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Once more; false where that is too often. */
  take(address: string, now: number): boolean {
    const key = addressKey(address);
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#perSecond, this.#burst, now);
    this.#buckets.set(key, bucket);
    return bucket.take(1, now);
  }

  /** Whether once more would be too often. */
  spent(address: string, now: number): boolean {
    return this.#buckets.get(addressKey(address))?.empty(now) ?? false;
  }

  /** Forgets the addresses that have nothing against them any more. */
  sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.full(now)) this.#buckets.delete(key);
  }
}

/** How many of something each address has, and how many there are in all. */
export class AddressQuota {
  readonly #perAddress: number;
  readonly #inAll: number;
  readonly #counts = new Map<string, number>();
  #total = 0;

  constructor(perAddress: number, inAll: number) {
    this.#perAddress = perAddress;
    this.#inAll = inAll;
  }

  get total(): number {
    return this.#total;
  }

  /** Takes a place; undefined where there is none. Call the result once to give it back (again does nothing). */
  take(address: string): (() => void) | undefined {
    const key = addressKey(address);
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#perAddress || this.#total >= this.#inAll) return undefined;
    this.#counts.set(key, count + 1);
    this.#total++;
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.#total--;
      const left = (this.#counts.get(key) ?? 1) - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
}

/** One IPv4 address, or one IPv6 network of 64 bits: a single customer has that many addresses. */
export function addressKey(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (!bare.includes(':')) return bare;
  const [head = '', tail] = bare.split('%', 1)[0]?.split('::') ?? [];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups =
    tail === undefined ? left : [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
