import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Home } from '../home/home.ts';

/** What is kept of runs that are over. */
const kept = { runs: 100, ageMs: 30 * 86_400_000 };
const overFile = 'over';

/** Where runs are kept on this machine: `home/runs/RUN`. */
export class RunFolders {
  readonly #home: Home;

  constructor(home: Home) {
    this.#home = home;
  }

  /** The folder of a run, made where it is missing. */
  of(run: string): string {
    return this.#home.folder('runs', run);
  }

  list(): string[] {
    return readdirSync(this.#home.folder('runs'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  }

  /** Whether nothing is left to do for the run on this machine. */
  isOver(run: string): boolean {
    return existsSync(join(this.of(run), overFile));
  }

  markOver(run: string): void {
    if (!this.isOver(run)) writeFileSync(join(this.of(run), overFile), '', { mode: 0o600 });
  }

  remove(run: string): void {
    rmSync(this.of(run), { recursive: true, force: true });
  }

  /** Removes runs that were over long ago, and the oldest of too many. */
  clearOld(now = Date.now()): void {
    const over = this.list()
      .flatMap((run) => {
        const stats = statSync(join(this.of(run), overFile), { throwIfNoEntry: false });
        return stats ? [{ run, at: stats.mtimeMs }] : [];
      })
      .sort((a, b) => b.at - a.at);
    for (const [index, { run, at }] of over.entries()) {
      if (index >= kept.runs || at < now - kept.ageMs) this.remove(run);
    }
  }
}
