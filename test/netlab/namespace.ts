import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  env?: NodeJS.ProcessEnv;
  /** Kills the program when it takes longer, and fails. */
  timeoutMs?: number;
}

/** Ends with this process, however that ends, and not by a Ctrl-C that is meant for it. */
const keeper = `trap '' INT TERM HUP; echo ready; exec cat`;

/** A user namespace in which a plain user may make network namespaces; undefined for root, who needs none. */
export class Privileges {
  readonly #keeper: ChildProcess | undefined;

  private constructor(keeper: ChildProcess | undefined) {
    this.#keeper = keeper;
  }

  static async open(): Promise<Privileges> {
    if (process.getuid?.() === 0) return new Privileges(undefined);
    try {
      return new Privileges(await keep(['unshare', '--user', '--map-root-user']));
    } catch (cause) {
      throw new Error(
        'the network laboratory needs root or user namespaces, and this system grants neither: run the tests as root, or ' +
          'allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)',
        { cause },
      );
    }
  }

  /** nsenter's options that give a command these privileges. */
  get options(): string[] {
    return this.#keeper ? [`--user=/proc/${this.#keeper.pid}/ns/user`, '--preserve-credentials'] : [];
  }

  close(): void {
    this.#keeper?.stdin?.end();
  }
}

/** A network namespace: it lives until `close`, or until the test run ends, and loopback is up in it. */
export class Namespace {
  readonly name: string;
  readonly #privileges: Privileges;
  readonly #keeper: ChildProcess;

  private constructor(name: string, privileges: Privileges, keeper: ChildProcess) {
    this.name = name;
    this.#privileges = privileges;
    this.#keeper = keeper;
  }

  static async open(name: string, privileges: Privileges): Promise<Namespace> {
    const namespace = new Namespace(
      name,
      privileges,
      await keep(['nsenter', ...privileges.options, '--', 'unshare', '--net']),
    );
    // Addresses are usable at once (no duplicate detection), reverse paths are not judged, a bridge is a plain switch.
    await namespace.sh(`
      ip link set lo up
      cd /proc/sys/net
      for all in ipv6/conf/all/accept_dad ipv6/conf/default/accept_dad ipv6/conf/all/accept_ra \\
        ipv6/conf/default/accept_ra ipv4/conf/all/rp_filter ipv4/conf/default/rp_filter \\
        bridge/bridge-nf-call-iptables bridge/bridge-nf-call-ip6tables; do
        [ ! -e $all ] || echo 0 >$all
      done`);
    return namespace;
  }

  /** By which `ip link … netns` knows it. */
  get pid(): number {
    return this.#keeper.pid!;
  }

  /** As /proc/PID/ns/net has it. */
  get id(): string {
    return readlinkSync(`/proc/${this.pid}/ns/net`);
  }

  /** Words before a command that make it run in here; processes that it starts are in here as well. */
  get prefix(): string[] {
    return ['nsenter', ...this.#privileges.options, `--net=/proc/${this.pid}/ns/net`, '--'];
  }

  spawn(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [program = '', ...args] = [...this.prefix, ...command];
    return spawn(program, args, { stdio: 'pipe', ...options });
  }

  /** Runs a program to its end, whatever that is. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const child = this.spawn(command, { env: { ...process.env, ...options.env } });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      stdout += part;
    });
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      stderr += part;
    });
    // A program may end before it has read its input.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
    const limit = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000);
    const [code, signal] = await once(child, 'close');
    clearTimeout(limit);
    if (signal === 'SIGKILL') throw new Error(`${command.join(' ')} in ${this.name} took too long; stderr: ${stderr}`);
    return { code, stdout, stderr };
  }

  /** Runs lines of shell that must all succeed; their standard output. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(['sh', '-e'], { input: script });
    if (code !== 0) throw new Error(`in namespace ${this.name}: ${stderr.trim()} (code ${code})\n${script}`);
    return stdout;
  }

  /** Replaces what nftables holds in here by `ruleset`'s tables. */
  async nft(ruleset: string): Promise<void> {
    const { code, stderr } = await this.run(['nft', '-f', '-'], { input: ruleset });
    if (code !== 0) throw new Error(`nft in namespace ${this.name}: ${stderr}\n${ruleset}`);
  }

  close(): void {
    this.#keeper.stdin?.end();
  }
}

async function keep(command: readonly string[]): Promise<ChildProcess> {
  const [program = '', ...args] = [...command, 'sh', '-c', keeper];
  // Its own process group: a run that is ended with all its group still lets the reaper do its work.
  const child = spawn(program, args, { stdio: 'pipe', detached: true });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  const [first] = await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
  if (!Buffer.isBuffer(first)) throw new Error(`${command.join(' ')} failed: ${stderr.trim() || `code ${first}`}`);
  return child;
}
