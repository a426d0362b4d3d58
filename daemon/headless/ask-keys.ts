import { createHash } from 'node:crypto';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { Log } from '../home/log.ts';

/** Keys remembered. A repeat comes within minutes; this is days of them, in empty files. */
const remembered = 16_384;
const lookEvery = 256;

const log = new Log('asks');

/**
 * The keys of commands that were started, so that none is ever started twice: an empty file each, which is on disk
 * before the command starts and which only one of any number of servers of this home can make.
 */
export class AskKeys {
  readonly #folder: string;
  #claimed = 0;

  constructor(home: Home) {
    this.#folder = home.folder('asks');
  }

  /** Whether the key was never used before; from now on it was. */
  async claim(key: string): Promise<boolean> {
    const path = join(this.#folder, createHash('sha256').update(key).digest('hex').slice(0, 40));
    try {
      const file = await open(path, 'wx', 0o600);
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      await syncFolder(this.#folder);
    } catch (error) {
      if (isErrno(error, 'EEXIST')) return false;
      // A full disk must not keep its owner from the command that empties it; and an asker that has seen it start says so.
      log.warn('the key of a command could not be kept: a crash of this server as it starts could run it twice', {
        error,
      });
    }
    if (this.#claimed++ % lookEvery === 0) await this.#forgetOld();
    return true;
  }

  async #forgetOld(): Promise<void> {
    try {
      const names = await readdir(this.#folder);
      if (names.length <= remembered) return;
      const ages = await Promise.all(
        names.map(async (name) => ({ name, at: (await stat(join(this.#folder, name))).mtimeMs })),
      );
      ages.sort((a, b) => a.at - b.at);
      for (const { name } of ages.slice(0, names.length - remembered))
        await rm(join(this.#folder, name), { force: true });
    } catch (error) {
      log.warn('old keys of commands could not be removed', { error });
    }
  }
}

/** Makes the names in a folder as durable as the files; where the system cannot, it has its own ways. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
