import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

const systemd = '/lib/systemd/systemd';

/** Why no real systemd user manager can be run here; undefined where one can. */
export function whyNoUserManager(): string | undefined {
  if (process.getuid?.() !== 0) return 'a systemd of its own in a mount, PID and cgroup namespace needs root';
  if (!existsSync(systemd)) return `there is no ${systemd}`;
  return cgroupRoot() === undefined ? 'there is no cgroup2 file system' : undefined;
}

function cgroupRoot(): string | undefined {
  const [, root] = / (\S+) cgroup2 /.exec(readFileSync('/proc/mounts', 'utf8')) ?? [];
  return root;
}

/** Its own /run (where `/run/systemd/system` says that systemd is in charge), its own cgroups, its own processes. */
const inside = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0 /run/systemd/users
chmod 700 /run/user/0
umount -l -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
trap '' HUP
${systemd} --user --log-level=warning --log-target=console &
echo "$!"
exec cat
`;

/**
 * A real `systemd --user` that can touch nothing of this computer but files: it runs in namespaces of its own and all
 * that it started ends with it.
 */
export class UserManager {
  readonly #first: ChildProcess;
  readonly #cgroup: string;
  readonly #home: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(first: ChildProcess, cgroup: string, home: string, env: NodeJS.ProcessEnv) {
    this.#first = first;
    this.#cgroup = cgroup;
    this.#home = home;
    this.#env = env;
  }

  /** `home`: where the account's own files are, the units among them. */
  static async start(home: string): Promise<UserManager> {
    mkdirSync(home, { recursive: true });
    const cgroup = join(cgroupRoot()!, `niia-test-${process.pid}-${performance.now().toFixed(0)}`);
    mkdirSync(cgroup);
    const { XDG_CONFIG_HOME: _, DBUS_SESSION_BUS_ADDRESS: __, ...outer } = process.env;
    const env = { ...outer, HOME: home, XDG_RUNTIME_DIR: '/run/user/0' };
    // Into its cgroup first: the cgroup namespace has the one it is made in as its root.
    const enter = 'echo 0 > "$0/cgroup.procs" && exec unshare --cgroup --mount --pid --fork --mount-proc sh -c "$1"';
    const first = spawn('sh', ['-c', enter, cgroup, inside], { stdio: ['pipe', 'pipe', 'inherit'], env });
    const manager = new UserManager(first, cgroup, home, env);
    await once(first.stdout!, 'data');
    await manager.until('is-system-running', (words) => words === 'running' || words === 'degraded');
    return manager;
  }

  /** Words before a command that run it among what the manager runs. */
  get prefix(): readonly string[] {
    return ['nsenter', '--target', String(this.#inner), '--cgroup', '--mount', '--pid', '--'];
  }

  /** The environment of a login of the account. */
  get env(): NodeJS.ProcessEnv {
    return this.#env;
  }

  get home(): string {
    return this.#home;
  }

  /** Runs a program among what the manager runs; its standard output, trimmed, whatever its code. */
  run(...command: string[]): string {
    const [program = '', ...args] = [...this.prefix, ...command];
    try {
      return execFileSync(program, args, {
        env: this.#env,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      }).trim();
    } catch (error) {
      if (error instanceof Error && 'stdout' in error) return String(error.stdout).trim();
      throw error;
    }
  }

  ctl(...words: string[]): string {
    return this.run('systemctl', '--user', '--no-pager', ...words);
  }

  isAlive(pid: number): boolean {
    // Process 1 inside collects nobody: what has ended stays there as a zombie.
    return this.run('sh', '-c', `grep -q "^State:.[^Z]" /proc/${pid}/status && echo yes`).endsWith('yes');
  }

  async until(word: string, good: (said: string) => boolean, limitMs = 15_000): Promise<void> {
    const giveUp = performance.now() + limitMs;
    for (;;) {
      const said = this.ctl(...word.split(' '));
      if (good(said)) return;
      if (performance.now() > giveUp) throw new Error(`systemctl --user ${word}: ${said}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.#first, 'close');
    // The first process of its PID namespace: the kernel ends all others with it.
    process.kill(this.#inner, 'SIGKILL');
    await ended;
    await removeGroups(this.#cgroup);
  }

  /** The shell that is process 1 inside, by its number outside. */
  get #inner(): number {
    const { pid } = this.#first;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
  }
}

/** The kernel takes a killed process out of its group a moment after it is gone for everybody else. */
async function removeGroups(folder: string): Promise<void> {
  const groups = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
  const paths = [...groups.map((entry) => join(entry.parentPath, entry.name)), folder];
  for (const path of paths.sort((a, b) => b.length - a.length)) {
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        rmdirSync(path);
        break;
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EBUSY')) throw error;
        await new Promise((done) => setTimeout(done, 20));
      }
    }
  }
}
