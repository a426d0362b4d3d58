import type { PathKind } from '../../shared/protocol/shapes.ts';
import { LinkPath } from './link-path.ts';
import { beats, rank } from './link-ranking.ts';
import { linkLimits as limits, linkTiming as timing } from './link-timing.ts';

/** A path is left for one that delivers over so many times as fast. */
const muchFaster = 2;
/** Bytes a millisecond below which another path is tried that may be no better. */
const crawl = 16;

/** All paths of a link, and which of them carries its data. */
export class LinkPaths {
  readonly #paths = new Map<number, LinkPath>();
  #active: LinkPath | undefined;
  #movedAt = Number.NEGATIVE_INFINITY;
  /** Data has had a path in this session. */
  #begun = false;
  #switches = 0;
  /** When some path was last seen to work. */
  #lastWorkedAt = Number.POSITIVE_INFINITY;
  #own: PathKind | null = null;
  #theirs: PathKind | null = null;

  get active(): LinkPath | undefined {
    return this.#active;
  }

  /** How often data moved to another path. */
  get switches(): number {
    return this.#switches;
  }

  /** The kind that is used whenever one of it works: what was chosen here, else what the other side asked for. */
  get preferred(): PathKind | null {
    return this.#own ?? this.#theirs;
  }

  get ownPreference(): PathKind | null {
    return this.#own;
  }

  get size(): number {
    return this.#paths.size;
  }

  [Symbol.iterator](): IterableIterator<LinkPath> {
    return this.#paths.values();
  }

  get(id: number): LinkPath | undefined {
    return this.#paths.get(id);
  }

  add(id: number, kind: PathKind, now: number): LinkPath {
    const path = new LinkPath(id, kind, now);
    this.#paths.set(id, path);
    return path;
  }

  remove(id: number): void {
    if (this.#active?.id === id) this.#active = undefined;
    this.#paths.delete(id);
  }

  /** The other end of the path of this kind was closed. Where there are several, it is not known which. */
  closedThere(kind: PathKind): void {
    const all = [...this.#paths.values()].filter((path) => path.kind === kind && path.works);
    if (all.length === 1) all[0]?.closedThere();
  }

  reset(now: number): void {
    for (const path of this.#paths.values()) path.reset(now);
    this.#active = undefined;
    this.#begun = false;
    this.#theirs = null;
  }

  woke(now: number): void {
    for (const path of this.#paths.values()) path.woke(now);
  }

  /** Changes a preference; true when another path is active than before. */
  prefer(whose: 'own' | 'theirs', kind: PathKind | null, now: number): boolean {
    const before = this.preferred;
    if (whose === 'own') this.#own = kind;
    else this.#theirs = kind;
    const { preferred } = this;
    if (preferred === before) return false;
    // Whoever asks for a path now knows more than what was concluded from the past, and is not kept waiting.
    for (const path of this.#paths.values()) if (path.kind === preferred) path.forgive();
    this.#movedAt = Number.NEGATIVE_INFINITY;
    const active = this.#active;
    if (active?.works && preferred && active.kind !== preferred) {
      const wanted = this.#firstOf(preferred, now, 0);
      if (wanted) return this.#move(wanted, now);
    }
    return this.choose(now);
  }

  /** Paths that are of no use and are to be closed. One side alone closes duplicates, or both might go. */
  surplus(closesDuplicates: boolean, now: number): LinkPath[] {
    return [...this.#paths.values()].filter((path) => now >= this.#surplusAt(path, closesDuplicates));
  }

  /** When `surplus` may have news. */
  surplusAt(closesDuplicates: boolean): number {
    let first = Number.POSITIVE_INFINITY;
    for (const path of this.#paths.values()) first = Math.min(first, this.#surplusAt(path, closesDuplicates));
    return first;
  }

  /** The one that has to go when there are too many: the oldest that never brought anything, and no path to a relay. */
  get excess(): LinkPath | undefined {
    if (this.#paths.size <= limits.paths) return undefined;
    const all = [...this.#paths.values()].filter((path) => path !== this.#active);
    const strange = all.filter((path) => !path.attached);
    return (
      strange.find((path) => path.kind !== 'gateway') ?? strange[0] ?? all.find((path) => !path.works) ?? all.at(-1)
    );
  }

  /** How often a path is pinged now, in milliseconds. */
  pingEvery(path: LinkPath, inUse: boolean, now: number): number {
    if (!path.attached || now - path.addedAt < timing.usedMs) return timing.pingMs;
    if (!inUse) return timing.idlePingMs;
    return path === this.#active ? timing.pingMs : timing.standbyPingMs;
  }

  /**
   * Avoids the active path where data waits and it clearly delivers less than another one that works is known to
   * deliver, or next to nothing while another one has not been tried. `oldestMs`: how long the oldest of `inFlight`
   * bytes has been on its way.
   */
  judgeRate(now: number, oldestMs: number, inFlight: number): void {
    const active = this.#active;
    if (!active || active.kind === this.preferred) return;
    // A little that takes long says the same as much that goes on and on.
    const overdue = oldestMs > Math.max(timing.crawlMs, 4 * (active.rttMs ?? 0));
    const present = overdue ? inFlight / oldestMs : active.rate.present(now);
    if (present === undefined) return;
    let known = true;
    let quickest: LinkPath | undefined;
    let most = 0;
    for (const path of this.#paths.values()) {
      if (path === active || !path.works || path.avoidUntil > now) continue;
      const rate = path.rate.known(now);
      if (rate === undefined) known = false;
      else if (rate > most) [quickest, most] = [path, rate];
    }
    if (quickest && present * muchFaster < most) {
      active.avoidSlow(now, `data moved less than half as fast there as on ${quickest.kind}`);
    } else if (!known && (overdue || present < crawl)) {
      active.avoidSlow(now, 'data crawled there');
    } else if (known && quickest) {
      active.quickEnough();
    }
  }

  /** Marks paths that failed, then chooses. True when another path is active than before. */
  judge(now: number): boolean {
    for (const path of this.#paths.values()) {
      if (path.judge(now) && path === this.#active) path.avoid(now, 'it failed lately');
    }
    this.#lastWorkedAt = this.#anyWorks() ? now : Math.min(this.#lastWorkedAt, now);
    // Where nothing gets through at all, no path is to blame, and the best one is wanted when the network is back.
    if (now - this.#lastWorkedAt >= timing.outageMs) {
      for (const path of this.#paths.values()) path.forgiveFailures();
    }
    return this.choose(now);
  }

  #anyWorks(): boolean {
    for (const path of this.#paths.values()) if (path.works) return true;
    return false;
  }

  choose(now: number): boolean {
    const best = this.#best(now);
    return best !== this.#active && this.#move(best, now);
  }

  #move(to: LinkPath | undefined, now: number): boolean {
    this.#active = to;
    // The first path of a session was only the first to answer: it is left as soon as a better one has proved itself.
    this.#movedAt = this.#begun ? now : Number.NEGATIVE_INFINITY;
    this.#begun ||= to !== undefined;
    to?.rate.begin();
    if (to) this.#switches++;
    return to !== undefined;
  }

  #best(now: number): LinkPath | undefined {
    const active = this.#active;
    if (active?.works && active.avoidUntil <= now) return this.#better(active, now) ?? active;
    let best = active;
    for (const path of this.#paths.values()) {
      if (path !== active && path.attached && (!best || this.#sooner(path, best, now))) best = path;
    }
    return best;
  }

  /** Of two paths, neither of which has to be kept: one that works, was good lately, and ranks higher. */
  #sooner(path: LinkPath, than: LinkPath, now: number): boolean {
    if (path.works !== than.works) return path.works;
    if (!path.works) return false;
    const [avoided, thanAvoided] = [path.avoidUntil > now, than.avoidUntil > now];
    if (avoided !== thanAvoided) return thanAvoided;
    // What failed last fails now; the other one may be well again.
    if (avoided && path.avoidedAt !== than.avoidedAt) return path.avoidedAt < than.avoidedAt;
    const [doubtful, thanDoubtful] = [path.doubtful(now), than.doubtful(now)];
    if (doubtful !== thanDoubtful) return thanDoubtful;
    if (path.kind !== than.kind && this.preferred !== null) {
      if (path.kind === this.preferred) return true;
      if (than.kind === this.preferred) return false;
    }
    return rank[path.kind] < rank[than.kind];
  }

  /** A path worth leaving a working one for. */
  #better(active: LinkPath, now: number): LinkPath | undefined {
    const { preferred } = this;
    if (now - this.#movedAt < timing.dwellMs || active.kind === preferred) return undefined;
    const wanted = preferred && this.#firstOf(preferred, now, timing.wellMs);
    if (wanted) return wanted;
    let best: LinkPath | undefined;
    for (const path of this.#paths.values()) {
      if (path === active || !path.works || path.avoidUntil > now || now - path.wellSince < timing.wellMs) continue;
      if (path.ownRttMs === null || !beats(path, active)) continue;
      if (!best || rank[path.kind] < rank[best.kind]) best = path;
    }
    return best;
  }

  /** A path of this kind that worked for at least `ms`. */
  #firstOf(kind: PathKind, now: number, ms: number): LinkPath | undefined {
    for (const path of this.#paths.values()) {
      if (path.kind === kind && path.works && path.avoidUntil <= now && now - path.wellSince >= ms) return path;
    }
    return undefined;
  }

  /** When a path is to be closed, as things are. A relay's owner sees to its own. */
  #surplusAt(path: LinkPath, closesDuplicates: boolean): number {
    if (path.kind === 'gateway') return Number.POSITIVE_INFINITY;
    if (!path.works) return path.abandonAt;
    if (!closesDuplicates || path === this.#active) return Number.POSITIVE_INFINITY;
    let at = Number.POSITIVE_INFINITY;
    for (const other of this.#paths.values()) {
      if (other === path || other.kind !== path.kind || !other.works) continue;
      // The active one stays, else the older one.
      if (other !== this.#active && (this.#active?.kind === path.kind || other.id > path.id)) continue;
      at = Math.min(at, Math.max(path.wellSince, other.wellSince) + timing.duplicateMs);
    }
    return at;
  }
}
