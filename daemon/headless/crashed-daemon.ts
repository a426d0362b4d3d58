import { ConfigStore } from '../home/config.ts';
import { readIfThere } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import type { Log } from '../home/log.ts';
import { processStart } from '../home/process-identity.ts';
import { installationToStart } from '../process/installation.ts';
import { restartMark } from '../process/restart-mark.ts';
import { spawnDetached } from '../process/spawn.ts';
import type { DaemonState } from './guardian.ts';
import { Guardian } from './guardian.ts';

/** The guardian of this home's daemon. */
export function guardianOf(home: Home, log: Log): Guardian {
  return new Guardian({
    look: () => daemonState(home),
    start: () => startAgain(home),
    alive: (pid) => processStart(pid) !== undefined,
    log,
  });
}

/**
 * A daemon that stops removes its record; one whose record is there and whose lock nobody holds has crashed. One that a
 * service manager started is the manager's to start again.
 */
export function daemonState(home: Home): DaemonState {
  const record = readIfThere(home.path('daemon.json'));
  if (record === undefined || record.includes('"managed":true') || !isGuarded(home)) return 'stopped';
  const locks = ['daemon.lock', 'upgrade.lock'];
  return locks.some((name) => lockHolder(home.path(name)) !== undefined) ? 'busy' : 'crashed';
}

/** Settings that cannot be read are the daemon's to complain of. */
function isGuarded(home: Home): boolean {
  try {
    return new ConfigStore(home).current.guard === 'on';
  } catch {
    return true;
  }
}

function startAgain(home: Home): number {
  const { entry } = installationToStart(home, 'restart');
  const env = { ...process.env, NIIA_HOME: home.root, [restartMark]: '1' };
  return spawnDetached(['daemon', '--json'], home.path('daemon.log'), env, entry);
}
