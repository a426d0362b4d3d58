import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type CodeServer, ensureCodeServer } from './install.mjs';
import { kill, MarkedProcesses } from './marked-processes.ts';

export interface CodeServerOptions {
  /** Added to the environment of the server, and so of the extension host and its terminals. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Added to, and winning over, the settings that tests need. */
  settings?: Readonly<Record<string, unknown>>;
  /** Packaged extensions to install before the start. */
  vsix?: readonly string[];
  /** More of the server's own arguments. */
  args?: readonly string[];
}

/** Without these a terminal has no text in the DOM, or something that no test asked for is on the screen. */
const SETTINGS = {
  'terminal.integrated.gpuAcceleration': 'off',
  'terminal.integrated.enablePersistentSessions': false,
  'terminal.integrated.hideOnStartup': 'always',
  'terminal.integrated.tabs.hideCondition': 'never',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.reduceMotion': 'on',
  'chat.disableAIFeatures': true,
  'telemetry.telemetryLevel': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
};

/** A variable of these would make the server join an editor that runs around the tests, or the extension meet the tester's own home. */
const NOT_INHERITED = /^(NIIA_|VSCODE_|CODE_SERVER_|VITEST|npm_)|^(NODE_OPTIONS|NODE_ENV|PORT|PASSWORD|TEST)$/;

/** Tests ask no registry of extensions for anything. */
const NO_GALLERY = { EXTENSIONS_GALLERY: '{}' };

const START_TIMEOUT_MS = 30_000;
const END_GRACE_MS = 10_000;

/** A code-server with folders of its own, on a free port of the loopback. */
export class RunningCodeServer {
  private constructor(
    readonly port: number,
    /** Holds the user data and the extensions, and nothing after `close`. */
    readonly folder: string,
    readonly processes: MarkedProcesses,
    private readonly child: ChildProcess,
    private readonly log: () => string,
  ) {}

  static async start(options: CodeServerOptions = {}): Promise<RunningCodeServer> {
    const installed = await ensureCodeServer();
    const processes = new MarkedProcesses();
    // Short, because the editor puts a socket below it, whose path may have 107 bytes.
    const folder = await mkdtemp(path.join(os.tmpdir(), 'niia-cs-'));
    try {
      const temporary = path.join(folder, 'tmp'); // the editor leaves sockets in it
      await mkdir(temporary);
      const env = { ...inheritedEnvironment(), ...NO_GALLERY, TMPDIR: temporary, ...options.env, ...processes.env };
      await writeSettings(folder, { ...SETTINGS, ...options.settings });
      for (const file of options.vsix ?? []) await installExtension(installed, folder, env, file);
      const { child, log, port } = await launch(installed, folder, env, options.args ?? []);
      return new RunningCodeServer(port, folder, processes, child, log);
    } catch (error) {
      for (const { pid } of await processes.list()) kill(pid, 'SIGKILL');
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get userData(): string {
    return path.join(this.folder, 'data');
  }

  /** What the server wrote to stdout and stderr so far. */
  get output(): string {
    return this.log();
  }

  url(folder: string, payload?: readonly (readonly [string, string])[]): string {
    const query = new URLSearchParams({ folder });
    if (payload) query.set('payload', JSON.stringify(payload));
    return `http://127.0.0.1:${this.port}/?${query.toString()}`;
  }

  /**
   * Ends the server and its descendants, and removes its folder.
   * @throws {Error} that names every process, in whatever group, that outlived it
   */
  async close(): Promise<void> {
    try {
      // The group, because extension hosts outlive the server's main process.
      kill(-this.child.pid!, 'SIGTERM');
      await this.processes.assertGone(END_GRACE_MS);
    } finally {
      await rm(this.folder, { recursive: true, force: true });
    }
  }
}

function inheritedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_INHERITED.test(name)));
}

async function writeSettings(folder: string, settings: object): Promise<void> {
  const user = path.join(folder, 'data', 'User');
  await mkdir(user, { recursive: true });
  await writeFile(path.join(user, 'settings.json'), JSON.stringify(settings, null, 2));
}

function folderArguments(folder: string): string[] {
  return [
    ...['--config', path.join(folder, 'config.yaml')],
    ...['--user-data-dir', path.join(folder, 'data')],
    ...['--extensions-dir', path.join(folder, 'extensions')],
  ];
}

async function installExtension(
  { node24, entry }: CodeServer,
  folder: string,
  env: NodeJS.ProcessEnv,
  file: string,
): Promise<void> {
  const child = spawn(node24, [entry, ...folderArguments(folder), '--install-extension', file, '--force'], { env });
  const log = collect(child);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`installing ${file} in code-server failed with code ${code}:\n${log()}`);
}

interface Launched {
  child: ChildProcess;
  log: () => string;
  port: number;
}

async function launch(
  { node24, entry }: CodeServer,
  folder: string,
  env: NodeJS.ProcessEnv,
  more: readonly string[],
): Promise<Launched> {
  const args = [
    ...folderArguments(folder),
    ...['--bind-addr', '127.0.0.1:0', '--auth', 'none', '--reconnection-grace-time', '1'],
    ...['--disable-telemetry', '--disable-update-check', '--disable-workspace-trust'],
    ...more,
  ];
  // Detached makes it the leader of a group that `close` can end as a whole.
  const child = spawn(node24, [entry, ...args], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = collect(child);
  return { child, log, port: await listeningPort(child, log) };
}

async function listeningPort(child: ChildProcess, log: () => string): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<number>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`code-server ${why}:\n${log()}`));
      timer = setTimeout(() => fail(`was not up within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
      child.once('error', reject);
      child.once('exit', (code, signal) => fail(`ended with ${code ?? signal} at its start`));
      child.stdout?.on('data', () => {
        const match = /HTTP server listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(log());
        if (match) resolve(Number(match[1]));
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

function collect(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  return () => text;
}
