import type { Readable } from 'node:stream';
import * as v from 'valibot';
import type { ScratchFile } from '../../../shared/protocol/run-methods.ts';
import { writeAtomically } from '../../home/files.ts';
import { readJsonFile } from '../../home/json-file.ts';
import type { Log } from '../../home/log.ts';
import { ScratchFolder } from '../scratch-folder.ts';

/** The run's scratchpad where all of its machines find it. */
export interface ScratchpadRemote {
  list(): Promise<ScratchFile[]>;
  /** The file's bytes. */
  get(path: string): Promise<Readable>;
  /** `bytes` gives them when somebody takes them, and anew for whoever is asked next. */
  put(file: ScratchFile, bytes: () => Promise<Readable>): Promise<void>;
}

export interface ScratchpadOptions {
  folder: string;
  /** A file that keeps what both sides had when they were last the same. */
  index: string;
  log: Log;
}

const indexSchema = v.record(v.string(), v.string());

/**
 * Keeps a folder in step with the run's scratchpad, file by file: the last to write one wins. What is removed on one side
 * comes back from the other.
 */
export class Scratchpad {
  readonly #folder: ScratchFolder;
  readonly #index: string;
  /** One at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ folder, index, log }: ScratchpadOptions) {
    this.#folder = new ScratchFolder(folder, log);
    this.#index = index;
  }

  /** Brings what others wrote, except over what was written here since. */
  async pull(remote: ScratchpadRemote, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(async () => {
      const [there, here, base] = [await remote.list(), await this.#here(), this.#base()];
      for (const file of there) {
        signal?.throwIfAborted();
        const own = here.get(file.path);
        const changedHere = own !== undefined && own.sha256 !== base[file.path];
        if (own?.sha256 !== file.sha256 && !changedHere) await this.#folder.write(file, () => remote.get(file.path));
        if (own?.sha256 === file.sha256 || !changedHere) base[file.path] = file.sha256;
      }
      this.#keep(base);
    });
  }

  /** Sends what was written here. */
  async push(remote: ScratchpadRemote, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(async () => {
      const [here, base] = [await this.#here(), this.#base()];
      for (const file of here.values()) {
        signal?.throwIfAborted();
        if (base[file.path] === file.sha256) continue;
        await remote.put(file, () => this.#folder.read(file.path));
        base[file.path] = file.sha256;
        this.#keep(base);
      }
    });
  }

  async #here(): Promise<Map<string, ScratchFile>> {
    return new Map((await this.#folder.list()).map((file) => [file.path, file]));
  }

  #base(): Record<string, string> {
    return { ...readJsonFile(this.#index, indexSchema) };
  }

  #keep(base: Record<string, string>): void {
    writeAtomically(this.#index, JSON.stringify(base));
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.catch(() => undefined).then(work);
    this.#turn = turn;
    await turn;
  }
}
