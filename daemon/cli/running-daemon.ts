import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import type { DaemonClient } from './daemon-client.ts';

/** The status of this machine's daemon where it runs; undefined where none does. */
export async function runningDaemon(daemon: DaemonClient): Promise<DaemonStatus | undefined> {
  try {
    return await daemon.ask('daemon.status', {});
  } catch (error) {
    if (error instanceof NiiaError && error.code === 'daemon_not_running') return undefined;
    throw error;
  }
}
