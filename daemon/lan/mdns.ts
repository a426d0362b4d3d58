import { randomBytes } from 'node:crypto';
import type { RemoteInfo, Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import Bonjour from 'bonjour-service';
import type { LanAddress } from './lan-peer.ts';
import type { Segment } from './segments.ts';
import { plainAddress } from './segments.ts';
import type { Limits } from './source-limit.ts';
import { SourceLimit } from './source-limit.ts';

/**
 * Multicast DNS on one segment (RFC 6762, RFC 6763) by bonjour-service. The only file that imports it; what it and the
 * multicast-dns below it would do wrong is mended here:
 *
 * - They would bind one socket and announce by the default route alone, and IPv4 only: each segment has its own instance.
 * - They put the computer's name into the SRV record and the addresses of all interfaces into the others.
 * - An exception while a packet is looked at would end the process, and so would a port that is taken: an `error` event
 *   that nobody can listen to. So the socket is made, bound and listened to here.
 * - A browser keeps all that was ever announced, does not notice a changed address and asks once: it is replaced by a
 *   new one for each question.
 * - They look at packets in time that grows with the square of their records, whatever they are about: only packets
 *   about our service get there, few of them and with few records.
 */
export interface MdnsOptions {
  segment: Segment;
  /** Published with this key hash and port; undefined: only looks. */
  publish: { hash: string; port: number } | undefined;
  found(announcement: Announcement): void;
  /** It was taken back, by whoever. */
  gone(announcement: Announcement): void;
  /** How many packets are looked at; for tests. */
  limits?: Limits;
}

export interface Announcement {
  hash: string;
  where: LanAddress;
  /** How long it may be believed, milliseconds. */
  ttlMs: number;
}

const serviceType = { type: 'niia', protocol: 'udp' } as const;
/** The type's first label as it stands in packets, length first. */
const label = Buffer.from('\x05_niia', 'latin1');
const groups = { 4: '224.0.0.251', 6: 'ff02::fb' } as const;
const mdnsPort = 5353;
/** RFC 6762, 17: the longest packet. */
const longestPacket = 9_000;
/** Ours have about ten; those of machines with many services leave ours out or come in a packet of their own. */
const mostRecords = 64;
const mostServices = 256;
/** Host names and addresses are worth two minutes (RFC 6762, 10), whatever the rest of the announcement says. */
const longestTtlMs = 120_000;
const mostQuestions = 4;
const packetLimits = { perSource: { perSecond: 20, burst: 60 }, inAll: { perSecond: 100, burst: 300 } };
/** Each question is answered to all: few are enough for teams of hundreds. */
const queryLimits = { perSource: { perSecond: 2, burst: 20 }, inAll: { perSecond: 20, burst: 60 } };

type Browser = ReturnType<InstanceType<typeof Bonjour>['find']>;
type Service = InstanceType<typeof Bonjour.Service>;

/** By host label: the one address that is announced with it. */
const announcedAddress = new Map<string, string>();
const allRecords = Bonjour.Service.prototype.records;
Bonjour.Service.prototype.records = function (this: Service) {
  const own = announcedAddress.get(this.host);
  return allRecords.call(this).filter(({ type, data }) => (type !== 'A' && type !== 'AAAA') || data === own);
};

export class Mdns {
  readonly #o: MdnsOptions;
  readonly #socket: Socket;
  readonly #bonjour: InstanceType<typeof Bonjour>;
  readonly #limit: SourceLimit;
  readonly #queryLimit = new SourceLimit(queryLimits, performance.now());
  /** The library's own, which get what `receive` lets through. */
  #handlers: ReturnType<Socket['listeners']> = [];
  #host: string | undefined;
  #browser: Browser | undefined;
  #replacedAt = Number.NEGATIVE_INFINITY;
  #closed: Promise<void> | undefined;
  readonly counts = { taken: 0, foreign: 0, notLocal: 0, limited: 0, malformed: 0, faults: 0 };

  private constructor(options: MdnsOptions) {
    this.#o = options;
    const { segment, limits = packetLimits } = options;
    this.#limit = new SourceLimit(limits, performance.now());
    const type = segment.family === 4 ? 'udp4' : 'udp6';
    this.#socket = createSocket({ type, reuseAddr: true, ipv6Only: segment.family === 6 });
    // The types do not tell of what is handed on to multicast-dns; `port` is known to both.
    const handedOn = {
      socket: this.#socket,
      type,
      ip: groups[segment.family],
      port: mdnsPort,
      interface: segment.multicastInterface,
      bind: false,
    };
    this.#bonjour = new Bonjour(handedOn, () => {
      this.counts.faults++;
    });
    this.#guard();
  }

  /** Throws the system's error where there is no multicast. */
  static async open(options: MdnsOptions): Promise<Mdns> {
    const mdns = new Mdns(options);
    try {
      await mdns.#bind();
    } catch (error) {
      await mdns.close();
      throw error;
    }
    mdns.#publish();
    mdns.ask();
    return mdns;
  }

  /** Asks who is there. The answers come as `found`, those of machines that are known already too. */
  ask(): void {
    if (this.#closed) return;
    this.#replacedAt = performance.now();
    this.#browser?.stop();
    const browser = this.#bonjour.find(serviceType);
    this.#browser = browser;
    browser.on('up', (service) => this.#found(service));
    browser.on('srv-update', (service) => this.#found(service));
    browser.on('txt-update', (service) => this.#found(service));
    browser.on('down', (service) => this.#tell(service, this.#o.gone));
  }

  /** Whatever bytes came, this returns. */
  receive(packet: Buffer, from: RemoteInfo): void {
    if (this.#closed || !this.#worthALook(packet, from)) return;
    this.counts.taken++;
    try {
      for (const handle of this.#handlers) handle.call(this.#socket, packet, from);
    } catch {
      this.counts.faults++;
    }
  }

  /** How many services the library holds, for tests of the bound. */
  get kept(): number {
    return this.#browser?.services.length ?? 0;
  }

  /** Takes back what was published, as far as the network lets it. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#browser?.stop();
    if (this.#host !== undefined) await new Promise<void>((resolve) => this.#bonjour.unpublishAll(() => resolve()));
    await new Promise<void>((resolve) => this.#bonjour.destroy(() => resolve()));
    if (this.#host !== undefined) announcedAddress.delete(this.#host);
  }

  /** Puts our own judgement between the socket and the library. */
  #guard(): void {
    this.#handlers = this.#socket.listeners('message');
    this.#socket.removeAllListeners('message');
    this.#socket.removeAllListeners('error');
    this.#socket.on('error', () => {
      this.counts.faults++;
    });
    this.#socket.on('message', (packet: Buffer, from: RemoteInfo) => this.receive(packet, from));
  }

  #worthALook(packet: Buffer, { address }: RemoteInfo): boolean {
    const { counts } = this;
    if (!this.#o.segment.has(plainAddress(address))) counts.notLocal++;
    else if (packet.length > longestPacket || !packet.includes(label)) counts.foreign++;
    else if (!hasPlausibleCounts(packet)) counts.malformed++;
    else if (!this.#limit.take(address, performance.now())) counts.limited++;
    else if (isQuery(packet) && !this.#queryLimit.take(address, performance.now())) counts.limited++;
    else return true;
    return false;
  }

  #bind(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once('error', reject);
      this.#socket.bind({ port: mdnsPort, address: this.#o.segment.family === 4 ? '0.0.0.0' : '::' }, () => {
        this.#socket.off('error', reject);
        resolve();
      });
    });
  }

  #publish(): void {
    const { publish, segment } = this.#o;
    if (!publish) return;
    // New names each time: they say nothing, and nobody who knew the old ones can tell that it is the same machine.
    this.#host = `${randomBytes(8).toString('hex')}.local`;
    announcedAddress.set(this.#host, segment.address.replace(/%.*/, ''));
    this.#bonjour.publish({
      ...serviceType,
      name: randomBytes(8).toString('hex'),
      host: this.#host,
      port: publish.port,
      txt: { v: '1', k: publish.hash },
      // Names of 64 random bits are not taken; the library would print to standard output if one were.
      probe: false,
    });
  }

  #found(service: Service): void {
    this.#tell(service, this.#o.found);
    if ((this.#browser?.services.length ?? 0) < mostServices) return;
    // Somebody announces without end: all is forgotten, and asked for again in its time, so that it cannot make us ask.
    if (this.#browser) this.#browser.services.length = 0;
    if (performance.now() - this.#replacedAt > 1_000) this.ask();
  }

  #tell(service: Service, tell: (announcement: Announcement) => void): void {
    const announcement = announcementOf(service);
    if (announcement && !this.#closed) tell(announcement);
  }
}

/** Where it came from is where it is: announced addresses are not looked at, so nobody can send us elsewhere. */
function announcementOf({ txt, port, referer, ttl }: Service): Announcement | undefined {
  const fields: Record<string, unknown> = typeof txt === 'object' && txt !== null ? txt : {};
  const { v, k } = fields;
  if (v !== '1' || typeof k !== 'string' || !/^[0-9a-f]{32}$/.test(k)) return undefined;
  if (!referer || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const ttlMs = Math.min(longestTtlMs, (ttl ?? 0) * 1000);
  return { hash: k, where: { address: plainAddress(referer.address), port }, ttlMs };
}

/** Whether the header does not promise more than the packet could hold: the decoder makes room for as many at once. */
function hasPlausibleCounts(packet: Buffer): boolean {
  if (packet.length < 12) return false;
  const questions = packet.readUInt16BE(4);
  const records = packet.readUInt16BE(6) + packet.readUInt16BE(8) + packet.readUInt16BE(10);
  if (questions > mostQuestions || records > mostRecords) return false;
  return 12 + questions * 5 + records * 11 <= packet.length;
}

function isQuery(packet: Buffer): boolean {
  return ((packet[2] ?? 0) & 0x80) === 0;
}
