import { readdirSync } from 'node:fs';
import * as v from 'valibot';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { readJsonFile } from '../home/json-file.ts';
import { lockHolder } from '../home/lock.ts';

const headlessRecordSchema = v.object({ generation: v.string(), pid: v.number() });
/** What a headless server leaves in `headless/GENERATION.json` while it runs; one that was killed leaves it behind. */
export type HeadlessRecord = v.InferOutput<typeof headlessRecordSchema>;

/** Where the headless server of this generation puts its lock. */
export function headlessLock(home: Home, generation: string): string {
  return home.path('headless', `${generation}.lock`);
}

/** Whether a headless server of this generation runs; a process that has got the id of one that was killed is none. */
export function isHeadlessRunning(home: Home, generation: string): boolean {
  return lockHolder(headlessLock(home, generation)) !== undefined;
}

/** The records that are there, by their files. One that is torn belongs to nobody. */
export function headlessRecords(home: Home): Map<string, HeadlessRecord> {
  let names: string[];
  try {
    names = readdirSync(home.path('headless'));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return new Map();
    throw error;
  }
  const records = new Map<string, HeadlessRecord>();
  for (const name of names.filter((one) => one.endsWith('.json'))) {
    const path = home.path('headless', name);
    const record = readJsonFile(path, headlessRecordSchema);
    if (record) records.set(path, record);
  }
  return records;
}
