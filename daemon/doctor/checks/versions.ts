import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';
import { version } from '../../home/version.ts';
import type { Check, Finding } from '../check.ts';
import { pass, skip, warn } from '../check.ts';

export interface VersionFacts {
  cli: string;
  status: Pick<DaemonStatus, 'version' | 'headless'> | undefined;
}

export function judgeVersions({ cli, status }: VersionFacts): Finding {
  if (!status) return skip(`niia ${cli}; no daemon to compare it with`);
  if (status.version !== cli) {
    return warn(
      `this command is niia ${cli}, the daemon ${status.version}`,
      'niia down && niia up    (sessions live on)',
    );
  }
  const older = status.headless.filter((server) => server.version !== cli);
  if (older.length === 0) return pass(`niia ${cli}, its daemon and its headless server alike`);
  const list = older.map((server) => `${server.version} with ${server.sessions} sessions`).join(', ');
  return pass(`niia ${cli}; headless servers of other versions (${list}) leave with their last session`);
}

export const checkVersions: Check = async ({ daemon }) =>
  judgeVersions({ cli: version, status: (await daemon()).status });
