import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { kill } from './marked-processes.ts';
import { repository } from './package.ts';
import { until } from './until.ts';

export interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

/** A machine as its user runs it: a home of its own and the `niia` command. */
export class Machine {
  private constructor(
    readonly name: string,
    readonly home: string,
  ) {}

  /** A home that no daemon has used yet. Short, because sockets go into it. */
  static async fresh(name: string): Promise<Machine> {
    return new Machine(name, await mkdtemp(path.join(os.tmpdir(), 'niia-m-')));
  }

  static async started(name: string): Promise<Machine> {
    const machine = await Machine.fresh(name);
    await machine.niia('up');
    return machine;
  }

  /** Runs the command to its end. @throws {Error} where its exit code is not 0 */
  async niia(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(...args);
    if (code !== 0) throw new Error(`${this.name}: niia ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  async attempt(...args: string[]): Promise<Said> {
    const entry = path.join(repository, 'dist/niia.js');
    const env = { ...process.env, NIIA_HOME: this.home, NIIA_MACHINE_NAME: this.name, SHELL: '/bin/bash', PS1: '$ ' };
    return await new Promise((resolve) => {
      execFile(process.execPath, [entry, ...args], { env, cwd: this.home }, (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
      );
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  async json(...args: string[]): Promise<any> {
    return JSON.parse(await this.niia(...args, '--json'));
  }

  /** Makes the other one a member of this one's team, and waits until each sees the other. */
  async admit(other: Machine, role = 'admin'): Promise<void> {
    const { code } = await this.json('invite', '--role', role);
    await other.niia('join', code);
    await Promise.all([this.sees(other), other.sees(this)]);
  }

  async sees(other: Machine): Promise<void> {
    const look = async () => {
      const { machines } = await this.json('remote', 'status', 'list');
      return machines.some((one: { name: string; online: boolean }) => one.name === other.name && one.online);
    };
    await until(`${this.name} to see ${other.name}`, look, { everyMs: 100 });
  }

  /** As a crash would: no chance to say goodbye. Nobody brings it back. */
  async killDaemon(): Promise<void> {
    await this.niia('config', 'set', 'guard', 'off');
    const { pid } = await this.json('status');
    kill(pid, 'SIGKILL');
    await until(`the daemon ${pid} to be gone`, async () => (await this.attempt('status')).code !== 0);
  }

  /** Ends everything of this machine and removes its home. */
  async dispose(): Promise<void> {
    await this.attempt('down', '--sessions');
    await rm(this.home, { recursive: true, force: true });
  }
}

/** For a window of this machine's user. A plain shell, because the editor runs it as a login shell at its start. */
export function windowEnvironment(machine: Machine): Record<string, string> {
  return { NIIA_HOME: machine.home, NIIA_MACHINE_NAME: machine.name, SHELL: '/bin/sh', PS1: '$ ' };
}

/** Runs a test with these machines and ends them in any case. */
export async function withMachines(machines: readonly Machine[], test: () => Promise<void>): Promise<void> {
  try {
    await test();
  } finally {
    await Promise.all(machines.map((machine) => machine.dispose()));
  }
}
