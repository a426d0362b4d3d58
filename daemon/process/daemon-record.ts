import * as v from 'valibot';
import { writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { readJsonFile } from '../home/json-file.ts';

const daemonRecordSchema = v.object({
  pid: v.number(),
  /** What it runs from. Absent from records of versions that could not be upgraded. */
  entry: v.optional(v.string()),
  /** A service manager started it, and starts it again. */
  managed: v.optional(v.boolean(), false),
});
/** What a daemon tells of itself in `daemon.json` of its home while it runs; one that crashed leaves it behind. */
export type DaemonRecord = v.InferOutput<typeof daemonRecordSchema>;

export function daemonRecordFile(home: Home): string {
  return home.path('daemon.json');
}

/** The record of the daemon that runs, or that crashed; undefined where one stopped, or none ever ran. */
export function readDaemonRecord(home: Home): DaemonRecord | undefined {
  return readJsonFile(daemonRecordFile(home), daemonRecordSchema);
}

/** For people and programs the record holds more than this module reads. */
export function writeDaemonRecord(home: Home, record: DaemonRecord & Record<string, unknown>): void {
  writeAtomically(daemonRecordFile(home), `${JSON.stringify(record)}\n`);
}
