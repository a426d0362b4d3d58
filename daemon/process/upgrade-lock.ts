import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';

/** Held by the supervisor of an upgrade while it works. */
export function upgradeLock(home: Home): string {
  return home.path('upgrade.lock');
}

/** The pid of the supervisor that works; undefined where none does. */
export function supervisorPid(home: Home): number | undefined {
  return lockHolder(upgradeLock(home));
}
