import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import type { Home } from '../home/home.ts';
import { lockHolder } from '../home/lock.ts';
import { tendUpgrade } from '../process/upgrade-journal.ts';
import type { ServiceManager } from '../service/manager.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { Deadline } from './deadline.ts';
import { pause } from './retry.ts';
import { runningDaemon } from './running-daemon.ts';

const pollMs = 20;
/** Asking the manager starts a process each time. */
const stateEveryMs = 250;
const startTimeoutMs = 60_000;

export interface ServiceStart {
  home: Home;
  daemon: DaemonClient;
  deadline: Deadline;
}

/** Starts the service of this home and waits until its daemon answers; undefined where none is installed or reachable. */
export async function startInstalledService(options: ServiceStart): Promise<DaemonStatus | undefined> {
  const { installedService } = await import('../service/service.ts');
  const service = installedService(options.home);
  // Whoever holds the lock is about to answer, service or not; and an upgrade that is under way comes to its end first.
  if (!service || lockHolder(options.home.path('daemon.lock')) !== undefined) return undefined;
  if (tendUpgrade(options.home) !== 'none') return undefined;
  try {
    await service.check();
  } catch (error) {
    // A shell that the manager does not serve (su, cron, a container): the machine is started all the same.
    if (error instanceof NiiaError) return undefined;
    throw error;
  }
  return await startService(service, options);
}

/** Rejects with what the daemon said where it ends instead. */
export async function startService(
  service: ServiceManager,
  { daemon, deadline }: Omit<ServiceStart, 'home'>,
): Promise<DaemonStatus> {
  await service.start();
  const startedAt = performance.now();
  let lookAt = startedAt + stateEveryMs;
  for (;;) {
    const status = await runningDaemon(daemon);
    if (status) return status;
    const now = performance.now();
    if (now > startedAt + startTimeoutMs) {
      throw new NiiaError('timeout', `the service ${service.name} runs but does not answer`, logHint(service));
    }
    if (now > lookAt) {
      lookAt = now + stateEveryMs;
      const { detail } = await service.state();
      if (/\b(failed|auto-restart|inactive)\b/.test(detail)) throw await whyItFailed(service, detail);
    }
    await pause(Math.min(pollMs, deadline.leftMs ?? pollMs));
  }
}

async function whyItFailed(service: ServiceManager, detail: string): Promise<NiiaError> {
  const lines = (await service.lastWords()).split('\n').reverse();
  const line = lines.find((one) => one.startsWith('niia: '))?.slice('niia: '.length) ?? detail;
  return new NiiaError('failed', `the service ${service.name} did not start: ${line}`, logHint(service));
}

function logHint(service: ServiceManager): string {
  return service.kind === 'systemd' ? `See: journalctl --user --unit ${service.name}` : 'See: niia service status';
}
