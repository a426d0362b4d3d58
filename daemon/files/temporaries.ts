import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { isErrno } from '../home/files.ts';
import { processStart } from '../home/process-identity.ts';
import type { Folder } from './folder.ts';

/** How everything begins that a copy writes beside its place. */
export const prefix = '.niia-cp-';
const form = /^\.niia-cp-([0-9a-f]{8})-(\d+)-([0-9a-f]{8})-[0-9a-f]{16}\.tmp$/;

/**
 * Names of what is written beside its place and has its own name as soon as it is whole. They tell the home and the
 * process that write it, so that those of a process that was killed can be removed, and nobody else's.
 */
export class Temporaries {
  readonly #home: string;
  readonly #process: string;

  /** `locks`: a folder of the home, which tells it from others, also those at the same path in another container. */
  constructor(locks: string) {
    mkdirSync(locks, { recursive: true, mode: 0o700 });
    this.#home = short(`${locks}:${statSync(locks).ino}`);
    this.#process = processName(process.pid) ?? '';
  }

  /** One that nobody has. */
  next(): Buffer {
    return Buffer.from(`${prefix}${this.#home}-${this.#process}-${randomBytes(8).toString('hex')}.tmp`);
  }

  /** Removes those that killed processes of this home left in a folder; what cannot be removed is left there. */
  async removeStale(folder: Folder): Promise<void> {
    for (const name of await readdir(folder.child(Buffer.from('.')), { encoding: 'buffer' })) {
      if (!this.#isStale(name.toString('latin1'))) continue;
      await rm(folder.child(name), { force: true }).catch((error: unknown) => {
        if (!isErrno(error)) throw error;
      });
    }
  }

  #isStale(name: string): boolean {
    const [, home, pid, start] = form.exec(name) ?? [];
    return home === this.#home && processName(Number(pid)) !== `${pid}-${start}`;
  }
}

/** Undefined where there is no such process. */
function processName(pid: number): string | undefined {
  const start = processStart(pid);
  return start === undefined ? undefined : `${pid}-${short(start)}`;
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
