import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Home } from '../../daemon/home/home.ts';
import { Identity } from '../../daemon/team/identity.ts';
import { Roster } from '../../daemon/team/roster.ts';

const at = '2026-01-01T00:00:00.000Z';

/** Identities with real keys, ordered so that each one's id is lower than the next one's. */
export function identities(count: number): Identity[] {
  const made = Array.from({ length: count }, (_, i) => {
    const folder = mkdtempSync(join(tmpdir(), 'niia-sim-'));
    try {
      return Identity.load(new Home(folder), `machine-${i}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
  return made.sort((a, b) => (a.id < b.id ? -1 : 1));
}

export function membership(identity: Identity): { id: string; name: string; signKey: string; noiseKey: string } {
  const { id, name, signKey, noiseKey } = identity;
  return { id, name, signKey, noiseKey };
}

/** A team that `identities[0]` made and of which all are admins. */
export function teamOf(...machines: Identity[]): Roster {
  const [first, ...others] = machines;
  if (!first) throw new Error('a team needs a machine');
  let roster = Roster.create('sim', first, first.name, 'nonce', at);
  for (const other of others) roster = add(roster, first, other);
  return roster;
}

export function add(roster: Roster, by: Identity, who: Identity): Roster {
  return roster.append({ op: 'add', member: { ...membership(who), role: 'admin' } }, by, at);
}

export function remove(roster: Roster, by: Identity, who: Identity): Roster {
  return roster.append({ op: 'remove', machine: who.id }, by, at);
}
