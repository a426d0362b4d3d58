import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../home/files.ts';
import { Log } from '../../home/log.ts';
import { cgroupOf, ownCgroup, sessionCgroup } from '../../process/cgroups.ts';

/** A cgroup is empty a moment after its last process has ended. */
const removeWithinMs = 1000;
const lookAgainMs = 5;

const log = new Log('leases');

/** A cgroup (v2) of one session: what the session starts is in it, however it hides. */
export class SessionCgroup {
  readonly #folder: string;
  /** As `/proc/PID/cgroup` names it. */
  readonly #path: string;

  private constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#path = path;
  }

  /**
   * Makes one below this process's own, for a session of the home with this hash. Undefined where this system has none,
   * or where this user may not: it is decided by making it.
   */
  static make(homeHash: string, session: string): SessionCgroup | undefined {
    const own = ownCgroup();
    if (!own) return undefined;
    const name = `${sessionCgroup}${homeHash}-${session}`;
    const folder = join(own.folder, name);
    try {
      mkdirSync(folder);
      const cgroup = new SessionCgroup(folder, join(own.path, name));
      writeFileSync(join(folder, 'cgroup.freeze'), '0');
      return cgroup;
    } catch (error) {
      if (!isErrno(error)) throw error;
      log.debug('a session has no cgroup of its own; signals stop it', { folder, error });
      removeIfEmpty(folder);
      return undefined;
    }
  }

  /** A command that runs `file` inside of it: what that starts is inside from its beginning. Where it cannot get in, it runs all the same. */
  inside<C extends { file: string; args: readonly string[] }>(command: C): C {
    const procs = join(this.#folder, 'cgroup.procs');
    const script = 'echo $$ 2>/dev/null >"$0"; exec "$@"';
    return { ...command, file: '/bin/sh', args: ['-c', script, procs, command.file, ...command.args] };
  }

  has(pid: number): boolean {
    return cgroupOf(pid) === this.#path;
  }

  freeze(on: boolean): void {
    this.#write('cgroup.freeze', on ? '1' : '0');
  }

  kill(): void {
    // Since Linux 5.14; whoever ends a session kills its processes one by one as well.
    this.#write('cgroup.kill', '1');
  }

  removeIfEmpty(): boolean {
    return removeIfEmpty(this.#folder);
  }

  async remove(): Promise<void> {
    const giveUpAt = performance.now() + removeWithinMs;
    while (!this.removeIfEmpty() && performance.now() < giveUpAt) {
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
    }
  }

  #write(file: string, content: string): void {
    try {
      writeFileSync(join(this.#folder, file), content);
    } catch (error) {
      if (!isErrno(error)) throw error;
      log.debug('a cgroup does not do as it is told', { folder: this.#folder, file, error });
    }
  }
}

/** Removes what servers of a home left that are no more: cgroups without a process. */
export function removeEmptyCgroups(homeHash: string): void {
  const own = ownCgroup();
  if (!own) return;
  const prefix = `${sessionCgroup}${homeHash}-`;
  for (const name of readdirSync(own.folder)) if (name.startsWith(prefix)) removeIfEmpty(join(own.folder, name));
}

/** True where it is gone. */
function removeIfEmpty(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true;
    if (isErrno(error)) return false;
    throw error;
  }
}
