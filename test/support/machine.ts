import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The built entry point, and the Node that runs it (the long tier runs everything on a newer one as well). */
export const entry = resolve(process.env['NIIA_TEST_ENTRY'] || 'dist/niia.js');
export const node = process.env['NIIA_TEST_NODE'] || process.execPath;

export interface Outcome {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

export interface RunOptions {
  input?: Uint8Array | string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Ends the command when it takes longer, and fails. */
  timeoutMs?: number;
}

/** One machine of a test: a home of its own, driven through the command line as a user would. */
export class TestMachine {
  readonly name: string;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  /** Words before every command, such as those that run it in another network namespace. */
  prefix: readonly string[] = [];
  /** The installation whose commands it runs. */
  entry = entry;

  constructor(name: string, home: string) {
    this.name = name;
    this.home = home;
    const { NIIA_SESSION: _, NIIA_LOG: __, ...outer } = process.env;
    const ours = { NIIA_HOME: home, NIIA_MACHINE_NAME: name, SHELL: '/bin/bash', PS1: '$ ', NO_COLOR: '1' };
    // Its shells do not read the profile of whoever runs the tests.
    this.env = { ...outer, HOME: home, ...ours };
  }

  spawn(args: readonly string[], options: RunOptions = {}): ChildProcess {
    const [program = node, ...words] = [...this.prefix, node, this.entry, ...args];
    return spawn(program, words, {
      env: { ...this.env, ...options.env },
      cwd: options.cwd ?? this.home,
      stdio: 'pipe',
    });
  }

  /** Runs a command to its end, whatever that is. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const child = this.spawn(args, options);
    const out: Buffer[] = [];
    let stderr = '';
    child.stdout?.on('data', (part: Buffer) => out.push(part));
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      stderr += part;
    });
    // A command may end before it has read its input.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
    const limit = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
    const [code, signal] = await once(child, 'close');
    clearTimeout(limit);
    if (signal === 'SIGKILL')
      throw new Error(`niia ${args.join(' ')} on ${this.name} took too long; stderr: ${stderr}`);
    return { code, stdout: Buffer.concat(out), stderr };
  }

  /** Runs a command that must succeed; its standard output, trimmed. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`niia ${args.join(' ')} on ${this.name} ended with ${code}: ${stderr}`);
    return stdout.toString().trim();
  }

  async json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok('--json', ...args)) as T;
  }

  get daemonPid(): number {
    return (JSON.parse(readFileSync(join(this.home, 'daemon.json'), 'utf8')) as { pid: number }).pid;
  }

  get headlessPid(): number {
    const [record] = readdirSync(join(this.home, 'headless')).filter((file) => file.endsWith('.json'));
    if (!record) throw new Error(`${this.name} has no headless server`);
    return (JSON.parse(readFileSync(join(this.home, 'headless', record), 'utf8')) as { pid: number }).pid;
  }

  /** kill -9 of the daemon, and waits until it is gone. Nobody brings it back. */
  async killDaemon(): Promise<void> {
    await this.ok('config', 'set', 'guard', 'off');
    await killAndWait(this.daemonPid);
  }
}

export async function killAndWait(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  while (isAlive(pid)) await new Promise((done) => setTimeout(done, 5));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A zombie has ended; only its parent has not noticed.
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

export interface TeamOptions {
  /** Arguments of the first machine's `up`. */
  up?: string[];
  /** Roles of the machines after the first; default operator. */
  roles?: Record<string, string>;
  /** `all` as a user has it; `gateway` (unless said) where the others would only take time, or are in the way. */
  paths?: 'all' | 'gateway';
  /** Entry points of other installations, by machine. */
  entries?: Record<string, string>;
}

const gatewayOnly = ['--direct', 'off', '--p2p', 'off', '--lan', 'off'];

/**
 * Runs `body` with machines of these names in one team (the first embeds the gateway), and ends every process of theirs
 * afterwards, whatever happened.
 */
export async function withTeam(
  names: readonly string[],
  body: (...machines: TestMachine[]) => Promise<void>,
  options: TeamOptions = {},
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'niia-test-'));
  const machines = names.map((name) => {
    mkdirSync(join(scratch, name), { mode: 0o700 });
    const machine = new TestMachine(name, join(scratch, name));
    machine.entry = options.entries?.[name] ?? machine.entry;
    return machine;
  });
  try {
    const [first, ...others] = machines;
    const paths = options.paths === 'all' ? [] : gatewayOnly;
    if (first) await first.ok('up', ...paths, ...(options.up ?? []));
    for (const other of others) {
      if (paths.length > 0) await other.ok('up', ...paths);
      const code = await first?.ok('invite', '--role', options.roles?.[other.name] ?? 'operator');
      await other.ok('join', code ?? '');
    }
    await body(...machines);
  } finally {
    // That machines go down in order is for tests to see; here it would be a command and its pauses for each.
    for (const machine of machines) endLeftovers(machine.home);
    // What was killed may write its last meanwhile.
    rmSync(scratch, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** Kills what still runs under `home`. Returns their command lines. */
export function endLeftovers(home: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let environment: string;
    let command: string;
    try {
      environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
      continue; // It ended meanwhile, or is not ours to see.
    }
    if (Number(pid) === process.pid || !environment.split('\0').includes(`NIIA_HOME=${home}`)) continue;
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      continue; // It ended meanwhile.
    }
    found.push(command);
  }
  return found;
}
