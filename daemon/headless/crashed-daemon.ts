import { existsSync } from 'node:fs';
import { ConfigStore } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import type { Log } from '../home/log.ts';
import { processStart } from '../home/process-identity.ts';
import { daemonRecordFile, readDaemonRecord } from '../process/daemon-record.ts';
import { spawnDaemon } from '../process/daemon-start.ts';
import { installationToStart } from '../process/installation.ts';
import { restartMark } from '../process/restart-mark.ts';
import { tendUpgrade } from '../process/upgrade-journal.ts';
import { supervisorPid } from '../process/upgrade-lock.ts';
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
  if (!isGuarded(home)) return 'stopped';
  // An upgrade that lost its supervisor together with the daemon is finished first, which leaves a daemon running.
  if (tendUpgrade(home) !== 'none') return 'busy';
  // A record that cannot be read was left behind all the same.
  if (!existsSync(daemonRecordFile(home)) || readDaemonRecord(home)?.managed) return 'stopped';
  return (lockHolder(home.path('daemon.lock')) ?? supervisorPid(home)) === undefined ? 'crashed' : 'busy';
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
  return spawnDaemon(home, installationToStart(home, 'restart'), [], { [restartMark]: '1' });
}
