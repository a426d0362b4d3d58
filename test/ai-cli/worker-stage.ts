import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Outcome } from '../support/machine.ts';
import { endLeftovers, TestMachine } from '../support/machine.ts';
import { type CliName, prepareCli } from './cli-home.ts';
import { ensureAiClis } from './install.mjs';
import { ModelServer } from './model-server/model-server.ts';
import { type Answer, echo, type Script, text } from './model-server/script.ts';

export const markdown = [
  'A long paragraph that goes on and on, so that whoever draws it in a terminal of ordinary width has to wrap it, which is what this is for.',
  '- one\n- two',
  '```js\nconst a = 1;\n\nconst b = 2;\n```',
  'The end.',
].join('\n\n');

export function lines(count: number): string {
  return Array.from({ length: count }, (_, i) => `${i + 1}. line of a long answer`).join('\n');
}

/** So long that it is drawn in several rows. */
export const paragraph = `It is ${'as long a line as a terminal wraps, of words of all sizes, '.repeat(8)}and ends here.`;

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What the model does by the first word of a prompt; anything else is repeated. */
export const script: Script = (turn): Answer => {
  const [word, argument] = turn.prompt
    .replace(/<[^>]*>/g, '')
    .trim()
    .split(/\s+/);
  if (turn.toolResult !== undefined) return echo(turn);
  if (word === 'slow') return { kind: 'text', pieces: [`Slowly: ${argument}`], thinkMs: 12_000 };
  if (word === 'endless') return { kind: 'text', pieces: ['Too late.'], thinkMs: 30_000 };
  if (word === 'markdown') return text(markdown);
  if (word === 'lines') {
    const all = lines(Number(argument));
    return { kind: 'text', pieces: all.match(/[\s\S]{1,2000}/g) ?? [], pauseMs: 5 };
  }
  if (word === 'error') return { kind: 'error', status: argument === '429' ? 429 : 500 };
  if (word === 'big') return text(`Read ${digest(turn.prompt.replace(/<[^>]*>/g, '').trim())}.`);
  if (word === 'wrapped') return text(paragraph);
  return echo(turn);
};

/** One machine with one real AI CLI as its worker, and the model server that it asks. */
export class WorkerStage {
  readonly worker: CliName;
  readonly machine: TestMachine;
  readonly model: ModelServer;
  readonly repo: string;
  readonly #root: string;

  private constructor(worker: CliName, machine: TestMachine, model: ModelServer, repo: string, root: string) {
    this.worker = worker;
    this.machine = machine;
    this.model = model;
    this.repo = repo;
    this.#root = root;
  }

  static async open(worker: CliName): Promise<WorkerStage> {
    const clis = await ensureAiClis();
    const model = await ModelServer.start(script);
    const root = mkdtempSync(join(tmpdir(), 'niia-test-'));
    const { env, cwd } = prepareCli(worker, root, clis, model.url);
    const bin = join(root, 'bin');
    mkdirSync(bin);
    symlinkSync(clis[worker] ?? '', join(bin, worker));
    const home = join(root, 'niia');
    mkdirSync(home, { mode: 0o700 });
    const machine = new TestMachine('box', home);
    Object.assign(machine.env, env, { PATH: `${bin}:${env['PATH']}` });
    await machine.ok('up', '--direct', 'off', '--p2p', 'off', '--lan', 'off');
    return new WorkerStage(worker, machine, model, cwd, root);
  }

  async start(name: string, ...options: string[]): Promise<void> {
    await this.machine.ok('new', '--worker', this.worker, '--name', name, '--cwd', this.repo, ...options);
    await this.ready(name);
  }

  /** Fails with what the state was concluded from: a CLI whose screen has changed shows here first. */
  async ready(name: string): Promise<void> {
    const { code, stderr } = await this.machine.run(
      ['wait', '--session', name, '--state', 'idle', '--timeout', '150'],
      {
        timeoutMs: 170_000,
      },
    );
    if (code === 0) return;
    const explained = await this.machine.ok('explain', '--session', name);
    const screen = await this.machine.ok('read', '--session', name);
    throw new Error(`${this.worker} was not seen to be ready (${stderr}); the rules say:\n${explained}\n${screen}`);
  }

  run(...args: string[]): Promise<Outcome> {
    return this.machine.run(args, { timeoutMs: 110_000 });
  }

  /** Runs the CLI itself, as its user would. */
  async cli(...args: string[]): Promise<void> {
    const { PATH: path } = this.machine.env;
    const program = join(path?.split(':')[0] ?? '', this.worker);
    await promisify(execFile)(program, args, { env: this.machine.env, cwd: this.repo, timeout: 60_000 });
  }

  /** How often the model was asked exactly this, tags and ends aside. */
  arrived(prompt: string): number {
    return this.model.prompts.filter(
      (one) => squeezed(one.replace(/<\/?pasted_content[^>]*>/g, '')) === squeezed(prompt),
    ).length;
  }

  /** Ends everything; returns the command lines of what still ran below the CLI's home. */
  async close(): Promise<string[]> {
    await this.machine.run(['down', '--sessions']);
    const leftovers = runningIn(join(this.#root, 'home'));
    endLeftovers(this.machine.home);
    await this.model.close();
    rmSync(this.#root, { recursive: true, force: true, maxRetries: 3 });
    return leftovers;
  }
}

export function squeezed(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

function runningIn(home: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      if (!environment.includes(`HOME=${home}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
        return [];
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
    } catch {
      return []; // It ended meanwhile.
    }
  });
}
