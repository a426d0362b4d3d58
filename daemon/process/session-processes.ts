import { isErrno } from '../home/files.ts';
import type { ProcessEntry } from './process-table.ts';
import { hasVariables, processTable } from './process-table.ts';

/** Variables and their values that only processes of the session have together in their environment. */
export type Mark = Readonly<Record<string, string>>;

const lookAgainMs = 2;
/** A process that was killed is gone within this time, unless the system itself holds it. */
const killWithinMs = 5000;

export interface SessionProcessesOptions {
  /** The session's first process, where it is known. */
  root?: number;
  mark: Mark;
  table?: () => ProcessEntry[];
}

/**
 * The processes of one session of niia: its first one, whatever those in it started, and whatever has its mark. One that
 * left its terminal, its parents and its environment is found no more.
 */
export class SessionProcesses {
  readonly #o: SessionProcessesOptions;
  /** Sessions (setsid) and, where the system does not tell of those, process groups that its processes were seen in. */
  readonly #places = new Set<number>();
  /** Those that were seen with the mark: what they make of their environment later changes nothing. */
  readonly #marked = new Set<string>();

  constructor(options: SessionProcessesOptions) {
    this.#o = options;
  }

  /** Those that live now, each behind its parent. This process is never one of them. */
  find(): ProcessEntry[] {
    const table = (this.#o.table ?? processTable)();
    const self = table.find(({ pid }) => pid === process.pid);
    const found = new Map<number, ProcessEntry>();
    for (let grown = true; grown; ) {
      grown = false;
      for (const entry of table) {
        if (entry.pid === process.pid || found.has(entry.pid) || !this.#belongs(entry, found)) continue;
        found.set(entry.pid, entry);
        const place = placeOf(entry);
        if (!self || place !== placeOf(self)) this.#places.add(place);
        grown = true;
      }
    }
    return [...found.values()].sort((a, b) => depth(a, found) - depth(b, found));
  }

  /** Ends all of them, without a word; resolves when none is left. */
  async kill(): Promise<void> {
    const giveUpAt = performance.now() + killWithinMs;
    for (let left = this.find(); left.length > 0 && performance.now() < giveUpAt; left = this.find()) {
      for (const { pid } of left) signalProcess(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
    }
  }

  #belongs(entry: ProcessEntry, found: ReadonlyMap<number, ProcessEntry>): boolean {
    const { pid, start, parent } = entry;
    if (pid === this.#o.root || found.has(parent) || this.#places.has(placeOf(entry))) return true;
    const sign = `${pid} ${start}`;
    if (this.#marked.has(sign)) return true;
    if (!hasVariables(pid, this.#o.mark)) return false;
    this.#marked.add(sign);
    return true;
  }
}

function placeOf({ session, group }: ProcessEntry): number {
  return session || group;
}

function depth(entry: ProcessEntry, found: ReadonlyMap<number, ProcessEntry>): number {
  let steps = 0;
  for (let at = found.get(entry.parent); at && steps <= found.size; at = found.get(at.parent)) steps++;
  return steps;
}

/** False where there is no such process any more, or it may not be signalled. */
export function signalProcess(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH', 'EPERM')) return false;
    throw error;
  }
}
