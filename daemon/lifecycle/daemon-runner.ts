import { NiiaError } from '../../shared/errors.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import { isInBackground, spawnDaemon, whyItEnded } from '../process/daemon-start.ts';
import type { Installation } from '../process/installation.ts';
import type { ServiceManager } from '../service/manager.ts';
import { installedService } from '../service/service.ts';
import { daemonPid, stopDaemon } from './local-daemon.ts';

/** A daemon that does not end on SIGTERM is killed after this. */
const stopMs = 8_000;

/** Whether the system's service manager runs the daemon of this home now, and not somebody's `niia up`. */
export async function runByService(home: Home): Promise<boolean> {
  const service = installedService(home);
  if (!service) return false;
  const { running, pid } = await service.state();
  return running && pid !== null && pid === daemonPid(home);
}

/**
 * Throws `failed` where this daemon must not be stopped and started by an upgrade: neither niia nor its service started
 * it, so that nobody knows what ends with it. In a container that is everything.
 */
export async function mustBeOurs(home: Home, machine: string): Promise<void> {
  if (isInBackground() || (await runByService(home))) return;
  throw new NiiaError(
    'failed',
    `the daemon of ${machine} was not started by niia up or niia service, but by a container or a supervisor of its own: stopping it for an upgrade could end its sessions`,
    `Install the newer version where that one starts niia daemon from, and start it anew. Where no container ends with it, on ${machine}: niia down, then niia up or niia service install; sessions live on, and upgrades work from then on.`,
  );
}

/**
 * Stops and starts the daemon of a home as the one that runs it would: by its service, so that this goes on looking
 * after it, else by itself in the background.
 */
export class DaemonRunner {
  readonly #home: Home;
  readonly #service: ServiceManager | undefined;
  readonly #log: Log;

  constructor(home: Home, byService: boolean, log: Log) {
    this.#home = home;
    this.#service = byService ? installedService(home) : undefined;
    this.#log = log;
  }

  get byService(): boolean {
    return this.#service !== undefined;
  }

  /** `next`: a daemon that waits for the end of this one, or has not had to wait. */
  async stop(next?: number): Promise<void> {
    await this.#service
      ?.stop()
      .catch((error: unknown) => this.#log.warn('the service could not be stopped', { error }));
    await stopDaemon(this.#home, stopMs, next);
  }

  /** Starts what the pointer names, which is `installation`; its pid, where it is known. */
  async start(installation: Installation): Promise<number | undefined> {
    try {
      if (this.#service) {
        await this.#service.start();
        return undefined;
      }
    } catch (error) {
      this.#log.warn('the service could not be started; the daemon is started without it', { error });
    }
    return spawnDaemon(this.#home, installation);
  }

  /** Why the daemon does not run, by its log since it was `since` bytes long, or by the service's. */
  async whyItEnded(since: number): Promise<NiiaError> {
    if (!this.#service) return whyItEnded(this.#home, since);
    const lines = (await this.#service.lastWords()).split('\n').reverse();
    const line = lines.find((one) => one.startsWith('niia: ') || /^\w*Error: /.test(one)) ?? 'it ended without a word';
    return new NiiaError('failed', `the daemon did not start: ${line.replace(/^niia: /, '')}`);
  }
}
