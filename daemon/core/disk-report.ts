import type { DaemonStatus, SessionInfo } from '../../shared/protocol/shapes.ts';
import type { Config } from '../home/config.ts';
import { diskUse } from '../home/disk-use.ts';
import type { Home } from '../home/home.ts';
import { sizeText } from '../home/size.ts';

/** With less than this free, what is to be kept may not be. */
const scarceBytes = 64 << 20;

/** What the home takes on its disk, and what a person should know about that. */
export async function diskReport(
  home: Home,
  { disk, keepSessions }: Config,
  sessions: readonly SessionInfo[],
): Promise<NonNullable<DaemonStatus['disk']>> {
  const use = await diskUse(home);
  const suffering = sessions.filter(({ logError }) => logError !== null);
  const warnings = suffering.map(
    ({ id, logError }) =>
      `output of ${id} is not kept on disk at the moment, only its last 8 MB in memory: ${logError}`,
  );
  if (use.free < scarceBytes) {
    warnings.push(`the disk has ${sizeText(use.free)} left; sessions go on, and old output is given up first`);
  }
  return { ...use, cap: disk, capSessions: keepSessions, warnings };
}
