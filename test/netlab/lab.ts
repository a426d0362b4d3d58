import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { ensureDebianPackages } from '../setup/debian.mjs';
import { Link, type LinkOptions } from './link.ts';
import { Namespace, Privileges } from './namespace.ts';
import { natRules, type RouterKind } from './nat.ts';
import type { Shape } from './shaper.ts';
import { Station } from './station.ts';

export type { RouterKind, Shape };

export interface HostOptions {
  /** The router that it stands behind; the internet itself unless said. */
  behind?: Router;
  /** On the internet: which addresses it has; `['ipv4']` unless said. Behind a router it is IPv4 always. */
  families?: readonly ('ipv4' | 'ipv6')[];
  /** Makes its link a shaped one. */
  shape?: Shape;
  /** In bytes, of its link; 1500 unless said. */
  mtu?: number;
}

export class Host extends Station {
  readonly addresses: readonly string[];
  readonly router: Router | undefined;

  constructor(namespace: Namespace, link: Link, addressing: Addressing, router: Router | undefined) {
    super(namespace, link, addressing.configure);
    this.addresses = addressing.addresses;
    this.router = router;
  }

  get outside(): readonly string[] {
    return this.router ? this.router.addresses : this.addresses;
  }

  /** Its first address. */
  get address(): string {
    return this.addresses[0]!;
  }
}

/** Stands between the internet and a network of its own, 192.168.N.0/24. */
export class Router extends Station {
  readonly kind: RouterKind;
  readonly addresses: readonly string[];
  readonly #net: string;
  #hosts = 0;

  constructor(namespace: Namespace, link: Link, addressing: Addressing, kind: RouterKind, net: string) {
    super(namespace, link, addressing.configure);
    this.addresses = addressing.addresses;
    this.kind = kind;
    this.#net = net;
  }

  get outside(): readonly string[] {
    return this.addresses;
  }

  /** Its address for the hosts behind it. */
  get inside(): string {
    return `${this.#net}.1`;
  }

  /** What `HTTPS_PROXY` is to be behind a router of kind `proxy`. */
  get proxy(): string {
    return `http://${this.inside}:${proxyPort}`;
  }

  nextAddressing(): Addressing {
    this.#hosts += 1;
    const address = `${this.#net}.${this.#hosts + 1}`;
    const configure = `ip addr replace ${address}/24 dev eth0; ip route replace default via ${this.inside}`;
    return { addresses: [address], configure, port: `lan${this.#hosts}` };
  }
}

interface Addressing {
  addresses: readonly string[];
  configure: string;
  /** Name of the device at the other end. */
  port: string;
}

const proxyPort = 3128;
/** Both families of the internet's own address: every station's first hop. */
const firstHop = { ipv4: '192.0.2.1', ipv6: 'fe80::1' };

/**
 * An internet of network namespaces, with hosts on it and routers that have hosts behind them. Several may live at once,
 * beside what else this computer does: all they share with it is its kernel.
 */
export class Lab {
  readonly #privileges: Privileges;
  readonly #internet: Namespace;
  readonly #python: string;
  readonly #reaper: ChildProcess;
  readonly #namespaces: Namespace[] = [];
  #stations = 0;
  #routers = 0;

  private constructor(privileges: Privileges, internet: Namespace, python: string) {
    this.#privileges = privileges;
    this.#internet = internet;
    this.#python = python;
    this.#reaper = spawn(process.execPath, [resolve(import.meta.dirname, 'reaper.mjs')], {
      stdio: ['pipe', 'ignore', 'inherit'],
      detached: true,
    });
    this.#guard(internet);
  }

  /** Rejects with what to do where this user may make no namespaces. */
  static async open(): Promise<Lab> {
    const programs = await ensureDebianPackages(['iproute2', 'nftables', 'python3-minimal']);
    const privileges = await Privileges.open();
    const internet = await Namespace.open('internet', privileges);
    const lab = new Lab(privileges, internet, programs['python3-minimal'] ?? 'python3');
    await forwarding(internet);
    return lab;
  }

  async host(name: string, options: HostOptions = {}): Promise<Host> {
    const { behind, families = ['ipv4'], mtu, shape } = options;
    const namespace = await this.#namespace(name);
    if (!families.includes('ipv6') || behind) await disableIpv6(namespace);
    if (!behind) {
      const addressing = this.#publicAddressing(families);
      const link = await this.#uplink(namespace, addressing, { mtu, shape });
      return new Host(namespace, link, addressing, undefined);
    }
    const addressing = behind.nextAddressing();
    const far = { namespace: behind.namespace, device: addressing.port };
    const link = await Link.open(this.#python, { namespace, device: 'eth0' }, far, { mtu, shape });
    await behind.namespace.sh(`ip link set ${addressing.port} master lan`);
    await namespace.sh(addressing.configure);
    return new Host(namespace, link, addressing, behind);
  }

  async router(kind: RouterKind, options: LinkOptions = {}): Promise<Router> {
    this.#routers += 1;
    const namespace = await this.#namespace(`${kind}-${this.#routers}`);
    await disableIpv6(namespace);
    const net = `192.168.${this.#routers}`;
    const addressing = this.#publicAddressing(['ipv4']);
    const link = await this.#uplink(namespace, addressing, options);
    await namespace.sh(`ip link add lan type bridge; ip addr add ${net}.1/24 dev lan; ip link set lan up`);
    await forwarding(namespace);
    await namespace.nft(natRules(kind));
    const router = new Router(namespace, link, addressing, kind, net);
    if (kind === 'proxy') await startProxy(router);
    return router;
  }

  /** Two hosts at the ends of one shaped link, and no network besides: 10.0.0.1 and 10.0.0.2. */
  async shaped(nameA: string, nameB: string, { mtu, ...shape }: Shape & { mtu?: number } = {}): Promise<[Host, Host]> {
    const a = await this.#namespace(nameA);
    const b = await this.#namespace(nameB);
    const ends = [a, b].map((namespace) => ({ namespace, device: 'eth0' }));
    const link = await Link.open(this.#python, ends[0]!, ends[1]!, { shape, mtu });
    const host = async (namespace: Namespace, itsLink: Link, address: string): Promise<Host> => {
      const configure = `ip addr replace ${address}/24 dev eth0`;
      await namespace.sh(configure);
      return new Host(namespace, itsLink, { addresses: [address], configure, port: 'eth0' }, undefined);
    };
    return [await host(a, link, '10.0.0.1'), await host(b, link.reversed, '10.0.0.2')];
  }

  /** Ends every process in the lab, and with them the lab. */
  async close(): Promise<void> {
    this.#reaper.stdin?.end();
    if (this.#reaper.exitCode === null) await once(this.#reaper, 'exit');
    for (const namespace of this.#namespaces) namespace.close();
    this.#privileges.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #namespace(name: string): Promise<Namespace> {
    const namespace = await Namespace.open(name, this.#privileges);
    this.#guard(namespace);
    return namespace;
  }

  #guard(namespace: Namespace): void {
    this.#namespaces.push(namespace);
    this.#reaper.stdin?.write(`${namespace.id} ${namespace.pid}\n`);
  }

  #publicAddressing(families: readonly ('ipv4' | 'ipv6')[]): Addressing {
    this.#stations += 1;
    const n = this.#stations;
    const addresses = families.map((family) => (family === 'ipv4' ? `203.0.113.${n}` : `2001:db8:${n}::1`));
    const configure = addresses.map((address) => {
      const isV6 = address.includes(':');
      const hop = isV6 ? firstHop.ipv6 : firstHop.ipv4;
      const [ip, prefix] = isV6 ? ['ip -6', 64] : ['ip', 32];
      return `${ip} addr replace ${address}/${prefix} dev eth0; ${ip} route replace default via ${hop} dev eth0 onlink`;
    });
    return { addresses, configure: configure.join('\n'), port: `to${n}` };
  }

  /** Cables a station to the internet. */
  async #uplink(namespace: Namespace, { addresses, configure, port }: Addressing, options: LinkOptions): Promise<Link> {
    const far = { namespace: this.#internet, device: port };
    const link = await Link.open(this.#python, { namespace, device: 'eth0' }, far, options);
    await this.#internet.sh(`
      ip addr add ${firstHop.ipv4}/32 dev ${port}
      ip -6 addr add ${firstHop.ipv6}/64 dev ${port}
      ${addresses.map((address) => `ip route add ${address.includes(':') ? address.replace(/1$/, '/64') : address} dev ${port}`).join('\n')}`);
    await namespace.sh(configure);
    return link;
  }
}

async function forwarding(namespace: Namespace): Promise<void> {
  await namespace.sh('cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding');
}

async function disableIpv6(namespace: Namespace): Promise<void> {
  await namespace.sh('cd /proc/sys/net/ipv6/conf; echo 1 >default/disable_ipv6');
}

async function startProxy(router: Router): Promise<void> {
  const child = router.spawn([
    process.execPath,
    resolve(import.meta.dirname, 'connect-proxy.mjs'),
    router.inside,
    String(proxyPort),
  ]);
  child.stderr?.pipe(process.stderr);
  await once(child.stdout!, 'data');
}
