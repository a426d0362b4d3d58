import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { killAndWait, type TestMachine } from './machine.ts';

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
