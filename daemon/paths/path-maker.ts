import type { PathKind } from '../../shared/protocol/shapes.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Log } from '../home/log.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { isLoopbackUrl } from '../mesh/proxy.ts';
import type { WebRtc } from '../webrtc/webrtc.ts';
import type { AddressBook } from './address-book.ts';
import type { Carriers } from './carrier.ts';
import { DirectDialer } from './direct-dialer.ts';
import { P2pNegotiator } from './p2p-negotiator.ts';
import { Retry } from './retry.ts';
import type { Signal } from './signal.ts';

/** P2P is tried unasked with this many machines; with others once a link is preferred to have it. */
const mostUnasked = 16;
/** Addresses are not told again to one machine within this time, unless they changed. */
const toldMs = 5_000;
/** News of a machine's addresses, which are written down and dialled: so many at once, and so many a second over time. */
const newsBurst = 10;
const newsPerSecond = 0.2;

export interface PathMakerOptions {
  self: string;
  mesh: Pick<Mesh, 'status' | 'addPath'>;
  book: AddressBook;
  /** One attempt to dial a machine straight; undefined: not wanted. */
  dial: ((machine: string, url: string, signal: AbortSignal, timeoutMs: number) => Promise<Transport>) | undefined;
  /** Undefined: P2P is not wanted. */
  webrtc: Pick<WebRtc, 'open'> | undefined;
  carriers: Carriers;
  /** Where this machine can be dialled now, and which computer it is on. */
  addresses: () => { urls: string[]; computer: string };
  /** What `describe` says of a machine may be something else now. */
  changed: () => void;
  log: Pick<Log, 'debug'>;
}

export interface MissingPath {
  kind: PathKind;
  state: 'trying' | 'none' | 'off';
  rttMs: null;
  note: string;
}

/** What is under way to one machine. */
interface Way {
  direct: DirectDialer | undefined;
  p2p: P2pNegotiator | undefined;
  /** Telling our addresses over a carrier while there is no link. */
  introduce: Retry;
  toldAt: number;
  told: string;
  /** What it may still tell of its own. */
  news: TokenBucket;
  /** Whether the link had a path when it was looked at last. */
  up: boolean;
}

const works = new Set(['active', 'standby', 'avoided', 'new']);

/**
 * Makes the direct and P2P paths to the other machines: finds out which are missing, tries for them again and again,
 * and hands what comes to the mesh. The paths over a gateway come by themselves.
 */
export class PathMaker {
  readonly #o: PathMakerOptions;
  readonly #ways = new Map<string, Way>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PathMakerOptions) {
    this.#o = options;
  }

  /** The other members of the team, as they are now. */
  setMachines(ids: readonly string[]): void {
    const wanted = new Set(ids);
    for (const [id, way] of this.#ways) {
      if (wanted.has(id)) continue;
      this.#ways.delete(id);
      closeWay(way);
    }
    for (const id of wanted) if (!this.#ways.has(id)) this.#ways.set(id, this.#newWay(id));
    this.#o.book.keepOnly(wanted);
    this.consider();
  }

  /** A link opened: the other side may be another daemon than before, or elsewhere. */
  opened(machine: string): void {
    const way = this.#ways.get(machine);
    if (!way) return;
    way.toldAt = Number.NEGATIVE_INFINITY;
    const now = performance.now();
    way.p2p?.restarted(now);
    way.direct?.reset(now);
    this.#tellAddresses(machine, way, now);
    this.consider();
  }

  /** Something that can carry signals to it came: a link, or its announcement on the LAN. */
  reachable(machine: string): void {
    const way = this.#ways.get(machine);
    if (!way) return;
    const now = performance.now();
    way.introduce.reset(now);
    way.p2p?.reset(now);
    this.consider();
  }

  /** This computer may be elsewhere now: what failed may go well, and the others learn our addresses. */
  networkChanged(): void {
    const now = performance.now();
    for (const [machine, way] of this.#ways) {
      way.direct?.reset(now);
      way.p2p?.reset(now);
      way.introduce.reset(now);
      if (this.#o.carriers.reaches(machine)) this.#tellAddresses(machine, way, now);
    }
    this.consider();
  }

  /** An address was given or taken away. */
  addressesChanged(machine: string): void {
    this.#ways.get(machine)?.direct?.reset(performance.now());
    this.consider();
  }

  /** Somebody said it for the machine, or it did itself: nothing here depends on which. */
  receive(machine: string, signal: Signal): void {
    const way = this.#ways.get(machine);
    if (!way || this.#closed) return;
    const now = performance.now();
    if (signal.type === 'addresses') {
      const { computer } = this.#o.addresses();
      const here = signal.computer === computer;
      // Loopback is another place on each computer.
      const urls = signal.urls.filter((url) => here || !isLoopbackUrl(url));
      if (this.#o.book.isNews(machine, urls) && way.news.take(1, now)) {
        this.#o.book.told(machine, urls);
        way.direct?.reset(now);
      }
      if (now - way.toldAt > toldMs) this.#tellAddresses(machine, way, now);
    } else {
      way.p2p?.receive(signal, now);
    }
    this.consider();
  }

  /** This kind of path is wanted now. */
  wanted(machine: string, kind: PathKind): void {
    const way = this.#ways.get(machine);
    const now = performance.now();
    if (kind === 'direct') way?.direct?.reset(now);
    if (kind === 'p2p') way?.p2p?.reset(now);
    this.consider();
  }

  /** The kinds of path that there are none of, and why. */
  describe(machine: string): MissingPath[] {
    const way = this.#ways.get(machine);
    const there = new Set(this.#o.mesh.status(machine).candidates.map(({ kind }) => kind));
    const missing: MissingPath[] = [];
    const add = (kind: PathKind, maker: DirectDialer | P2pNegotiator | undefined): void => {
      if (there.has(kind)) return;
      if (!maker)
        missing.push({ kind, state: 'off', rttMs: null, note: `switched off here: niia config set ${kind} on` });
      else missing.push({ kind, state: maker.trying ? 'trying' : 'none', rttMs: null, note: maker.note });
    };
    add('direct', way?.direct);
    add('p2p', way?.p2p);
    return missing;
  }

  /** Tries for what is missing and due; called again by itself when more is due. */
  consider(): void {
    if (this.#closed) return;
    const now = performance.now();
    let unasked = 0;
    for (const [machine, way] of this.#ways) {
      const { candidates, state, preferred } = this.#o.mesh.status(machine);
      const have = (kind: PathKind): boolean => candidates.some((one) => one.kind === kind && works.has(one.state));
      const carried = this.#o.carriers.reaches(machine);
      if (state === 'up' && !way.up) {
        // Something brought it back: other ways may be open again, too.
        way.direct?.reset(now);
        way.p2p?.reset(now);
      }
      way.up = state === 'up';
      way.direct?.consider(have('direct'), state === 'waiting', now);
      const wanted = preferred === 'p2p' || have('p2p') || (carried && unasked++ < mostUnasked);
      way.p2p?.consider(have('p2p'), carried && wanted, now);
      if (state !== 'up' && carried && now >= way.introduce.dueAt) {
        way.introduce.failed(now);
        this.#tellAddresses(machine, way, now);
      }
    }
    this.#arm(now);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const way of this.#ways.values()) closeWay(way);
    this.#ways.clear();
  }

  #newWay(machine: string): Way {
    const { self, dial, webrtc, mesh, book, changed } = this.#o;
    const lower = self < machine;
    const again = (): void => {
      changed();
      this.consider();
    };
    return {
      direct:
        dial &&
        new DirectDialer({
          machine,
          first: lower,
          book,
          dial: (url, signal, timeoutMs) => dial(machine, url, signal, timeoutMs),
          ready: (transport) => mesh.addPath(machine, 'direct', transport),
          changed: again,
        }),
      p2p:
        webrtc &&
        new P2pNegotiator({
          offers: lower,
          webrtc,
          send: (signal) => this.#send(machine, signal),
          ready: (transport) => mesh.addPath(machine, 'p2p', transport),
          changed: again,
        }),
      introduce: new Retry(),
      toldAt: Number.NEGATIVE_INFINITY,
      told: '',
      news: new TokenBucket(newsPerSecond, newsBurst, performance.now()),
      up: false,
    };
  }

  #tellAddresses(machine: string, way: Way, now: number): void {
    const addresses = this.#o.addresses();
    const told = JSON.stringify(addresses);
    if (told === way.told && now - way.toldAt < toldMs) return;
    way.toldAt = now;
    way.told = told;
    this.#send(machine, { type: 'addresses', ...addresses });
  }

  #send(machine: string, signal: Signal): void {
    this.#o.carriers
      .send(machine, signal)
      .then((sent) => {
        if (sent) return;
        this.#o.log.debug('a signal could not be sent', { machine, type: signal.type });
        if (signal.type === 'p2p' && signal.signal.type !== 'candidate') {
          this.#ways.get(machine)?.p2p?.undelivered(signal.connection);
        }
      })
      .catch((error: unknown) => this.#o.log.debug('a signal could not be sent', { machine, error }));
  }

  #arm(now: number): void {
    clearTimeout(this.#timer);
    let next = Number.POSITIVE_INFINITY;
    for (const { direct, p2p, introduce } of this.#ways.values()) {
      for (const due of [direct?.dueAt, p2p?.dueAt, introduce.dueAt]) {
        if (due !== undefined && due > now) next = Math.min(next, due);
      }
    }
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.consider(), next - now + 1);
    this.#timer.unref();
  }
}

function closeWay({ direct, p2p }: Way): void {
  direct?.close();
  p2p?.close();
}
