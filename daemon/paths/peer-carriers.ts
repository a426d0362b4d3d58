import { NiiaError } from '../../shared/errors.ts';
import { ask } from '../../shared/rpc/client.ts';
import type { Peer } from '../../shared/rpc/peer.ts';
import type { Carrier } from './carrier.ts';
import type { Signal } from './signal.ts';

/** The links that work now, by machine. */
export interface OpenLinks {
  get(machine: string): Peer | undefined;
  /** Ids of the machines with such a link. */
  machines(): readonly string[];
}

const sendMs = 5_000;
/** Neighbours that are asked to pass one signal on. */
const mostNeighbours = 3;

/** Signals down the link to the machine itself, over whichever path that has now. */
export class LinkCarrier implements Carrier {
  readonly name = 'link';
  readonly #links: OpenLinks;

  constructor(links: OpenLinks) {
    this.#links = links;
  }

  reaches(machine: string): boolean {
    return this.#links.get(machine) !== undefined;
  }

  async send(machine: string, signal: Signal): Promise<boolean> {
    return await deliver(this.#links.get(machine), { to: machine, signal });
  }
}

/** Signals passed on by a machine that has links to both sides, one hop. */
export class NeighbourCarrier implements Carrier {
  readonly name = 'neighbour';
  readonly #links: OpenLinks;
  /** Who passed the last signal on for us. */
  readonly #last = new Map<string, string>();

  constructor(links: OpenLinks) {
    this.#links = links;
  }

  reaches(machine: string): boolean {
    return this.#links.machines().some((neighbour) => neighbour !== machine);
  }

  async send(machine: string, signal: Signal): Promise<boolean> {
    const last = this.#last.get(machine);
    const neighbours = this.#links
      .machines()
      .filter((neighbour) => neighbour !== machine)
      .sort((a, b) => Number(b === last) - Number(a === last));
    for (const neighbour of neighbours.slice(0, mostNeighbours)) {
      if (!(await deliver(this.#links.get(neighbour), { to: machine, signal }))) continue;
      this.#last.set(machine, neighbour);
      return true;
    }
    this.#last.delete(machine);
    return false;
  }
}

export async function deliver(
  peer: Peer | undefined,
  params: { to: string; from?: string; signal: unknown },
): Promise<boolean> {
  if (!peer) return false;
  try {
    await ask(peer, 'path.signal', params, { deadlineMs: sendMs });
    return true;
  } catch (error) {
    // It went away, has no link to the other one, or is too old to know: another carrier may do.
    if (error instanceof NiiaError) return false;
    throw error;
  }
}
