import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { IceServer } from '../../shared/protocol/gateway.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { ConfigStore } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import { Lan } from '../lan/lan.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { AddressBook } from '../paths/address-book.ts';
import { Carriers } from '../paths/carrier.ts';
import { dialDirect } from '../paths/direct.ts';
import { LanCarrier } from '../paths/lan-carrier.ts';
import { connectLanGuest, GuestDoor } from '../paths/lan-guests.ts';
import type { MissingPath } from '../paths/path-maker.ts';
import { PathMaker } from '../paths/path-maker.ts';
import { deliver, LinkCarrier, NeighbourCarrier, type OpenLinks } from '../paths/peer-carriers.ts';
import { signalSchema } from '../paths/signal.ts';
import { thisComputer } from '../paths/this-computer.ts';
import type { Identity } from '../team/identity.ts';
import type { InviteCode } from '../team/invite-code.ts';
import type { TeamStore } from '../team/team-store.ts';
import type { Ticket } from '../team/tickets.ts';
import { WebRtc } from '../webrtc/webrtc.ts';

export interface PathFindingOptions {
  home: Home;
  identity: Identity;
  team: TeamStore;
  config: ConfigStore;
  mesh: Mesh;
  links: OpenLinks;
  /** Where this machine's listener can be dialled now. */
  urls: () => string[];
  /** A guest with one of our invites came over the LAN. */
  guest: (ticketHash: string, lane: Transport) => void;
  tickets: () => readonly Ticket[];
  /** What is told of paths may be something else now. */
  changed: () => void;
  log: Log;
}

/** How long a guest looks for its inviter on the local network. */
const findInviterMs = 8_000;

/** Everything that finds ways to the other machines beside the gateway: dialling, WebRTC, the LAN, neighbours. */
export class PathFinding {
  readonly book: AddressBook;
  readonly #o: PathFindingOptions;
  readonly #webrtc: WebRtc | undefined;
  readonly #lan: Lan | undefined;
  readonly #guests: GuestDoor | undefined;
  readonly #maker: PathMaker;
  #ice: readonly IceServer[] = [];

  constructor(options: PathFindingOptions) {
    this.#o = options;
    const { home, identity, team, config, mesh, links, log } = options;
    const { direct, p2p, lan } = config.current;
    this.book = new AddressBook(home, log);
    if (p2p === 'on') this.#webrtc = new WebRtc({ log, iceServers: () => [...this.#ice] });
    if (lan === 'on') this.#lan = this.#newLan();
    if (this.#webrtc && this.#lan) {
      this.#guests = new GuestDoor({ webrtc: this.#webrtc, lan: this.#lan, guest: options.guest });
    }
    this.#maker = new PathMaker({
      self: identity.id,
      mesh,
      book: this.book,
      webrtc: this.#webrtc,
      dial:
        direct === 'on'
          ? (machine, url, signal, timeoutMs) =>
              dialDirect(url, { self: identity, team: team.current.team.id, to: machine }, signal, timeoutMs)
          : undefined,
      carriers: new Carriers([
        new LinkCarrier(links),
        ...(this.#lan ? [new LanCarrier(this.#lan)] : []),
        new NeighbourCarrier(links),
      ]),
      addresses: () => ({
        urls: direct === 'on' ? options.urls() : [],
        computer: thisComputer(team.current.team.id),
      }),
      changed: options.changed,
      log,
    });
  }

  /** A lane to the machine that made this invite, over the local network. Throws `gateway_unreachable`. */
  async guestLane({ inviterKey, secret }: InviteCode, signal: AbortSignal): Promise<Transport> {
    if (!this.#webrtc || !this.#lan) {
      throw new NiiaError(
        'gateway_unreachable',
        'the gateway of the invite cannot be reached, and this machine may not look for the inviter on the local network',
        'To let it: niia config set lan on; niia config set p2p on',
      );
    }
    return await connectLanGuest({
      inviterKey,
      secret,
      webrtc: this.#webrtc,
      signal,
      log: this.#o.log,
      findMs: findInviterMs,
    });
  }

  async start(): Promise<void> {
    this.rosterChanged();
    await this.#lan?.start();
  }

  async close(): Promise<void> {
    this.#maker.close();
    this.#guests?.close();
    await Promise.all([this.#webrtc?.close(), this.#lan?.close()]);
  }

  /** STUN and TURN servers, as the gateway hands them out. */
  useIceServers(servers: readonly IceServer[]): void {
    this.#ice = servers;
  }

  /** A link to a member opened. */
  opened(machine: string): void {
    this.#maker.opened(machine);
  }

  linksChanged(): void {
    this.#maker.consider();
  }

  rosterChanged(): void {
    const { identity, team } = this.#o;
    this.#maker.setMachines([...team.current.members.keys()].filter((id) => id !== identity.id));
    this.#lan?.rosterChanged();
  }

  networkChanged(): void {
    this.#lan?.networkChanged();
    this.#maker.networkChanged();
  }

  /** The kinds of path to a machine that there are none of, and why. */
  missing(machine: string): MissingPath[] {
    return this.#maker.describe(machine);
  }

  /** Uses this kind of path to a machine whenever one works; null: the best. */
  prefer(machine: string, kind: PathKind | null): void {
    this.#o.mesh.prefer(machine, kind);
    if (kind) this.#maker.wanted(machine, kind);
  }

  addressesChanged(machine: string): void {
    this.#maker.addressesChanged(machine);
  }

  /**
   * A signal that the member `sender` brought: for this machine, from itself or from another member for which it passes
   * it on; or for another one, to which it is passed on. Throws `denied`, `offline` or `bad_request`.
   */
  async signalled(sender: string, { to, from, signal }: { to: string; from?: string | undefined; signal: unknown }) {
    const { identity, links, team } = this.#o;
    if (to === identity.id) {
      const origin = from ?? sender;
      if (!team.current.members.has(origin)) throw new NiiaError('denied', 'signals are taken from members only');
      this.#receive(origin, signal);
      return;
    }
    if (from !== undefined) throw new NiiaError('denied', 'a signal is passed on once only');
    if (!(await deliver(links.get(to), { to, from: sender, signal }))) {
      throw new NiiaError('offline', 'this machine has no link to the one that the signal is for');
    }
  }

  #receive(machine: string, value: unknown): void {
    const parsed = v.safeParse(signalSchema, value);
    if (!parsed.success) throw new NiiaError('bad_request', `a signal is not valid: ${parsed.issues[0].message}`);
    this.#maker.receive(machine, parsed.output);
  }

  #newLan(): Lan {
    const { identity, team, tickets, log } = this.#o;
    return new Lan({
      identity,
      roster: () => team.current,
      tickets,
      log,
      events: {
        found: (machine) => this.#maker.reachable(machine),
        gone: () => this.#o.changed(),
        signal: (machine, value) => {
          try {
            this.#receive(machine, value);
          } catch (error) {
            log.debug('a signal from the LAN was dropped', { machine, error });
          }
        },
        guestSignal: (ticketHash, guest, value) => this.#guests?.receive(ticketHash, guest, value),
      },
    });
  }
}
