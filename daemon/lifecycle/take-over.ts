import { rmSync } from 'node:fs';
import { NiiaError } from '../../shared/errors.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { acquireLock, type Lock } from '../home/lock.ts';
import { processStart } from '../home/process-identity.ts';
import { readUpgrade } from '../process/upgrade-journal.ts';
import { pause, signalIfThere } from './local-daemon.ts';

/** Names the upgrade for which a daemon is started while the old one still runs. */
export const takeOverVariable = 'NIIA_TAKE_OVER';

/** A daemon that waits for its turn gives up after this: nobody seems to want it any more. */
const waitMs = 60_000;

/**
 * The lock of the home's daemon, for one that is started for an upgrade: it has loaded its code, says so, and waits
 * until the old daemon is gone, so that the machine is away for no longer than it must. Throws `cancelled` where the
 * upgrade is given up meanwhile.
 */
export async function takeOver(home: Home, upgrade: string): Promise<Lock> {
  const mine = String(process.pid);
  writeAtomically(readyFile(home), mine);
  try {
    const giveUpAt = performance.now() + waitMs;
    for (;;) {
      const lock = await acquireLock(home.path('daemon.lock'));
      if (isWanted(home, upgrade)) {
        if (!('heldBy' in lock)) return lock;
      } else {
        if (!('heldBy' in lock)) lock.release();
        throw new NiiaError('cancelled', 'the upgrade that this daemon was started for is given up');
      }
      if (performance.now() > giveUpAt) throw new NiiaError('busy', `another daemon runs on (pid ${lock.heldBy})`);
      await pause();
    }
  } finally {
    if (readyPid(home) === process.pid) rmSync(readyFile(home), { force: true });
  }
}

/** The daemon that has loaded its code and waits for its turn. */
export function readyPid(home: Home): number | undefined {
  const text = readIfThere(readyFile(home));
  return text === undefined ? undefined : Number(text);
}

/** Ends a daemon that waits for its turn. */
export async function dismiss(home: Home, pid: number): Promise<void> {
  while (processStart(pid) !== undefined) {
    signalIfThere(pid, 'SIGKILL');
    await pause();
  }
  rmSync(readyFile(home), { force: true });
}

function isWanted(home: Home, upgrade: string): boolean {
  const journal = readUpgrade(home);
  return journal?.id === upgrade && ['switched', 'started', 'stopped'].includes(journal.step);
}

function readyFile(home: Home): string {
  return home.path('daemon.next');
}
