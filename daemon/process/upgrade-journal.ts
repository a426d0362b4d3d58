import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { readJsonFile } from '../home/json-file.ts';
import { processStart } from '../home/process-identity.ts';
import { installationSchema, thisInstallation } from './installation.ts';
import { spawnDetached } from './spawn.ts';
import { supervisorPid } from './upgrade-lock.ts';

/** What has been done of an upgrade, in this order; the last two are its ends, and `rolling_back` may follow any. */
export const upgradeSteps = [
  'prepared',
  'switched',
  'started',
  'stopped',
  'rolling_back',
  'upgraded',
  'rolled_back',
] as const;
export type UpgradeStep = (typeof upgradeSteps)[number];

const journalSchema = v.object({
  id: v.string(),
  by: v.object({ id: v.string(), name: v.string() }),
  startedAt: v.string(),
  finishedAt: v.nullable(v.string()),
  from: installationSchema,
  to: installationSchema,
  step: v.picklist(upgradeSteps),
  /** How many supervisors have worked on it. */
  attempts: v.number(),
  /** What was there before, and has to be there after. */
  baseline: v.nullable(v.object({ links: v.number(), sessions: v.array(v.string()), headless: v.array(v.string()) })),
  /** A service manager runs the daemon, and is to run the next one. */
  byService: v.optional(v.boolean(), false),
  /** When the old daemon was told to stop; milliseconds since 1970. */
  stoppedAt: v.nullable(v.number()),
  daemonDownMs: v.nullable(v.number()),
  sessionsKept: v.nullable(v.number()),
  reason: v.nullable(v.string()),
});
/** The upgrade under way, or the last one: `upgrade.json` in the home. */
export type UpgradeJournal = v.InferOutput<typeof journalSchema>;

export function isFinished({ step }: UpgradeJournal): boolean {
  return step === 'upgraded' || step === 'rolled_back';
}

/** Undefined where there was never an upgrade. A journal that is damaged counts as none: it is written as a whole. */
export function readUpgrade(home: Home): UpgradeJournal | undefined {
  return readJsonFile(journalFile(home), journalSchema);
}

export function writeUpgrade(home: Home, journal: UpgradeJournal): void {
  writeAtomically(journalFile(home), `${JSON.stringify(journal, null, 2)}\n`);
}

/**
 * Sees to it that an upgrade that is under way comes to its end: one whose supervisor was killed gets another, from the
 * code that ran before the upgrade. For everybody who starts a daemon, and for daemons themselves. `none`: nothing is
 * under way; else whoever asks leaves the daemon to the supervisor, and asks again later.
 */
export function tendUpgrade(home: Home): 'none' | 'tended' | 'started' {
  const journal = readUpgrade(home);
  if (!journal || isFinished(journal)) return 'none';
  if (supervisorPid(home) !== undefined) return 'tended';
  // On a busy computer it takes its time to have the lock: another one would only take more of it.
  if (lastStarted?.started !== undefined && processStart(lastStarted.pid) === lastStarted.started) return 'tended';
  startSupervisor(home, journal);
  return 'started';
}

/** The supervisor that this process started last. */
let lastStarted: { pid: number; started: string | undefined } | undefined;

/** Starts the supervisor in the background; where another works already, it leaves at once. */
export function startSupervisor(home: Home, { from }: UpgradeJournal): number {
  const entry = existsSync(from.entry) ? from.entry : thisInstallation.entry;
  const env = { ...process.env, NIIA_HOME: home.root };
  const pid = spawnDetached(['upgrade-supervisor'], home.path('upgrade.log'), env, entry);
  lastStarted = { pid, started: processStart(pid) };
  return pid;
}

function journalFile(home: Home): string {
  return home.path('upgrade.json');
}
