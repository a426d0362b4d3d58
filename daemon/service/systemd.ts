import { existsSync, mkdirSync, readlinkSync, rmSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { isErrno, writeAtomically } from '../home/files.ts';
import type { ServiceDefinition } from './definition.ts';
import type { ServiceManager, ServiceState } from './manager.ts';
import { runProgram } from './run-program.ts';
import { systemdUnit } from './systemd-unit.ts';

const withoutManager =
  'It needs a systemd user manager: log in as this user itself (not by su or sudo), or niia service install --print > FILE for another supervisor. In a container let its init run: niia daemon';

/** The user's own systemd: `systemctl --user`. */
export class Systemd implements ServiceManager {
  readonly kind = 'systemd';
  readonly name: string;
  readonly file: string;
  readonly program: readonly string[];
  readonly #definition: ServiceDefinition;
  readonly #env: NodeJS.ProcessEnv;

  constructor(definition: ServiceDefinition, env: NodeJS.ProcessEnv = process.env) {
    this.#definition = definition;
    this.program = definition.command.slice(0, -1);
    this.name = `${definition.name}.service`;
    this.#env = withRuntimeFolder(env);
    this.file = join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'systemd/user', this.name);
  }

  async content(): Promise<string> {
    const { stdout } = await runProgram('systemctl', ['--version'], { env: this.#env });
    return systemdUnit(this.#definition, Number(/^systemd (\d+)/.exec(stdout)?.[1] ?? 0));
  }

  async check(): Promise<void> {
    const { code, stderr } = await this.#ctl('show', '--property=Version');
    if (code !== 0) throw new NiiaError('failed', `no systemd user manager answers: ${stderr}`, withoutManager);
  }

  async install(): Promise<void> {
    mkdirSync(dirname(this.file), { recursive: true });
    // A proxy's URL may hold a password.
    writeAtomically(this.file, await this.content());
    await this.#must('daemon-reload');
    await this.#must('enable', this.name);
  }

  async start(): Promise<void> {
    await this.#ctl('reset-failed', this.name);
    await this.#must('start', this.name);
  }

  async stop(): Promise<void> {
    await this.#must('stop', this.name);
  }

  async remove(): Promise<void> {
    // Where the file is gone already, or nobody answers, there is less to undo.
    await this.#ctl('disable', this.name);
    rmSync(this.file, { force: true });
    rmSync(this.#wanted, { force: true });
    await this.#ctl('daemon-reload');
    await this.#ctl('reset-failed', this.name);
  }

  async state(): Promise<ServiceState> {
    const properties = '--property=ActiveState,SubState,MainPID,Result';
    const { code, stdout, stderr } = await this.#ctl('show', this.name, properties);
    const known = { enabled: this.#enabled(), linger: lingers() };
    if (code !== 0) return { ...known, running: false, pid: null, detail: `no user manager answers: ${stderr}` };
    const of = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
    const pid = Number(of('MainPID'));
    const running = of('ActiveState') === 'active' && pid > 0;
    const result = of('Result');
    const detail = [of('ActiveState'), of('SubState'), ...(result === 'success' ? [] : [result])].join(', ');
    return { ...known, running, pid: running ? pid : null, detail };
  }

  async lastWords(): Promise<string> {
    const args = ['--user', '--unit', this.name, '--lines=200', '--output=cat', '--no-pager', '--quiet'];
    const { code, stdout } = await runProgram('journalctl', args, { env: this.#env, timeoutMs: 5_000 });
    return code === 0 ? stdout.trim() : '';
  }

  readonly enableLinger = async (): Promise<void> => {
    const { code, stderr } = await runProgram('loginctl', ['enable-linger'], { env: this.#env });
    if (code === 0) return;
    const { username } = userInfo();
    throw new NiiaError(
      'failed',
      `lingering could not be switched on: ${stderr}`,
      `Ask an administrator for it: sudo loginctl enable-linger ${username}`,
    );
  };

  get #wanted(): string {
    return join(dirname(this.file), 'default.target.wants', this.name);
  }

  #enabled(): boolean {
    try {
      return readlinkSync(this.#wanted) !== '';
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return false;
      throw error;
    }
  }

  async #ctl(...words: string[]) {
    return await runProgram('systemctl', ['--user', '--no-pager', '--no-ask-password', ...words], { env: this.#env });
  }

  async #must(...words: string[]) {
    const ran = await this.#ctl(...words);
    if (ran.code === 0) return ran;
    throw new NiiaError('failed', `systemctl --user ${words.join(' ')}: ${ran.stderr}`, withoutManager);
  }
}

/** Shells of su and cron lack the variable by which the user manager is found. */
function withRuntimeFolder(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['XDG_RUNTIME_DIR']) return env;
  const folder = `/run/user/${userInfo().uid}`;
  return existsSync(folder) ? { ...env, XDG_RUNTIME_DIR: folder } : env;
}

/** Whether the user's manager runs without a login (loginctl(1)); null where nobody keeps account of logins. */
function lingers(): boolean | null {
  if (!existsSync('/run/systemd/users') && !existsSync('/var/lib/systemd/linger')) return null;
  return existsSync(join('/var/lib/systemd/linger', userInfo().username));
}
