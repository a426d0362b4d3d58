import type { Namespace } from './namespace.ts';
import { type Shape, Shaper } from './shaper.ts';

export interface LinkOptions {
  shape?: Shape | undefined;
  /** In bytes, at both ends; 1500 unless said. */
  mtu?: number | undefined;
}

export interface LinkEnd {
  namespace: Namespace;
  device: string;
}

/** What a link does not let through. Each entry is a match of nftables' netdev family, such as `ip protocol udp`. */
export interface Drops {
  /** Of what arrives at the near end. */
  inward: readonly string[];
  /** Of what leaves it. */
  outward: readonly string[];
}

/**
 * A cable between two namespaces. What it drops vanishes at the other end as on a real one: neither end is told, and
 * neither interface goes down.
 */
export class Link {
  readonly near: LinkEnd;
  readonly far: LinkEnd;
  readonly #shaper: Shaper | undefined;

  private constructor(near: LinkEnd, far: LinkEnd, shaper: Shaper | undefined) {
    this.near = near;
    this.far = far;
    this.#shaper = shaper;
  }

  static async open(python: string, near: LinkEnd, far: LinkEnd, options: LinkOptions = {}): Promise<Link> {
    const { shape, mtu = 1500 } = options;
    const { namespace, device } = near;
    let shaper: Shaper | undefined;
    if (shape) {
      // Made under names that are free where they are made; each end gets its own where it belongs.
      const passing = [`n.${far.device}`, far.device] as const;
      shaper = await Shaper.open(python, far.namespace, passing, shape);
      await far.namespace.sh(`ip link set ${passing[0]} netns ${namespace.pid} name ${device}`);
    } else {
      await far.namespace.sh(
        `ip link add ${far.device} mtu ${mtu} type veth peer name ${device} mtu ${mtu} netns ${namespace.pid}`,
      );
    }
    for (const end of [near, far]) await end.namespace.sh(`ip link set ${end.device} mtu ${mtu} up`);
    return new Link(near, far, shaper);
  }

  /** The same cable as its far end sees it. */
  get reversed(): Link {
    return new Link(this.far, this.near, this.#shaper);
  }

  /** Changes a shaped link while it is in use; what is not named stays as it is. */
  shape(change: Shape): void {
    if (!this.#shaper) throw new Error(`the link of ${this.near.namespace.name} was not made as a shaped one`);
    this.#shaper.set(change);
  }

  /** Replaces what the link drops. */
  async drop({ inward, outward }: Drops): Promise<void> {
    await dropAtIngress(this.near, inward);
    await dropAtIngress(this.far, outward);
  }
}

async function dropAtIngress({ namespace, device }: LinkEnd, matches: readonly string[]): Promise<void> {
  const table = `netdev drops_${device.replaceAll('.', '_')}`;
  const rules = matches.map((match) => `${match} counter drop`).join('\n');
  await namespace.nft(`
    table ${table}
    delete table ${table}
    table ${table} {
      chain arriving { type filter hook ingress device "${device}" priority 0; ${rules}
      }
    }`);
}
