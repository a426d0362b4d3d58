import type { PathKind } from '../../shared/protocol/shapes.ts';
import { Quota } from './link-quota.ts';
import { LinkRate } from './link-rate.ts';
import { linkLimits as limits, linkTiming as timing } from './link-timing.ts';
import { LinkWindow } from './link-window.ts';

/** What was known when a ping left. */
export interface PingRecord {
  id: number;
  at: number;
  /** The link's count of resends then, and the counter of the data frame that would have been sent next. */
  resends: number;
  next: number;
  /** Little was in flight, so that the round trip is the path's own. */
  unloaded: boolean;
}

/** Round trips are the median of so many. */
const recentSamples = 7;

/** Pings to a path that does not answer are forgotten beyond this. */
const mostPings = 64;

/** What a link knows about one way to the other machine. Pure: times come in. */
export class LinkPath {
  readonly id: number;
  readonly kind: PathKind;
  readonly addedAt: number;
  readonly window = new LinkWindow();
  readonly rate = new LinkRate();
  /** In a second: frames that nobody honest sends, control frames, and pings that are answered. */
  readonly offences = new Quota(limits.offences);
  readonly controls = new Quota(limits.controls);
  readonly pongs = new Quota(limits.pongs);
  /** It is about to be closed; what still comes from it is not looked at. */
  condemned = false;
  /** Round trip in milliseconds, the median of the last few; null before the first. */
  rttMs: number | null = null;
  /** The same, of pings sent while little was in flight: what paths are compared by. */
  ownRttMs: number | null = null;
  /** When something authentic last came; undefined before the first. Only then may data be sent here. */
  heardAt: number | undefined;
  /** Since when it has worked without a break. */
  wellSince = Number.POSITIVE_INFINITY;
  lastPingAt = Number.NEGATIVE_INFINITY;
  silent = false;
  oneWay = false;
  /** Until then another path is used, where one works. */
  avoidUntil = 0;
  /** Since when and why. */
  avoidedAt = Number.NEGATIVE_INFINITY;
  avoidedFor = '';
  /** Since when nothing authentic came at all, while `heardAt` is undefined; and whether it ever did. */
  #strangeSince: number;
  #known = false;
  #lastRttMs = 0;
  readonly #samples = new Recent();
  #failures = 0;
  #slownesses = 0;
  #penalisedUntil = Number.NEGATIVE_INFINITY;
  /** When it last came back to life: pings from before measured its failure. */
  #revivedAt = Number.NEGATIVE_INFINITY;
  /** The first ping since something came, and since a round trip was proved. */
  #askedAt: number | undefined;
  #unprovedSince: number | undefined;
  #pings: PingRecord[] = [];

  constructor(id: number, kind: PathKind, now: number) {
    this.id = id;
    this.kind = kind;
    this.addedAt = now;
    this.#strangeSince = now;
  }

  get attached(): boolean {
    return this.heardAt !== undefined;
  }

  /** Data sent here can be expected to arrive. */
  get works(): boolean {
    return this.attached && !this.silent && !this.oneWay;
  }

  pinged(record: PingRecord): void {
    this.lastPingAt = record.at;
    this.#askedAt ??= record.at;
    this.#unprovedSince ??= record.at;
    this.#pings.push(record);
    if (this.#pings.length > mostPings) this.#pings.shift();
  }

  heard(now: number): void {
    if (this.silent) this.#revivedAt = now;
    this.heardAt = now;
    this.#known = true;
    this.#askedAt = undefined;
    this.silent = false;
    if (!this.oneWay) this.wellSince = Math.min(this.wellSince, now);
  }

  /** Its other end is closed; whatever still comes says otherwise. */
  closedThere(): void {
    this.silent = true;
    this.wellSince = Number.POSITIVE_INFINITY;
  }

  /** The ping that this pong answers, once. */
  ponged(id: number, now: number): PingRecord | undefined {
    const at = this.#pings.findIndex((ping) => ping.id === id);
    const ping = this.#pings[at];
    if (!ping) return undefined;
    this.#pings.splice(0, at + 1);
    const sample = Math.max(0, now - ping.at);
    this.rttMs = this.#samples.add(sample).median;
    this.#lastRttMs = sample;
    if (this.oneWay) this.#revivedAt = now;
    if (ping.unloaded && ping.at >= this.#revivedAt) this.ownRttMs = smooth(this.ownRttMs, sample);
    this.proved(now);
    return ping;
  }

  /** What was sent here arrived. */
  proved(now: number): void {
    this.#unprovedSince = this.#pings[0]?.at;
    this.oneWay = false;
    this.wellSince = Math.min(this.wellSince, now);
    if (now - this.#penalisedUntil > timing.longestPenaltyMs) this.#failures = 0;
  }

  /** Data moves here again. */
  progressed(now: number): void {
    this.#unprovedSince = undefined;
    this.avoidUntil = 0;
    this.oneWay = false;
    this.wellSince = Math.min(this.wellSince, now);
  }

  /** It should have answered by now: a path that fails is not left for another one that fails with it. */
  doubtful(now: number): boolean {
    return (
      this.#unprovedSince !== undefined && now - this.#unprovedSince > Math.max(timing.doubtMs, 2 * this.#lastRttMs)
    );
  }

  /** Marks it where its silence says so. True when that is news. */
  judge(now: number): boolean {
    if (!this.attached) return false;
    const before = this.works;
    if (now >= this.#silentAt()) this.silent = true;
    if (now >= this.#oneWayAt()) this.oneWay = true;
    if (!this.works) this.wellSince = Number.POSITIVE_INFINITY;
    return before && !this.works;
  }

  /** When it is of no use any more and is to be closed; a relay's path is not this link's to close. */
  get abandonAt(): number {
    if (this.kind === 'gateway' || this.works) return Number.POSITIVE_INFINITY;
    if (this.heardAt !== undefined) return this.heardAt + timing.abandonMs;
    return this.#strangeSince + (this.#known ? timing.abandonMs : timing.strangeMs);
  }

  /** It was in use and failed: avoided for a while, each time longer. */
  avoid(now: number, why: string): void {
    this.avoidedFor = why;
    this.avoidedAt = now;
    const wait = Math.min(timing.penaltyMs * 2 ** this.#failures, timing.longestPenaltyMs);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.avoidUntil = now + wait;
    this.#penalisedUntil = this.avoidUntil;
  }

  /** It works, and data crawls on it: the same, for longer. */
  avoidSlow(now: number, why: string): void {
    this.avoidedFor = why;
    this.avoidedAt = now;
    this.avoidUntil = now + Math.min(timing.slowPenaltyMs * 2 ** this.#slownesses, timing.longestSlowPenaltyMs);
    this.#slownesses = Math.min(this.#slownesses + 1, 16);
  }

  /** It turned out to be quick enough. */
  quickEnough(): void {
    this.#slownesses = 0;
  }

  /** What it did is forgotten. */
  forgive(): void {
    this.forgiveFailures();
    this.#slownesses = 0;
  }

  forgiveFailures(): void {
    this.avoidUntil = 0;
    this.#failures = 0;
  }

  /** When `judge` may have news. */
  get judgeAt(): number {
    if (!this.works) return Number.POSITIVE_INFINITY;
    return Math.min(this.#silentAt(), this.#oneWayAt());
  }

  /** The machine slept: what did not come meanwhile says nothing. */
  woke(now: number): void {
    if (this.heardAt === undefined) this.#strangeSince = now;
    else this.heardAt = now;
    this.#askedAt = undefined;
    this.#unprovedSince = undefined;
    this.#pings = [];
    this.rate.begin();
    this.lastPingAt = Number.NEGATIVE_INFINITY;
  }

  /** A new session begins: nothing that was heard under the last one counts. */
  reset(now: number): void {
    this.heardAt = undefined;
    this.woke(now);
    this.silent = false;
    this.oneWay = false;
    this.wellSince = Number.POSITIVE_INFINITY;
  }

  #silentAt(): number {
    if (this.#askedAt === undefined) return Number.POSITIVE_INFINITY;
    const since = Math.max(this.heardAt ?? 0, this.#askedAt - timing.pingMs);
    return since + this.#patience(timing.silentMs);
  }

  #oneWayAt(): number {
    return this.#unprovedSince === undefined
      ? Number.POSITIVE_INFINITY
      : this.#unprovedSince + this.#patience(timing.unprovedMs);
  }

  /** Long round trips need longer patience; one that is long since past, as when the other side slept, does not. */
  #patience(least: number): number {
    const rtt = Math.min(this.rttMs ?? 0, this.#lastRttMs);
    return Math.max(least, Math.min(4 * rtt, 2 * least));
  }
}

function smooth(old: number | null, sample: number): number {
  return old === null ? sample : old + (sample - old) / 8;
}

/** The last few of some figures. A packet that had to be sent again, or a pause of this process, is one of them only. */
class Recent {
  readonly #last: number[] = [];

  add(sample: number): this {
    this.#last.push(sample);
    if (this.#last.length > recentSamples) this.#last.shift();
    return this;
  }

  get median(): number {
    const sorted = [...this.#last].sort((a, b) => a - b);
    return sorted[(sorted.length - 1) >> 1] ?? 0;
  }
}
