import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { until } from './until.ts';

const VARIABLE = 'NIIA_TEST_MARK';

export interface FoundProcess {
  pid: number;
  command: string;
}

/**
 * All processes that descend from one test, whatever group, session or parent they moved to: a mark in the
 * environment is inherited where a process group is not (shells in a PTY, daemons). Linux only.
 */
export class MarkedProcesses {
  private readonly mark = randomUUID();

  /** What the first process must have in its environment. */
  readonly env: Readonly<Record<string, string>> = { [VARIABLE]: this.mark };

  async list(): Promise<FoundProcess[]> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(pids.map((pid) => this.inspect(Number(pid))));
    return found.filter((process) => process !== undefined);
  }

  /**
   * Waits for all of them to be gone; those that are not are killed and named.
   * @throws {Error} that lists what was left after `graceMs`
   */
  async assertGone(graceMs: number): Promise<void> {
    const gone = async () => (await this.list()).length === 0;
    try {
      await until('the processes of a test to end', gone, { timeoutMs: graceMs });
    } catch (cause) {
      const left = await this.list();
      if (left.length === 0) return;
      for (const { pid } of left) kill(pid, 'SIGKILL');
      const names = left.map(({ pid, command }) => `  ${pid} ${command}`).join('\n');
      throw new Error(`left running after the test, now killed:\n${names}`, { cause });
    }
  }

  private async inspect(pid: number): Promise<FoundProcess | undefined> {
    try {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8');
      if (!environment.includes(`${VARIABLE}=${this.mark}`)) return undefined;
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      return { pid, command: command.replaceAll('\0', ' ').trim() };
    } catch (error) {
      // Ended while we looked, or another user's.
      if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return undefined;
      throw error;
    }
  }
}

/** Signals a process, or a group where `pid` is negative; one that is gone already is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
