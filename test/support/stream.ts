import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TestMachine } from './machine.ts';

/**
 * Numbered lines that one machine types into a session of another, which prints them again, and that it reads back: each
 * byte goes both ways over the link.
 */
export class EchoStream {
  readonly #from: TestMachine;
  readonly #to: string;
  readonly #session: string;
  #writer: ChildProcess | undefined;
  #reader: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;
  #lines = 0;
  #expected = 0;
  #carry = '';
  #arrivedAt = 0;
  #watching = false;
  #longestMs = 0;
  #errors = '';
  /** The first thing that was not as it was sent. */
  problem: string | undefined;

  constructor(from: TestMachine, to: TestMachine, session = 'echo') {
    this.#from = from;
    this.#to = to.name;
    this.#session = session;
  }

  /** `everyMs`: between bursts of `burst` lines. */
  async start(everyMs = 5, burst = 4): Promise<void> {
    await this.#from.ok('remote', 'new', this.#to, '--name', this.#session, '--', 'sh', '-c', 'stty raw -echo; cat');
    const on = ['--session', this.#session];
    this.#reader = this.#from.spawn(['remote', 'read', this.#to, ...on, '--raw', '--since', '0', '--follow']);
    this.#writer = this.#from.spawn(['remote', 'write', this.#to, ...on, '--stdin']);
    for (const child of [this.#reader, this.#writer]) {
      child.stderr?.on('data', (text: Buffer) => {
        this.#errors += text.toString();
      });
    }
    this.#reader.stdout?.on('data', (bytes: Buffer) => this.#receive(bytes));
    this.#arrivedAt = performance.now();
    this.#timer = setInterval(() => {
      for (let i = 0; i < burst; i++) this.#writer?.stdin?.write(`${this.#sent++}\n`);
    }, everyMs);
    await this.received(100);
  }

  /** Resolves once `count` more lines have come back. */
  async received(count: number, withinMs = 20_000): Promise<void> {
    const wanted = this.#lines + count;
    const giveUpAt = performance.now() + withinMs;
    while (this.#lines < wanted) {
      if (this.problem) throw new Error(this.problem);
      if (performance.now() > giveUpAt)
        throw new Error(`${this.#lines} of ${wanted} lines came back in ${withinMs} ms; stderr: ${this.#errors}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** The longest time without a byte, in milliseconds, while `during` ran and until lines came again after it. */
  async longestGap(during: () => Promise<void>): Promise<number> {
    this.#longestMs = 0;
    this.#arrivedAt = performance.now();
    this.#watching = true;
    await during();
    await this.received(200);
    this.#watching = false;
    return Math.round(this.#longestMs);
  }

  /** Ends the input and expects everything that was sent. Resolves with the number of lines. */
  async finish(): Promise<number> {
    clearInterval(this.#timer);
    const missing = this.#sent - this.#lines;
    if (missing > 0) await this.received(missing, 30_000);
    this.#writer?.stdin?.end();
    if (this.#writer && this.#writer.exitCode === null) await once(this.#writer, 'exit');
    this.stop();
    if (this.problem) throw new Error(this.problem);
    return this.#lines;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#reader?.kill('SIGKILL');
    this.#writer?.kill('SIGKILL');
  }

  #receive(bytes: Buffer): void {
    const now = performance.now();
    if (this.#watching) this.#longestMs = Math.max(this.#longestMs, now - this.#arrivedAt);
    this.#arrivedAt = now;
    const lines = (this.#carry + bytes.toString()).split('\n');
    this.#carry = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== String(this.#expected)) {
        this.problem ??= `line ${this.#expected} came back as "${line.slice(0, 60)}"; stderr: ${this.#errors}`;
      }
      this.#expected++;
      this.#lines++;
    }
  }
}
