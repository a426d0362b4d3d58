import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey } from '../../../shared/protocol/attempt-methods.ts';
import { isErrno, readIfThere, writeAtomically } from '../../home/files.ts';
import type { Home } from '../../home/home.ts';
import { parseJsonAs } from '../../home/json-file.ts';
import type { WorkerFile } from './record.ts';
import { fileNameOf, workerFileSchema } from './record.ts';

/** What is kept of runs that nothing was heard of for so long goes away. */
const keptForMs = 30 * 24 * 3_600_000;

type Which = Pick<AttemptKey, 'run' | 'worker'>;

/** The files of this machine's attempts: `home/attempts/RUN/WORKER.json`, and what belongs to them. */
export class AttemptStore {
  readonly #home: Home;

  constructor(home: Home) {
    this.#home = home;
  }

  /** Those of all runs. One that is damaged is told to `damaged`. */
  all(damaged: (path: string) => void): WorkerFile[] {
    return this.#runs().flatMap((run) => {
      const folder = this.#home.path('attempts', run);
      return readdirSync(folder).flatMap((name) => {
        if (!name.endsWith('.json')) return [];
        const file = parseJsonAs(readFileSync(join(folder, name), 'utf8'), workerFileSchema);
        if (!file) damaged(join(folder, name));
        return file ? [file] : [];
      });
    });
  }

  /** Undefined where this machine has heard nothing of the worker. Throws `failed` where its file is damaged: an epoch must not be taken twice. */
  read(which: Which): WorkerFile | undefined {
    const path = this.#path(which, '.json');
    const text = readIfThere(path);
    if (text === undefined) return undefined;
    const file = parseJsonAs(text, workerFileSchema);
    if (file) return file;
    throw new NiiaError(
      'failed',
      `${path} cannot be understood`,
      'Mend it, or remove it once nothing of the run goes on.',
    );
  }

  /** On disk when it returns. */
  write(file: WorkerFile): void {
    durably(this.#path(file, '.json'), JSON.stringify(file, null, 1));
  }

  /** `prompt` or `output` of an attempt. */
  writePart(key: AttemptKey, part: 'prompt' | 'output', bytes: Uint8Array): void {
    durably(this.#part(key, part), bytes);
  }

  readPart(key: AttemptKey, part: 'prompt' | 'output'): Buffer {
    return readFileSync(this.#part(key, part));
  }

  dropParts(key: AttemptKey): void {
    for (const part of ['prompt', 'output'] as const) rmSync(this.#part(key, part), { force: true });
  }

  /** A folder of the run's on this machine, made where it is missing. */
  folder(run: string, name: 'scratchpad' | 'work'): string {
    return this.#home.folder('attempts', run, name);
  }

  /** Clears away what is old, of runs that have no attempt any more that goes on. */
  clear(now: number, live: (run: string) => boolean): void {
    for (const run of this.#runs()) {
      const folder = this.#home.path('attempts', run);
      const newest = Math.max(...[folder, ...readdirSync(folder).map((name) => join(folder, name))].map(changedAt));
      if (!live(run) && now - newest > keptForMs) rmSync(folder, { recursive: true, force: true });
    }
  }

  #runs(): string[] {
    const root = this.#home.path('attempts');
    return existsSync(root) ? readdirSync(root).filter((run) => statSync(join(root, run)).isDirectory()) : [];
  }

  #part({ run, worker, epoch }: AttemptKey, part: string): string {
    return this.#path({ run, worker }, `.${epoch}.${part}`);
  }

  #path({ run, worker }: Which, ending: string): string {
    return join(this.#home.folder('attempts', run), `${fileNameOf(worker)}${ending}`);
  }
}

function changedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** As `writeAtomically`, and the name is on disk too. */
function durably(path: string, content: string | Uint8Array): void {
  writeAtomically(path, content);
  if (process.platform === 'win32') return;
  let folder: number | undefined;
  try {
    folder = openSync(dirname(path), 'r');
    fsyncSync(folder);
  } catch (error) {
    // Some file systems have no such thing.
    if (!isErrno(error, 'EINVAL', 'ENOTSUP', 'EBADF')) throw error;
  } finally {
    if (folder !== undefined) closeSync(folder);
  }
}
