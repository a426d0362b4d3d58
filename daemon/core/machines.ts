import { NiiaError } from '../../shared/errors.ts';
import type { MachineInfo, MachineReport } from '../../shared/protocol/shapes.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import type { Peer } from '../../shared/rpc/peer.ts';
import type { Log } from '../home/log.ts';
import type { Member } from '../team/roster.ts';
import type { TeamStore } from '../team/team-store.ts';
import type { KnownMachines } from './known-machines.ts';
import type { Network } from './network.ts';
import { Changes, until } from './watch.ts';

export interface MachinesOptions {
  self: string;
  team: TeamStore;
  network: Network;
  /** What this machine says of itself. */
  report: () => MachineReport;
  startedAt: string;
  /** When others were last there, over restarts of this daemon. */
  known: KnownMachines;
  log: Log;
}

/** A link that lost its last path counts as online for this long: a gateway that restarts is back sooner. */
const graceMs = 5_000;
/** A viewer is told of a link without a path after this time: a shorter gap is no news. */
const waitingMs = 1_000;
/** How long a request waits for the link to a machine that is said to be there. */
const settleMs = 8_000;

/** What is known of a member beyond the roster. */
interface Contact {
  peer: Peer | undefined;
  report: MachineReport | undefined;
  online: boolean;
  /** Since when it is online or offline; ISO 8601. */
  since: string | null;
  lastSeen: string | null;
  /** Running while the link waits for a path: after it the machine counts as offline. */
  grace: NodeJS.Timeout | undefined;
}

/** The machines of the team as this one sees them, and the open links to them. */
export class Machines {
  readonly #o: MachinesOptions;
  readonly #contacts = new Map<string, Contact>();
  readonly changes = new Changes();

  constructor(options: MachinesOptions) {
    this.#o = options;
    options.network.changes.subscribe(() => this.#refresh());
    options.team.subscribe(() => this.#refresh());
  }

  /** Stable order: this machine first, then by name. */
  list(): MachineInfo[] {
    const members = [...this.#o.team.current.members.values()];
    return members
      .map((member) => this.#info(member))
      .sort((a, b) => Number(b.self) - Number(a.self) || a.name.localeCompare(b.name));
  }

  /** Throws `no_such_machine`, naming those that exist. */
  find(idOrName: string): Member {
    const member = this.#o.team.current.find(idOrName);
    if (member) return member;
    const names = [...this.#o.team.current.members.values()].map((one) => one.name).join(', ');
    throw new NiiaError('no_such_machine', `the team has no machine "${idOrName}"`, `Its machines: ${names}`);
  }

  /** The link to a member opened: requests to it go over `peer` from now on. */
  connected(id: string, peer: Peer): void {
    const contact = this.#contact(id);
    contact.peer = peer;
    const watch = typedCall(peer, 'machine.report', {});
    watch.onEvent((report) => {
      contact.report = report;
      this.changes.notify();
    });
    watch.result.catch((error: NiiaError) => {
      if (!peer.closed) this.#o.log.warn('a machine does not report', { machine: id, error });
    });
    this.#refresh();
  }

  disconnected(id: string, peer: Peer): void {
    const contact = this.#contact(id);
    if (contact.peer === peer) contact.peer = undefined;
    this.#refresh();
  }

  /** The link to a machine, where it works now. */
  openPeer(id: string): Peer | undefined {
    const peer = this.#contacts.get(id)?.peer;
    return peer && this.#o.network.link(id).state === 'up' ? peer : undefined;
  }

  /** Ids of the machines whose links work now. */
  openPeers(): string[] {
    return [...this.#contacts.keys()].filter((id) => this.openPeer(id) !== undefined);
  }

  /**
   * The open link to a member. Waits a moment for one that is on its way (a machine that just joined, a daemon that just
   * started); throws `offline` with what is known otherwise.
   */
  async peer(member: Member, signal?: AbortSignal, patienceMs = settleMs): Promise<Peer> {
    const contact = this.#contact(member.id);
    const reachable = (): boolean => contact.peer !== undefined && this.#o.network.link(member.id).state === 'up';
    const settled = (): boolean => reachable() || !this.#mayCome(member.id, contact);
    await until(this.changes, settled, { ...(signal && { signal }), timeoutMs: patienceMs });
    if (contact.peer && reachable()) return contact.peer;
    const seen = contact.lastSeen ? `last seen ${contact.lastSeen}` : 'never seen from here';
    throw new NiiaError('offline', `${member.name} is offline (${seen})`, this.#offlineHint());
  }

  /** Calls `listener` whenever the link to a member has had no path for a second; returns what ends that. */
  onWaiting(id: string, listener: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      if (this.#o.network.link(id).state === 'up') {
        clearTimeout(timer);
        timer = undefined;
      } else {
        timer ??= setTimeout(listener, waitingMs);
      }
    };
    const unsubscribe = this.changes.subscribe(look);
    return () => {
      clearTimeout(timer);
      unsubscribe();
    };
  }

  close(): void {
    for (const contact of this.#contacts.values()) clearTimeout(contact.grace);
    this.changes.close();
  }

  #mayCome(id: string, contact: Contact): boolean {
    const { network } = this.#o;
    if (network.link(id).state === 'connecting' || network.presence(id)?.present === true) return true;
    // Neither has the gateway said for sure who is there, nor is there a link that says so.
    if (network.gatewayStatus.state === 'connecting' || !network.absenceIsSure) return true;
    return contact.online;
  }

  #offlineHint(): string {
    const { gatewayStatus } = this.#o.network;
    if (gatewayStatus.state === 'connected') return 'Start it there with: niia up';
    return `This machine has no gateway now: ${gatewayStatus.error ?? gatewayStatus.state}. See: niia status`;
  }

  #contact(id: string): Contact {
    let contact = this.#contacts.get(id);
    if (!contact) {
      const lastSeen = this.#o.known.of(id)?.lastSeen ?? null;
      contact = { peer: undefined, report: undefined, online: false, since: null, lastSeen, grace: undefined };
      this.#contacts.set(id, contact);
    }
    return contact;
  }

  #refresh(): void {
    const { current } = this.#o.team;
    for (const [id, contact] of this.#contacts) {
      if (current.members.has(id)) continue;
      clearTimeout(contact.grace);
      this.#contacts.delete(id);
    }
    for (const id of current.members.keys()) if (id !== this.#o.self) this.#judge(id);
    this.changes.notify();
  }

  /** Decides whether a member is online, from its link first and from the gateway's word second. */
  #judge(id: string): void {
    const contact = this.#contact(id);
    const link = this.#o.network.link(id);
    const presence = this.#o.network.presence(id);
    if (presence && !presence.present && presence.since !== null)
      contact.lastSeen = later(contact.lastSeen, presence.since);
    if (link.state === 'up' && contact.peer) {
      clearTimeout(contact.grace);
      contact.grace = undefined;
      this.#setOnline(contact, true);
    } else if (contact.online && (link.state === 'down' || this.#saidToBeAbsent(id))) {
      // It took its leave, or the gateway saw it go.
      this.#setOnline(contact, false);
    } else if (contact.online && !contact.grace) {
      contact.lastSeen = new Date().toISOString();
      contact.grace = setTimeout(() => {
        contact.grace = undefined;
        if (this.#o.network.link(id).state === 'up') return;
        this.#setOnline(contact, false);
        this.changes.notify();
      }, graceMs);
    }
  }

  #saidToBeAbsent(id: string): boolean {
    const { network } = this.#o;
    return network.absenceIsSure && network.presence(id)?.present === false;
  }

  #setOnline(contact: Contact, online: boolean): void {
    if (contact.online === online) return;
    const now = new Date().toISOString();
    contact.online = online;
    contact.since = now;
    if (!online) {
      clearTimeout(contact.grace);
      contact.grace = undefined;
      contact.lastSeen = now;
    }
  }

  #info(member: Member): MachineInfo {
    const { id, name, role } = member;
    if (id === this.#o.self) {
      const report = this.#o.report();
      const { startedAt: since } = this.#o;
      return { name, id, self: true, online: true, path: null, rttMs: null, since, lastSeen: null, role, ...report };
    }
    const contact = this.#contact(id);
    const { online, since, report } = contact;
    const link = this.#o.network.link(id);
    const lastSeen = link.state === 'up' ? new Date().toISOString() : contact.lastSeen;
    return {
      name,
      id,
      self: false,
      online,
      path: online ? link.path : null,
      rttMs: online ? link.rttMs : null,
      since: online && link.state === 'up' ? link.since : since,
      lastSeen,
      version: report?.version ?? null,
      platform: report?.platform ?? null,
      headless: online ? (report?.headless ?? 'unknown') : 'unknown',
      sessions: report?.sessions ?? 0,
      role,
      labels: report?.labels ?? {},
    };
  }
}

function later(a: string | null, b: string): string {
  return a !== null && a > b ? a : b;
}
