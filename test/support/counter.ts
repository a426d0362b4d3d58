import { expect } from 'vitest';
import type { TestMachine } from './machine.ts';

/** Sessions that count, a line each tick: what is missing from a log, or a count that began anew, shows. */
export class Counters {
  readonly #machine: TestMachine;
  readonly #names: string[] = [];
  readonly #pids = new Map<string, number>();

  constructor(machine: TestMachine) {
    this.#machine = machine;
  }

  async start(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const name = `counter-${this.#names.length}`;
      const script = 'i=0; while :; do echo "$i"; i=$((i+1)); sleep 0.1; done';
      const { pid } = await this.#machine.json<{ pid: number }>('new', '--name', name, '--', 'bash', '-c', script);
      this.#names.push(name);
      this.#pids.set(name, pid);
    }
  }

  /** Every session runs under the same pid, has gone on since, and no tick is missing from its log. */
  async check(): Promise<void> {
    const { sessions } = await this.#machine.json<{ sessions: { name: string; pid: number; state: string }[] }>('list');
    for (const name of this.#names) {
      const session = sessions.find((one) => one.name === name);
      expect(session).toMatchObject({ pid: this.#pids.get(name) });
      expect(session?.state).not.toBe('exited');
      const before = (await this.#ticks(name)).length;
      expect(before).toBeGreaterThan(0);
      await expect.poll(async () => (await this.#ticks(name)).length, { timeout: 20_000 }).toBeGreaterThan(before + 2);
    }
  }

  async #ticks(name: string): Promise<string[]> {
    const output = await this.#machine.ok('read', '--session', name, '--raw');
    const lines = output.split('\r\n').slice(0, -1);
    expect(lines).toEqual(lines.map((_, index) => String(index)));
    return lines;
  }
}
