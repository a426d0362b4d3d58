import { readdirSync, rmSync, statSync } from 'node:fs';
import type { Home } from '../home/home.ts';
import { headlessRecords, isHeadlessRunning } from '../process/headless-record.ts';

/** As long as ended sessions: somebody may ask what became of them. */
const keepLogsMs = 7 * 86_400_000;

/**
 * Removes what servers of other generations left that were killed, or that left long ago: their records, and their logs
 * a week after the last line. `own`: the generation whose server does so.
 */
export function forgetFormer(home: Home, own: string, now: number): void {
  for (const [path, { generation }] of headlessRecords(home)) {
    if (generation !== own && !isHeadlessRunning(home, generation)) rmSync(path, { force: true });
  }
  for (const name of readdirSync(home.root)) {
    const [, generation] = /^headless-([\w-]+)[.]log(?:[.]1)?$/.exec(name) ?? [];
    if (generation === undefined || generation === own || isHeadlessRunning(home, generation)) continue;
    const stat = statSync(home.path(name), { throwIfNoEntry: false });
    // The log of one that starts right now is there before its lock.
    if (stat && now - stat.mtimeMs > keepLogsMs) rmSync(home.path(name), { force: true });
  }
}
