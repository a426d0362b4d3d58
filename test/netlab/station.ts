import type { ChildProcess, SpawnOptions } from 'node:child_process';
import type { Link } from './link.ts';
import type { Ended, Namespace, RunOptions } from './namespace.ts';
import type { Shape } from './shaper.ts';

/** What stands at the end of a cable: a host, or a router with hosts behind it. Its device is `eth0`. */
export abstract class Station {
  readonly name: string;
  readonly namespace: Namespace;
  readonly #link: Link;
  /** Shell that gives eth0 its addresses and routes. */
  readonly #configure: string;
  #isCut = false;
  #udpBlocked = false;
  readonly #unheard = new Set<Station>();

  protected constructor(namespace: Namespace, link: Link, configure: string) {
    this.name = namespace.name;
    this.namespace = namespace;
    this.#link = link;
    this.#configure = configure;
  }

  /** Those of its own device. */
  abstract readonly addresses: readonly string[];
  /** Under which others on the internet see it. */
  abstract readonly outside: readonly string[];

  /** Words before a command that make it run here. */
  get prefix(): string[] {
    return this.namespace.prefix;
  }

  /** Starts a program here; what still runs when the lab is closed is killed. */
  spawn(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.namespace.spawn(command, options);
  }

  /** Runs a program here to its end, whatever that is. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return await this.namespace.run(command, options);
  }

  /** Nothing arrives and nothing leaves, and nobody is told: a cable pulled far away. */
  async cut(): Promise<void> {
    this.#isCut = true;
    await this.#apply();
  }

  /** Undoes `cut`, and nothing else. */
  async mend(): Promise<void> {
    this.#isCut = false;
    await this.#apply();
  }

  /** Takes the cable out of the machine itself: its interface is down and its addresses are gone. */
  async unplug(): Promise<void> {
    await this.namespace.sh('ip link set eth0 down; ip addr flush dev eth0');
  }

  async plug(): Promise<void> {
    await this.namespace.sh(`ip link set eth0 up\n${this.#configure}`);
  }

  async blockUdp(): Promise<void> {
    this.#udpBlocked = true;
    await this.#apply();
  }

  async allowUdp(): Promise<void> {
    this.#udpBlocked = false;
    await this.#apply();
  }

  /** What `other` (or the network behind it) sends to here vanishes; the other direction works. */
  async dropFrom(other: Station): Promise<void> {
    this.#unheard.add(other);
    await this.#apply();
  }

  async hearFrom(other: Station): Promise<void> {
    this.#unheard.delete(other);
    await this.#apply();
  }

  /** Changes its shaped link while it is in use; what is not named stays as it is. */
  shape(change: Shape): void {
    this.#link.shape(change);
  }

  async #apply(): Promise<void> {
    const both = [
      ...(this.#isCut ? ['meta protocol { arp, ip, ip6 }'] : []),
      ...(this.#udpBlocked ? ['ip protocol udp', 'ip6 nexthdr udp'] : []),
    ];
    const sources = [...this.#unheard].flatMap((other) => [...other.addresses, ...other.outside]);
    const unheard = [...new Set(sources)].map((address) => `${address.includes(':') ? 'ip6' : 'ip'} saddr ${address}`);
    await this.#link.drop({ inward: [...both, ...unheard], outward: both });
  }
}
