import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { vi } from 'vitest';
import { killAndWait, type TestMachine, withTeam } from './machine.ts';

/** A standalone gateway on a port that it keeps; killed, frozen and started again at will. */
export class TestGateway {
  readonly #host: TestMachine;
  #process: ChildProcess | undefined;
  #listen: string;
  url = '';

  constructor(host: TestMachine, listen = '127.0.0.1:0') {
    this.#host = host;
    this.#listen = listen;
  }

  async start(): Promise<void> {
    const child = this.#host.spawn(['gateway', '--listen', this.#listen, '--state', join(this.#host.home, 'gw')]);
    this.#process = child;
    this.url = await new Promise((resolve, reject) => {
      child.stdout?.once('data', (text: Buffer) => resolve(text.toString().trim()));
      child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
    });
    this.#listen = `${this.#listen.slice(0, this.#listen.lastIndexOf(':'))}:${new URL(this.url).port}`;
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child?.pid === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    await killAndWait(child.pid);
    await ended;
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }
}

/** Two machines on a gateway of its own. Nothing brings back what is killed. */
export interface GatewayTeam {
  a: TestMachine;
  b: TestMachine;
  gateway: TestGateway;
}

export async function withGatewayTeam(body: (team: GatewayTeam) => Promise<void>): Promise<void> {
  await withTeam(['A', 'B'], async (a, b) => {
    const gateway = new TestGateway(a);
    await gateway.start();
    try {
      for (const machine of [a, b]) {
        await machine.ok('config', 'set', 'guard', 'off');
        await machine.ok('config', 'set', 'gateway', gateway.url);
      }
      const reaches = async (): Promise<boolean> => (await a.run(['remote', 'ask', 'B', 'true'])).code === 0;
      await vi.waitUntil(reaches, { timeout: 40_000, interval: 20 });
      await body({ a, b, gateway });
    } finally {
      await gateway.kill();
    }
  });
}

/** What may break between two machines of which A asks B: each is killed, at once, and started again. */
export const breaks = {
  gateway: async ({ gateway }) => {
    await gateway.kill();
    await gateway.start();
  },
  'daemon of the asker': async ({ a }) => {
    await killAndWait(a.daemonPid);
    await a.ok('up');
  },
  'daemon of the asked': async ({ b }) => {
    await killAndWait(b.daemonPid);
    await b.ok('up');
  },
} as const satisfies Record<string, (team: GatewayTeam) => Promise<void>>;
