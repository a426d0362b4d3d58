import type { PathKind } from '../../shared/protocol/shapes.ts';
import { LinkPath } from './link-path.ts';
import { linkTiming as timing } from './link-timing.ts';

const rank: Record<PathKind, number> = { direct: 0, p2p: 1, gateway: 2 };

/** A lower path is taken before a higher one when it is this much quicker, and given up again when it is not this much. */
const clearly = { factor: 2, ms: 30 };
const still = { factor: 1.5, ms: 20 };

/** All paths of a link, and which of them carries its data. */
export class LinkPaths {
  readonly #paths = new Map<number, LinkPath>();
  #active: LinkPath | undefined;
  #movedAt = Number.NEGATIVE_INFINITY;
  #switches = 0;

  get active(): LinkPath | undefined {
    return this.#active;
  }

  /** How often data moved to another path. */
  get switches(): number {
    return this.#switches;
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

  reset(): void {
    for (const path of this.#paths.values()) path.reset();
    this.#active = undefined;
  }

  woke(): void {
    for (const path of this.#paths.values()) path.woke();
  }

  /** How often a path is pinged now, in milliseconds. */
  pingEvery(path: LinkPath, inUse: boolean, now: number): number {
    if (!path.attached || now - path.addedAt < timing.usedMs) return timing.pingMs;
    if (!inUse) return timing.idlePingMs;
    return path === this.#active ? timing.pingMs : timing.standbyPingMs;
  }

  /** Marks paths that failed, then chooses. True when another path is active than before. */
  judge(now: number): boolean {
    for (const path of this.#paths.values()) {
      if (path.judge(now) && path === this.#active) path.avoid(now);
    }
    return this.choose(now);
  }

  choose(now: number): boolean {
    const best = this.#best(now);
    if (best === this.#active) return false;
    this.#active = best;
    this.#movedAt = now;
    if (best) this.#switches++;
    return best !== undefined;
  }

  #best(now: number): LinkPath | undefined {
    const active = this.#active;
    if (active?.works && active.avoidUntil <= now) return this.#better(active, now) ?? active;
    let best = active;
    for (const path of this.#paths.values()) {
      if (path !== active && path.attached && (!best || this.#preferred(path, best, now))) best = path;
    }
    return best;
  }

  /** Of two paths, neither of which has to be kept: one that works, was good lately, and ranks higher. */
  #preferred(path: LinkPath, than: LinkPath, now: number): boolean {
    if (path.works !== than.works) return path.works;
    if (!path.works) return false;
    const avoid = Math.max(path.avoidUntil, now);
    const avoidThan = Math.max(than.avoidUntil, now);
    if (avoid !== avoidThan) return avoid < avoidThan;
    return rank[path.kind] < rank[than.kind];
  }

  /** A path worth leaving a working one for. */
  #better(active: LinkPath, now: number): LinkPath | undefined {
    if (now - this.#movedAt < timing.dwellMs) return undefined;
    let best: LinkPath | undefined;
    for (const path of this.#paths.values()) {
      if (path === active || !path.works || path.avoidUntil > now || now - path.wellSince < timing.wellMs) continue;
      if (path.ownRttMs === null || !beats(path, active)) continue;
      if (!best || rank[path.kind] < rank[best.kind]) best = path;
    }
    return best;
  }
}

function beats(path: LinkPath, active: LinkPath): boolean {
  if (rank[path.kind] === rank[active.kind]) return false;
  if (rank[path.kind] < rank[active.kind]) return !quicker(active, path, still);
  return quicker(path, active, clearly);
}

function quicker(path: LinkPath, than: LinkPath, by: { factor: number; ms: number }): boolean {
  if (path.ownRttMs === null || than.ownRttMs === null) return false;
  return than.ownRttMs > by.factor * path.ownRttMs && than.ownRttMs - path.ownRttMs > by.ms;
}
