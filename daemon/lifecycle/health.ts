import type { DaemonStatus } from '../../shared/protocol/shapes.ts';
import type { Installation } from '../process/installation.ts';
import type { UpgradeJournal } from '../process/upgrade-journal.ts';

export type Baseline = NonNullable<UpgradeJournal['baseline']>;

/** What was there before an upgrade, by the old daemon's word. */
export function baselineOf(status: DaemonStatus, liveSessions: readonly string[]): Baseline {
  return {
    links: status.links.filter((link) => link.state === 'up').length,
    sessions: [...liveSessions],
    headless: status.headless.filter((server) => server.sessions > 0).map((server) => server.generation),
  };
}

/** What is still missing before the new daemon counts as well; undefined: nothing. Pure. */
export function whatIsMissing(status: DaemonStatus, to: Installation, baseline: Baseline): string | undefined {
  if (status.version !== to.version || status.build !== to.build) {
    return `the daemon that answers is niia ${status.version}, not ${to.version}`;
  }
  const lost = baseline.headless.find((one) => !status.headless.some(({ generation }) => generation === one));
  if (lost !== undefined) return `the headless server ${lost}, which has sessions, is not reached`;
  if (baseline.links > 0 && !status.links.some((link) => link.state === 'up')) {
    return 'no link to any machine of the team came back';
  }
  return undefined;
}
