import type { LinkPath } from './link-path.ts';
import type { LinkPaths } from './link-paths.ts';
import { clearly, holdsAgainst, rank } from './link-ranking.ts';

const muchQuicker = `over ${clearly.factor === 2 ? 'twice' : `${clearly.factor} times`} and over ${clearly.ms} ms quicker`;

/** The state of a path in a word, and why it is, or is not, the one that is used. For people. */
export function describePath(path: LinkPath, paths: LinkPaths, now: number): { state: string; note: string } {
  if (!path.attached) return { state: 'new', note: 'nothing came from it yet' };
  if (path.silent) return { state: 'silent', note: 'nothing comes from it' };
  if (path.oneWay) return { state: 'one-way', note: 'what is sent there does not arrive' };
  const { active } = paths;
  if (path === active) return { state: 'active', note: `chosen: ${whyChosen(path, paths, now)}` };
  if (path.avoidUntil > now) {
    const seconds = Math.ceil((path.avoidUntil - now) / 1000);
    return { state: 'avoided', note: `not chosen: ${path.avoidedFor}; avoided for another ${seconds} s` };
  }
  return { state: 'standby', note: active ? `not chosen: ${whyNot(path, active, paths)}` : '' };
}

function whyChosen(active: LinkPath, paths: LinkPaths, now: number): string {
  if (active.kind === paths.preferred) return 'it is preferred';
  const others = [...paths].filter((path) => path !== active && path.works);
  if (others.length === 0) return 'the only one that works';
  const [higher] = others
    .filter((path) => rank[path.kind] < rank[active.kind])
    .sort((a, b) => rank[a.kind] - rank[b.kind]);
  if (!higher) return 'ranks highest of those that work';
  if (higher.avoidUntil > now) return `${higher.kind} is avoided, since ${higher.avoidedFor}`;
  if (holdsAgainst(active, higher)) return `${muchQuicker} than ${higher.kind}`;
  return `${higher.kind} works only since a moment ago`;
}

function whyNot(path: LinkPath, active: LinkPath, { preferred }: LinkPaths): string {
  if (path.kind === active.kind) return 'another of its kind is in use';
  if (active.kind === preferred) return `${preferred} is preferred`;
  if (path.kind === preferred) return 'it is preferred, and works only since a moment ago';
  if (rank[path.kind] > rank[active.kind]) return `ranks below ${active.kind} and is not ${muchQuicker}`;
  if (holdsAgainst(active, path)) return `${active.kind} is ${muchQuicker}`;
  return 'works only since a moment ago';
}
