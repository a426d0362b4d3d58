import type { Log } from '../home/log.ts';
import type { Identity } from '../team/identity.ts';
import type { Roster } from '../team/roster.ts';
import { Discovery } from './discovery.ts';
import type { Correspondent } from './exchange.ts';
import { Exchange } from './exchange.ts';
import { Guests } from './guests.ts';
import type { LanPeer } from './lan-peer.ts';
import type { LanSocketOptions } from './lan-socket.ts';
import { LanSocket } from './lan-socket.ts';
import { announcedHash, memberKeys } from './seal.ts';
import type { Interfaces } from './segments.ts';

export { LanGuest } from './lan-guest.ts';

export interface LanOptions {
  identity: Pick<Identity, 'id' | 'noise' | 'noiseKey'>;
  roster: () => Roster;
  log: Pick<Log, 'debug' | 'info'>;
  /** Open invites: the hash of the ticket's id, and the key for its guests on the LAN (those without one get none). */
  tickets: () => ReadonlyArray<{ hash: string; lanKey?: string | undefined }>;
  events: LanEvents;
  /** For tests: other networks than the computer's, and a look at what is sent. */
  interfaces?: Interfaces;
  outgoing?: LanSocketOptions['outgoing'];
}

export interface LanEvents {
  /** A member proved that it is on this LAN: for the first time, again, or from another address. */
  found(machineId: string): void;
  /** It took its leave or does not answer any more. */
  gone(machineId: string): void;
  /** A JSON value from a member, each at most once and in no certain order; unchecked beyond being JSON. */
  signal(machineId: string, value: unknown): void;
  /** From a guest with the ticket of this hash; `guest` names one guest's conversation. */
  guestSignal(ticketHash: string, guest: string, value: unknown): void;
}

interface MemberOnLan {
  id: string;
  noiseKey: string;
  hash: string;
  tag: bigint;
  peer: LanPeer;
  correspondent: Correspondent;
}

/**
 * The machines of the team, and guests with an invite, on the local networks: found by multicast DNS, which tells a
 * hash of this machine's key and no more, and talked to in sealed datagrams, with no server in between.
 */
export class Lan {
  readonly #o: LanOptions;
  readonly #exchange: Exchange;
  readonly #guests: Guests;
  readonly #members = new Map<string, MemberOnLan>();
  readonly #byTag = new Map<bigint, MemberOnLan>();
  readonly #byHash = new Map<string, MemberOnLan>();
  #team = '';
  #socket: LanSocket | undefined;
  #discovery: Discovery | undefined;
  #closed = false;

  constructor(options: LanOptions) {
    this.#o = options;
    this.#exchange = new Exchange({
      transmit: (datagram, to) => this.#socket?.send(datagram, to),
      lookup: (tag) => this.#byTag.get(tag)?.correspondent ?? this.#guests.lookup(tag),
    });
    this.#guests = new Guests({
      exchange: this.#exchange,
      tickets: options.tickets,
      signal: (ticket, guest, value) => options.events.guestSignal(ticket, guest, value),
    });
  }

  /** Opens the socket and announces this machine. Where the system has no network at all, says so in the log, once. */
  async start(): Promise<void> {
    const { log, identity, interfaces, outgoing } = this.#o;
    let socket: LanSocket;
    try {
      socket = await LanSocket.open({
        receive: (datagram, from) => this.#exchange.receive(datagram, from),
        ...(interfaces && { interfaces }),
        ...(outgoing && { outgoing }),
      });
    } catch (error) {
      log.info('machines on the local network cannot be reached: no socket', { error });
      return;
    }
    if (this.#closed) {
      await socket.close();
      return;
    }
    this.#socket = socket;
    this.#readRoster();
    this.#discovery = new Discovery({
      log,
      publish: { hash: announcedHash(identity.noise.publicKey), port: socket.port },
      wanted: (hash) => this.#byHash.has(hash),
      found: (hash, where) => this.#byHash.get(hash)?.peer.addCandidate(where),
      gone: (hash, where) => this.#byHash.get(hash)?.peer.doubt(where),
      segmentsChanged: () => socket.networkChanged(),
      ...(interfaces && { interfaces }),
    });
    await this.#discovery.start();
  }

  /** Says goodbye and leaves nothing open. Nothing is told after it was called. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#exchange.close();
    await this.#discovery?.close();
    await this.#socket?.close();
  }

  /** Whether this member answered when it was last asked. */
  seen(machineId: string): boolean {
    return this.#members.get(machineId)?.peer.present ?? false;
  }

  /** Resolves true once acknowledged, false when not within 5 s. Rejects with `too_large` beyond 18 KB deflated. */
  async send(machineId: string, value: unknown): Promise<boolean> {
    return (await this.#members.get(machineId)?.peer.send(value)) ?? false;
  }

  /** As `send`, to a guest whose signal came. */
  async sendGuest(guest: string, value: unknown): Promise<boolean> {
    return await this.#guests.send(guest, value);
  }

  networkChanged(): void {
    if (this.#closed) return;
    this.#socket?.networkChanged();
    this.#discovery?.networkChanged();
    for (const { peer } of this.#members.values()) if (peer.present) peer.probe();
  }

  rosterChanged(): void {
    if (!this.#closed && this.#socket && this.#readRoster()) this.#discovery?.ask();
  }

  /** Of the socket, which every announcement tells. */
  get port(): number | undefined {
    return this.#socket?.port;
  }

  /** How many datagrams came and what became of them. */
  get counts(): Record<string, number> {
    return { ...this.#exchange.counts, ...this.#socket?.counts };
  }

  /** Whether somebody is new. */
  #readRoster(): boolean {
    const { identity, roster } = this.#o;
    const { members, team } = roster();
    // A machine that was removed has no business with the others.
    const current = members.has(identity.id) ? members : new Map<string, never>();
    for (const member of [...this.#members.values()]) {
      const now = current.get(member.id);
      if (!now || now.noiseKey !== member.noiseKey || team.id !== this.#team) this.#remove(member);
    }
    this.#team = team.id;
    let news = false;
    for (const { id, noiseKey } of current.values()) {
      if (id !== identity.id && !this.#members.has(id)) news = this.#add(id, noiseKey) || news;
    }
    return news;
  }

  #add(id: string, noiseKey: string): boolean {
    const { identity, events, log } = this.#o;
    const keys = memberKeys(identity.noise, noiseKey, this.#team);
    if (!keys) {
      log.info('a member has a key with which it cannot be reached on the local network', { id });
      return false;
    }
    const peer = this.#exchange.peer({
      keys,
      found: () => events.found(id),
      gone: () => events.gone(id),
    });
    const correspondent: Correspondent = {
      keys,
      // It sees us and we may not see it: where only one direction's multicast gets through, one is enough.
      greeted: (from) => {
        if (!peer.present) peer.addCandidate(from);
      },
      message: (value, _session, from) => {
        if (!peer.present) peer.addCandidate(from);
        events.signal(id, value);
      },
    };
    const hash = announcedHash(Buffer.from(noiseKey, 'base64url'));
    const tag = keys.receive.tag.readBigUInt64BE();
    const member: MemberOnLan = { id, noiseKey, hash, tag, peer, correspondent };
    this.#members.set(id, member);
    this.#byTag.set(tag, member);
    this.#byHash.set(hash, member);
    return true;
  }

  #remove(member: MemberOnLan): void {
    this.#members.delete(member.id);
    this.#byTag.delete(member.tag);
    this.#byHash.delete(member.hash);
    this.#exchange.release(member.peer);
  }
}
