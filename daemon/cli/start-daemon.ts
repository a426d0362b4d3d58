import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import { processStart } from '../home/process-identity.ts';
import { daemonLog, logEnd, spawnDaemon, whyItEnded } from '../process/daemon-start.ts';
import { installationToStart } from '../process/installation.ts';
import { tendUpgrade } from '../process/upgrade-journal.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { Deadline } from './deadline.ts';
import { pause } from './retry.ts';
import { runningDaemon } from './running-daemon.ts';
import { startInstalledService } from './start-service.ts';

/** Between looks at a daemon that starts or stops: short beside the start of a process. */
const pollMs = 10;
/** A start that takes longer has gone wrong somewhere. */
const startTimeoutMs = 60_000;
const supervisorStartMs = 500;
/** An upgrade is decided, one way or the other, within this time. */
const upgradeMs = 180_000;

export interface StartOptions {
  home: Home;
  daemon: DaemonClient;
  deadline: Deadline;
  /** Words after `niia daemon`. */
  flags: readonly string[];
}

/**
 * Starts the daemon, by its service where one is installed and no flags are given, else in the background, and waits
 * until it answers. Rejects with the reason that its log gives.
 */
export async function startDaemon(options: StartOptions): Promise<DaemonStatus> {
  options.home.prepare();
  const byService = options.flags.length === 0 ? await startInstalledService(options) : undefined;
  return byService ?? (await startInBackground(options));
}

/** Starts the daemon in the background and waits until it answers. Rejects with the reason that its log gives. */
export async function startInBackground({ home, daemon, deadline, flags }: StartOptions): Promise<DaemonStatus> {
  await upgradeDecided(home, deadline);
  const before = logEnd(home);
  const giveUpAt = performance.now() + startTimeoutMs;
  // Another `niia up` may have been quicker: its daemon holds the lock and will answer soon.
  let pid = lockHolder(home.path('daemon.lock')) ?? spawnDaemon(home, installationToStart(home, 'user'), flags);
  for (;;) {
    const status = await runningDaemon(daemon);
    if (status) return status;
    if (processStart(pid) === undefined) {
      const other = lockHolder(home.path('daemon.lock'));
      if (other === undefined) throw whyItEnded(home, before);
      pid = other;
    }
    if (performance.now() > giveUpAt) {
      throw new NiiaError('timeout', `the daemon (pid ${pid}) runs but does not answer`, `See ${daemonLog(home)}`);
    }
    await pause(Math.min(pollMs, deadline.leftMs ?? pollMs));
  }
}

/** An upgrade that is under way, or was interrupted, comes to its end first, which leaves a daemon running. */
export async function upgradeDecided(home: Home, deadline: Deadline): Promise<void> {
  const giveUpAt = performance.now() + upgradeMs;
  for (let state = tendUpgrade(home); state !== 'none'; state = tendUpgrade(home)) {
    if (performance.now() > giveUpAt) {
      throw new NiiaError('timeout', 'an upgrade that was under way does not end', `See ${home.path('upgrade.log')}`);
    }
    // One that has just been started needs a moment to take its lock.
    const wait = state === 'started' ? supervisorStartMs : pollMs;
    await pause(Math.min(wait, deadline.leftMs ?? wait));
  }
}

/** Resolves when no process `pid` is left. */
export async function processGone(pid: number, deadline: Deadline): Promise<void> {
  while (processStart(pid) !== undefined) await pause(Math.min(pollMs, deadline.leftMs ?? pollMs));
}
