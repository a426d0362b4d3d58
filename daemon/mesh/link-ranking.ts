import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { LinkPath } from './link-path.ts';

/** Lower is better, where both work. */
export const rank: Record<PathKind, number> = { direct: 0, p2p: 1, gateway: 2 };

/** A lower path is taken before a higher one when it is this much quicker, and given up again when it is not this much. */
export const clearly = { factor: 2, ms: 30 };
const still = { factor: 1.5, ms: 20 };

/** Whether a working path is worth leaving another working one for. */
export function beats(path: LinkPath, active: LinkPath): boolean {
  if (rank[path.kind] === rank[active.kind]) return false;
  if (rank[path.kind] < rank[active.kind]) return !holdsAgainst(active, path);
  return quicker(path, active, clearly);
}

/** Whether a path in use is so much quicker than a higher one that it is kept. */
export function holdsAgainst(active: LinkPath, higher: LinkPath): boolean {
  return quicker(active, higher, still);
}

function quicker(path: LinkPath, than: LinkPath, by: { factor: number; ms: number }): boolean {
  if (path.ownRttMs === null || than.ownRttMs === null) return false;
  return than.ownRttMs > by.factor * path.ownRttMs && than.ownRttMs - path.ownRttMs > by.ms;
}
