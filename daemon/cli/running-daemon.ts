import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import type { DaemonClient } from './daemon-client.ts';
import { broke, Pauses } from './retry.ts';

/** A daemon that is asked while it ends breaks the connection; one that does so for longer is not well. */
const endsWithinMs = 5_000;

/** The status of this machine's daemon where it runs; undefined where none does. */
export async function runningDaemon(
  daemon: DaemonClient,
  patienceMs: number = endsWithinMs,
): Promise<DaemonStatus | undefined> {
  const until = performance.now() + patienceMs;
  const pauses = new Pauses();
  for (;;) {
    try {
      return await daemon.ask('daemon.status', {});
    } catch (cause) {
      const error = NiiaError.from(cause);
      if (error.code === 'daemon_not_running') return undefined;
      if (!broke(error) || performance.now() > until) throw error;
      await pauses.wait();
    }
  }
}
