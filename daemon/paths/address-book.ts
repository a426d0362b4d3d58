import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { parseJson } from '../home/json-file.ts';
import type { Log } from '../home/log.ts';

const addressSchema = v.object({
  /** `wss://host:port`. */
  url: v.string(),
  /** `given` by a person, or `told` by the machine itself. */
  source: v.picklist(['given', 'told']),
  /** The machine tells it no more; kept only where it was good once. */
  former: v.optional(v.boolean()),
  /** When the machine was last reached there, ISO 8601; null: never. */
  lastGoodAt: v.nullable(v.string()),
});
export type Address = v.InferOutput<typeof addressSchema>;

const bookSchema = v.object({ machines: v.record(v.string(), v.array(addressSchema)) });

/** Addresses of one machine. Given ones stay until a person takes them away. */
const most = { told: 16, former: 4, given: 16 } as const;

/** Where machines can be dialled, in `addresses.json` of the home: what they told, what a person gave, what was good. */
export class AddressBook {
  readonly #path: string;
  readonly #log: Pick<Log, 'warn'>;
  readonly #machines = new Map<string, Address[]>();

  constructor(home: Home, log: Pick<Log, 'warn'>) {
    this.#path = home.path('addresses.json');
    this.#log = log;
    this.#load();
  }

  /** Best first: where it was reached last, then what a person gave, then the rest in the order that it told them. */
  of(machine: string): readonly Address[] {
    const all = [...(this.#machines.get(machine) ?? [])];
    return all.sort(
      (a, b) =>
        compare(b.lastGoodAt ?? '', a.lastGoodAt ?? '') || Number(b.source === 'given') - Number(a.source === 'given'),
    );
  }

  /** What the machine says of itself takes the place of what it said before. True where that is news. */
  told(machine: string, urls: readonly string[]): boolean {
    if (!this.isNews(machine, urls)) return false;
    const before = this.#machines.get(machine) ?? [];
    const wanted = usable(urls);
    const known = new Map(before.map((address) => [address.url, address]));
    const given = before.filter(({ source }) => source === 'given');
    const now = wanted
      .filter((url) => !given.some((one) => one.url === url))
      .map((url): Address => ({ url, source: 'told', lastGoodAt: known.get(url)?.lastGoodAt ?? null }));
    const former = before
      .filter(({ url, source, lastGoodAt }) => source === 'told' && lastGoodAt !== null && !wanted.includes(url))
      .sort((a, b) => compare(b.lastGoodAt ?? '', a.lastGoodAt ?? ''))
      .slice(0, most.former)
      .map((address): Address => ({ ...address, former: true }));
    this.#machines.set(machine, [...given, ...now, ...former]);
    this.#save();
    return true;
  }

  /** Whether it tells other addresses than it did. */
  isNews(machine: string, urls: readonly string[]): boolean {
    const all = this.#machines.get(machine) ?? [];
    const told = all.filter(({ source, former }) => source === 'told' && !former).map(({ url }) => url);
    const given = new Set(all.filter(({ source }) => source === 'given').map(({ url }) => url));
    const wanted = usable(urls).filter((url) => !given.has(url));
    return wanted.length !== told.length || wanted.some((url, at) => url !== told[at]);
  }

  /** Throws `usage` for what is no address, `too_large` beyond 16. */
  give(machine: string, text: string): Address {
    const url = parseAddress(text);
    const others = (this.#machines.get(machine) ?? []).filter((address) => address.url !== url);
    if (others.filter(({ source }) => source === 'given').length >= most.given) {
      throw new NiiaError('too_large', `a machine has at most ${most.given} given addresses`);
    }
    const before = this.#machines.get(machine)?.find((address) => address.url === url);
    const address: Address = { url, source: 'given', lastGoodAt: before?.lastGoodAt ?? null };
    this.#machines.set(machine, [address, ...others]);
    this.#save();
    return address;
  }

  /** Takes any address away; one that the machine still tells comes back with its next word. False: there was none. */
  forget(machine: string, text: string): boolean {
    const url = parseAddress(text);
    const before = this.#machines.get(machine) ?? [];
    const after = before.filter((address) => address.url !== url);
    if (after.length === before.length) return false;
    this.#machines.set(machine, after);
    this.#save();
    return true;
  }

  good(machine: string, url: string): void {
    const address = this.#machines.get(machine)?.find((one) => one.url === url);
    if (!address) return;
    address.lastGoodAt = new Date().toISOString();
    this.#save();
  }

  /** Drops machines that are no members any more. */
  keepOnly(members: ReadonlySet<string>): void {
    const gone = [...this.#machines.keys()].filter((machine) => !members.has(machine));
    for (const machine of gone) this.#machines.delete(machine);
    if (gone.length > 0) this.#save();
  }

  #load(): void {
    const text = readIfThere(this.#path);
    if (text === undefined) return;
    const parsed = v.safeParse(bookSchema, parseJson(text));
    // What is in it makes finding machines quicker; a daemon starts without it as well.
    if (!parsed.success)
      this.#log.warn('the remembered addresses cannot be read; starting without them', { path: this.#path });
    else
      for (const [machine, addresses] of Object.entries(parsed.output.machines)) this.#machines.set(machine, addresses);
  }

  #save(): void {
    const machines = Object.fromEntries([...this.#machines].filter(([, addresses]) => addresses.length > 0));
    try {
      writeAtomically(this.#path, `${JSON.stringify({ machines }, null, 2)}\n`);
    } catch (error) {
      this.#log.warn('the addresses of machines could not be saved', { error });
    }
  }
}

/** `HOST:PORT` or `wss://HOST[:PORT]` as `wss://host:port`. Throws `usage`. */
export function parseAddress(text: string): string {
  const isUrl = /^[a-z]+:\/\//i.test(text);
  const url = isUrl ? text : `wss://${text}`;
  // Machines have no usual port, so that a host alone would mean a wrong one.
  if (isAddress(url) && (isUrl || /:\d+\/?$/.test(text))) {
    const { host } = new URL(url);
    return `wss://${/:\d+$/.test(host) ? host : `${host}:443`}`;
  }
  throw new NiiaError('usage', `"${text}" is no address of a machine`, 'Give HOST:PORT, for example 192.168.1.20:7447');
}

function usable(urls: readonly string[]): string[] {
  return [...new Set(urls.filter(isAddress))].slice(0, most.told);
}

function isAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, hash, username, password, port } = new URL(text);
  return protocol === 'wss:' && pathname === '/' && !search && !hash && !username && !password && port !== '0';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
