import { rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { writeAtomically } from '../home/files.ts';
import { lockHolder } from '../home/lock.ts';
import type { ServiceDefinition } from './definition.ts';
import type { ServiceManager, ServiceState } from './manager.ts';
import { runProgram } from './run-program.ts';
import { windowsTask } from './windows-task.ts';

/** Windows' Task Scheduler, for the user's logon. */
export class TaskScheduler implements ServiceManager {
  readonly kind = 'windows';
  readonly name: string;
  readonly file: string;
  readonly program: readonly string[];
  readonly #definition: ServiceDefinition;

  constructor(definition: ServiceDefinition) {
    this.#definition = definition;
    this.program = definition.command.slice(0, -1);
    this.name = definition.name;
    this.file = join(definition.home, 'service-task.xml');
  }

  content(): Promise<string> {
    const domain = process.env['USERDOMAIN'];
    const { username } = userInfo();
    return Promise.resolve(windowsTask(this.#definition, domain ? `${domain}\\${username}` : username));
  }

  async check(): Promise<void> {
    await this.#must('/Query', '/FO', 'LIST', '/TN', '\\');
  }

  async install(): Promise<void> {
    // The scheduler reads UTF-16 with its mark.
    writeAtomically(this.file, Buffer.from(`\ufeff${await this.content()}`, 'utf16le'));
    await this.#must('/Create', '/TN', this.name, '/XML', this.file, '/F');
  }

  async start(): Promise<void> {
    await this.#must('/Run', '/TN', this.name);
  }

  /** `/End` would end what the daemon started as well: the daemon is stopped by its own request, before this. */
  stop(): Promise<void> {
    return Promise.resolve();
  }

  async remove(): Promise<void> {
    await this.#must('/Delete', '/TN', this.name, '/F');
    rmSync(this.file, { force: true });
  }

  /** The scheduler's words are in the user's language; what it keeps as XML is not. */
  async state(): Promise<ServiceState> {
    const { code, stdout } = await runProgram('schtasks', ['/Query', '/TN', this.name, '/XML']);
    const enabled = code === 0 && !/<Settings>(?:(?!<\/Settings>).)*<Enabled>false<\/Enabled>/s.test(stdout);
    const pid = lockHolder(join(this.#definition.home, 'daemon.lock'));
    return {
      enabled,
      running: code === 0 && pid !== undefined,
      pid: code === 0 ? (pid ?? null) : null,
      linger: null,
      detail: code === 0 ? 'registered' : 'not registered',
    };
  }

  lastWords(): Promise<string> {
    return Promise.resolve('');
  }

  async #must(...words: string[]): Promise<void> {
    const { code, stderr } = await runProgram('schtasks', words);
    if (code !== 0) throw new NiiaError('failed', `schtasks ${words.join(' ')}: ${stderr}`, `Look at ${this.file}`);
  }
}
