import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { listenLocal } from '../../../daemon/process/local-socket.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { MethodName } from '../../../shared/protocol/methods.ts';
import { isMethod } from '../../../shared/protocol/methods.ts';
import type { IncomingCall, Reply } from '../../../shared/rpc/call.ts';
import { Peer } from '../../../shared/rpc/peer.ts';
import type { Handler, Handlers } from '../../../shared/rpc/server.ts';
import { dispatch } from '../../../shared/rpc/server.ts';
import { SocketTransport } from '../../../shared/transport/socket-transport.ts';

export type Served = { [M in MethodName]?: Handler<M, IncomingCall> };

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  out: string;
  err: string;
}

/** Somebody who answers on the daemon's socket of a home, over the real wire. */
export class Answers {
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
  }

  static async serve(home: Home, served: Served): Promise<Answers> {
    home.prepare();
    const sockets = new Set<Socket>();
    const server = await listenLocal(home.socket('daemon'), (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      const peer = new Peer(new SocketTransport(socket), {
        face: 'daemon',
        software: 'test',
        serve: (call) => answer(served, call),
      });
      void peer;
    });
    return new Answers(server, sockets);
  }

  /** Breaks every connection, as the death of the process would. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.breakConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

async function answer(served: Served, call: IncomingCall): Promise<Reply> {
  const { m } = call.header;
  if (!isMethod(m) || !served[m]) throw new NiiaError('unknown_method', `not served here: ${m}`);
  return await one(served, m, call);
}

async function one<M extends MethodName>(served: Served, method: M, call: IncomingCall): Promise<Reply> {
  const handler = served[method] as Handler<M, IncomingCall>;
  return await dispatch({ [method]: handler } as unknown as Handlers<M, IncomingCall>, method, call, call);
}

/** The command line, bundled once and run as processes, with a home of its own. */
export class Cli {
  readonly folder = mkdtempSync(join(tmpdir(), 'niia-cli-'));
  readonly home = new Home(join(this.folder, 'home'));
  readonly #children = new Set<ChildProcess>();

  get entry(): string {
    return join(this.folder, 'niia.mjs');
  }

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, NIIA_HOME: this.home.root, NO_COLOR: '1' };
  }

  async bundle(): Promise<void> {
    await build({
      entryPoints: [new URL('../../../daemon/niia.ts', import.meta.url).pathname],
      outfile: this.entry,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      define: { NIIA_VERSION: '"0.0.0-test"' },
      // The processes behind the commands are not what is tested here.
      external: ['../../core/main.ts', '../../headless/main.ts', '../../gateway/main.ts'],
      logLevel: 'warning',
    });
  }

  start(args: readonly string[], cwd = this.folder): ChildProcess {
    return this.#spawn(process.execPath, [this.entry, ...args], cwd);
  }

  /** Runs a script of bash, in which "$@" is the command line's program. */
  shell(script: string, cwd = this.folder): ChildProcess {
    return this.#spawn('bash', ['-c', script, 'bash', process.execPath, this.entry], cwd);
  }

  #spawn(program: string, args: string[], cwd: string): ChildProcess {
    const child = spawn(program, args, { env: this.env, cwd });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    return child;
  }

  async run(args: readonly string[], input?: Uint8Array): Promise<Outcome> {
    const child = this.start(args);
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
    return await outcome(child);
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const here = { name: 'HERE', id: 'id-here', role: 'admin', self: true, joinedAt: '2026-01-01T00:00:00Z' } as const;
/** What commands ask of the daemon by the way: which machine it is. */
export const whoIsHere: Served = { 'team.show': () => ({ team: { id: 't', name: 'team' }, members: [here] }) };

/** The built command line for the tests of a file, and who answers it from now on, instead of who did before. */
export function cliWithAnswers(): { cli: Cli; serve: (served: Served) => Promise<Answers> } {
  const cli = new Cli();
  let answers: Answers | undefined;
  const end = async () => {
    await answers?.close();
    answers = undefined;
  };
  beforeAll(async () => await cli.bundle());
  afterEach(end);
  afterAll(async () => await cli.close());
  const serve = async (served: Served) => {
    await end();
    answers = await Answers.serve(cli.home, { ...whoIsHere, ...served });
    return answers;
  };
  return { cli, serve };
}

/** What a process printed and how it ended. */
export async function outcome(child: ChildProcess): Promise<Outcome> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  const [code, signal]: [number | null, NodeJS.Signals | null] = (await once(child, 'close')) as never;
  const bytes = Buffer.concat(stdout);
  return { code, signal, stdout: bytes, out: bytes.toString(), err: Buffer.concat(stderr).toString() };
}
