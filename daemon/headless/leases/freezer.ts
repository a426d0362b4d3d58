import type { ProcessEntry } from '../../process/process-table.ts';
import type { SessionProcesses } from '../../process/session-processes.ts';
import { signalProcess } from '../../process/session-processes.ts';
import type { SessionCgroup } from './cgroup.ts';

/** Between two looks while some of its processes still run: they may start others. */
const lookAgainMs = 2;

export interface FreezerOptions {
  processes: Pick<SessionProcesses, 'find' | 'kill'>;
  /** The cgroup that the session was started in, where it could be. */
  cgroup?: SessionCgroup | undefined;
}

/**
 * Stops all processes of a session and lets them go on: by the cgroup freezer where the session has a cgroup of its own,
 * and by SIGSTOP and SIGCONT for whatever is outside of it.
 */
export class Freezer {
  readonly #o: FreezerOptions;
  /** Those that this has stopped. A process that others stopped before stays stopped afterwards. */
  readonly #stopped = new Set<string>();
  #frozen = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FreezerOptions) {
    this.#o = options;
  }

  /** Stops what runs now, at once, and looks again until nothing runs. */
  freeze(): void {
    this.#frozen = true;
    this.#o.cgroup?.freeze(true);
    this.look();
  }

  /** Stops what runs all the same: somebody outside may have let it go on. */
  look(): void {
    clearTimeout(this.#timer);
    if (!this.#frozen || this.#stop()) return;
    this.#timer = setTimeout(() => this.look(), lookAgainMs);
    this.#timer.unref();
  }

  /** Lets them go on, each before its parent: a shell must not see its command stopped. */
  thaw(): void {
    this.#frozen = false;
    clearTimeout(this.#timer);
    for (const entry of this.#o.processes.find().reverse()) {
      if (this.#stopped.has(signOf(entry))) signalProcess(entry.pid, 'SIGCONT');
    }
    this.#stopped.clear();
    this.#o.cgroup?.freeze(false);
  }

  /** Nothing is to be frozen any more; what still runs goes on. */
  close(): void {
    this.#o.cgroup?.removeIfEmpty();
  }

  /** Ends all of them, frozen or not, without a word; resolves when none is left. */
  async kill(): Promise<void> {
    this.#frozen = false;
    clearTimeout(this.#timer);
    this.#o.cgroup?.kill();
    await this.#o.processes.kill();
    await this.#o.cgroup?.remove();
  }

  /** True where all of them are stopped. */
  #stop(): boolean {
    let still = true;
    // Parents first: a shell must not see its command stopped.
    for (const entry of this.#o.processes.find()) {
      const stopped = entry.state === 'T' || entry.state === 't';
      if (stopped || this.#o.cgroup?.has(entry.pid)) continue;
      still = false;
      if (signalProcess(entry.pid, 'SIGSTOP')) this.#stopped.add(signOf(entry));
    }
    return still;
  }
}

function signOf({ pid, start }: ProcessEntry): string {
  return `${pid} ${start}`;
}
