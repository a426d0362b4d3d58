import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { Log } from '../../../daemon/home/log.ts';
import { Identity, machineId } from '../../../daemon/team/identity.ts';
import type { Member } from '../../../daemon/team/roster.ts';
import { TeamStore } from '../../../daemon/team/team-store.ts';
import type { Role } from '../../../shared/protocol/shapes.ts';

process.env['NIIA_LOG'] = 'error';

const folders: string[] = [];

/** In memory where the system has such a folder: these tests write a thousand rosters and wait for each to be synced. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An empty home, gone after the test. */
export function newHome(): Home {
  const root = mkdtempSync(join(scratch, 'niia-team-'));
  folders.push(root);
  const home = new Home(root);
  home.prepare();
  return home;
}

export interface Machine {
  home: Home;
  identity: Identity;
}

export function newMachine(name: string): Machine {
  const home = newHome();
  return { home, identity: Identity.load(home, name) };
}

/** A machine's team as its daemon opens it. */
export function openStore({ home, identity }: Machine): TeamStore {
  return TeamStore.open({ home, identity, log: new Log('test') });
}

/** `identity` as it stands in a roster. */
export function memberOf(identity: Identity, role: Role, name = identity.name): Omit<Member, 'joinedAt'> {
  const { id, signKey, noiseKey } = identity;
  return { id, name, role, signKey, noiseKey };
}

/** A member that never acts: its keys are random bytes. */
export function bystander(name: string, role: Role = 'operator'): Omit<Member, 'joinedAt'> {
  const signKey = randomBytes(32).toString('base64url');
  return { id: machineId(signKey), name, role, signKey, noiseKey: randomBytes(32).toString('base64url') };
}
