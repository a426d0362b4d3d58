import { mkdirSync, rmSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { writeAtomically } from '../home/files.ts';
import type { ServiceDefinition } from './definition.ts';
import { launchdAgent } from './launchd-agent.ts';
import type { ServiceManager, ServiceState } from './manager.ts';
import { runProgram } from './run-program.ts';

/** macOS' launchd, for the user's graphical login. */
export class Launchd implements ServiceManager {
  readonly kind = 'launchd';
  readonly name: string;
  readonly file: string;
  readonly program: readonly string[];
  readonly #definition: ServiceDefinition;
  readonly #domain = `gui/${userInfo().uid}`;

  constructor(definition: ServiceDefinition) {
    this.#definition = definition;
    this.program = definition.command.slice(0, -1);
    this.name = definition.name;
    this.file = join(homedir(), 'Library/LaunchAgents', `${definition.name}.plist`);
  }

  content(): Promise<string> {
    return Promise.resolve(launchdAgent(this.#definition, join(this.#definition.home, 'daemon.log')));
  }

  async check(): Promise<void> {
    const { code, stderr } = await runProgram('launchctl', ['print', this.#domain]);
    if (code === 0) return;
    throw new NiiaError('failed', `launchd does not answer: ${stderr}`, 'Log in at the screen of this computer once.');
  }

  async install(): Promise<void> {
    mkdirSync(dirname(this.file), { recursive: true });
    writeAtomically(this.file, await this.content());
    await this.#must('enable', this.#target);
  }

  /** Loading it starts it (RunAtLoad); one that is loaded is started again. */
  async start(): Promise<void> {
    if (await this.#loaded()) await this.#must('kickstart', this.#target);
    else await this.#must('bootstrap', this.#domain, this.file);
  }

  async stop(): Promise<void> {
    if (await this.#loaded()) await this.#must('bootout', this.#target);
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.file, { force: true });
  }

  async state(): Promise<ServiceState> {
    const { code, stdout } = await runProgram('launchctl', ['print', this.#target]);
    const pid = Number(/^\s*pid = (\d+)$/m.exec(stdout)?.[1] ?? 0);
    const disabled = await runProgram('launchctl', ['print-disabled', this.#domain]);
    const off = new RegExp(`"${this.name}" => (true|disabled)`).test(disabled.stdout);
    const detail = code === 0 ? (/^\s*state = (.+)$/m.exec(stdout)?.[1] ?? 'loaded') : 'not loaded';
    return { enabled: !off, running: pid > 0, pid: pid || null, linger: null, detail };
  }

  /** They are in the home's daemon.log. */
  lastWords(): Promise<string> {
    return Promise.resolve('');
  }

  get #target(): string {
    return `${this.#domain}/${this.name}`;
  }

  async #loaded(): Promise<boolean> {
    return (await runProgram('launchctl', ['print', this.#target])).code === 0;
  }

  async #must(...words: string[]): Promise<void> {
    const { code, stderr } = await runProgram('launchctl', words);
    if (code !== 0) throw new NiiaError('failed', `launchctl ${words.join(' ')}: ${stderr}`, `Look at ${this.file}`);
  }
}
