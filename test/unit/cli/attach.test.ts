import xterm from '@xterm/headless';
import type { IPty } from 'node-pty';
import { spawn as spawnPty } from 'node-pty';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { AttachEvent } from '../../../shared/protocol/session-methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { Size } from '../../../shared/protocol/shapes.ts';
import type { ServedCall } from '../../../shared/rpc/server.ts';
import type { Served } from './harness.ts';
import { Answers, Cli } from './harness.ts';

// Each step is a process, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const cli = new Cli();
let answers: Answers | undefined;
const terminals: Attached[] = [];

beforeAll(async () => await cli.bundle());
afterEach(async () => {
  for (const terminal of terminals.splice(0)) terminal.kill();
  await answers?.close();
  answers = undefined;
});
afterAll(async () => await cli.close());

async function serve(session: EchoSession): Promise<Answers> {
  answers = await Answers.serve(cli.home, session.served);
  return answers;
}

/** A session that shows what is typed, with a log by offset and input by client, as the real one has. */
class EchoSession {
  output = Buffer.alloc(0);
  input = '';
  sizes: Size[] = [];
  readonly #typed = new Map<string, number>();
  readonly #viewers = new Set<() => void>();
  exitCode: number | null = null;

  print(text: string): void {
    this.output = Buffer.concat([this.output, Buffer.from(text)]);
    for (const viewer of this.#viewers) viewer();
  }

  end(exitCode: number): void {
    this.exitCode = exitCode;
    for (const viewer of this.#viewers) viewer();
  }

  get served(): Served {
    return {
      'team.show': () => {
        throw new Error('not asked for');
      },
      'session.attach': (call) => this.#attach(call),
    };
  }

  async #attach(call: ServedCall<'session.attach'>) {
    const { client, since, inputOffset, cols, rows, readOnly } = call.params;
    const found = { session: 'local-1', machine: 'M' };
    let typedTo = inputOffset ?? 0;
    let at = since ?? this.output.length;
    const known = () => this.#typed.get(client) ?? 0;
    const told: AttachEvent = {
      type: 'attached',
      ...found,
      name: 'main',
      offset: at,
      inputOffset: known(),
      cols,
      rows,
    };
    call.emit(told);
    if (!readOnly) this.sizes.push({ cols, rows });
    const sink = call.sink(streams.output);
    if (since === undefined) {
      call.emit({ type: 'snapshot', offset: at, length: at, gap: null, cols, rows });
      sink.write(this.output);
    }
    call.onEvent(({ cols, rows }) => {
      this.sizes.push({ cols, rows });
      this.print(`now ${cols}x${rows}`);
    });
    call.source(streams.input).onData((bytes) => {
      const fresh = Buffer.from(bytes).subarray(Math.max(0, known() - typedTo));
      typedTo += bytes.length;
      if (readOnly || fresh.length === 0) return;
      this.#typed.set(client, typedTo);
      this.input += fresh.toString();
      this.print(fresh.toString());
      call.emit({ type: 'typed', inputOffset: typedTo });
    });
    return await new Promise<never>((resolve, reject) => {
      const push = () => {
        sink.write(this.output.subarray(at));
        at = this.output.length;
        const ended = { ...found, offset: at, reason: 'exited', exitCode: this.exitCode, signal: null } as never;
        if (this.exitCode !== null) resolve(ended);
      };
      this.#viewers.add(push);
      push();
      call.signal.addEventListener('abort', () => {
        this.#viewers.delete(push);
        reject(call.signal.reason);
      });
    });
  }
}

/** `niia attach` in a real terminal, and a screen that shows what a person would see. */
class Attached {
  readonly #pty: IPty;
  readonly #screen = new xterm.Terminal({ cols: 80, rows: 10, allowProposedApi: true, scrollback: 1_000 });
  readonly ended: Promise<number>;
  raw = '';
  #changed: () => void = () => undefined;

  constructor(command: readonly string[]) {
    this.#pty = spawnPty('/bin/sh', ['-c', command.join(' ')], { cols: 80, rows: 10, cwd: cli.folder, env: cli.env });
    this.#pty.onData((data) => {
      this.raw += data;
      this.#screen.write(data, () => this.#changed());
    });
    this.ended = new Promise((resolve) => this.#pty.onExit(({ exitCode }) => resolve(exitCode)));
    terminals.push(this);
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  resize(cols: number, rows: number): void {
    this.#screen.resize(cols, rows);
    this.#pty.resize(cols, rows);
  }

  kill(): void {
    this.#pty.kill('SIGKILL');
  }

  get lines(): string[] {
    const { active } = this.#screen.buffer;
    const lines = Array.from({ length: active.length }, (_, y) => active.getLine(y)?.translateToString(true) ?? '');
    return lines.filter((line) => line !== '');
  }

  /** Resolves once the screen shows it. */
  async shows(what: (lines: string[], raw: string) => boolean): Promise<void> {
    while (!what(this.lines, this.raw)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

function attach(...args: string[]): Attached {
  return new Attached([process.execPath, cli.entry, 'attach', ...args]);
}

const has = (text: string) => (lines: string[]) => lines.some((line) => line.includes(text));

describe('niia attach', () => {
  test('shows the screen, types what is typed, and leaves the terminal in order', async () => {
    const session = new EchoSession();
    session.print('$ earlier\r\n');
    await serve(session);
    const terminal = new Attached([
      process.execPath,
      cli.entry,
      'attach',
      'local-1',
      ';',
      'echo code=$?',
      ';',
      'stty',
      '-a',
    ]);
    await terminal.shows(has('$ earlier'));
    // A program switches modes on and does not get to switch them off.
    session.print('\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1000hfull screen');
    await terminal.shows(has('full screen'));
    terminal.type('a\x03\x1c\x1cb');
    await terminal.shows(() => session.input === 'a\x03\x1cb');
    terminal.type('\x1c');
    terminal.type('d');
    await terminal.ended;
    await terminal.shows(has('icanon'));
    expect(terminal.lines).toContain('[detached from M/local-1]');
    expect(terminal.lines).toContain('code=0');
    expect(terminal.lines).not.toContain('full screen');
    expect(terminal.raw.match(/-?\b(icanon|echo|isig)\b/g)).toEqual(expect.arrayContaining(['icanon', 'echo', 'isig']));
    const end = terminal.raw.slice(terminal.raw.indexOf('full screen'));
    for (const restored of ['\x1b[?1049l', '\x1b[?25h', '\x1b[?2004l', '\x1b[?1000l', '\x1b[0m']) {
      expect(end).toContain(restored);
    }
  });

  test('outlives the daemon: nothing shown twice or lost, nothing typed twice, and a note meanwhile', async () => {
    const session = new EchoSession();
    const first = await serve(session);
    const terminal = attach('local-1');
    session.print('line 1\r\n');
    await terminal.shows(has('line 1'));
    terminal.type('one ');
    await terminal.shows(has('one'));
    await first.close();
    await terminal.shows(has('taking it up again'));
    terminal.type('two ');
    session.print('\r\nline 2\r\n');
    await serve(session);
    await terminal.shows(has('two'));
    terminal.type('three');
    await terminal.shows(has('three'));
    await terminal.shows((lines) => !has('taking it up again')(lines));
    expect(session.input).toBe('one two three');
    expect(terminal.lines).toEqual(['line 1', 'one ', 'line 2', 'two three']);
    terminal.type('\x1cd');
    expect(await terminal.ended).toBe(0);
  });

  test('many breaks cost no byte and type nothing twice', async () => {
    const session = new EchoSession();
    const server = await serve(session);
    const terminal = attach('local-1');
    session.print('ready ');
    await terminal.shows(has('ready'));
    terminal.type('x');
    await terminal.shows(has('x'));
    for (let i = 0; i < 5; i++) {
      server.breakConnections();
      terminal.type(String(i));
      await terminal.shows(has(`x${'01234'.slice(0, i + 1)}`));
    }
    expect(session.input).toBe('x01234');
    expect(terminal.lines).toEqual(['ready x01234']);
  });

  test('a large paste arrives whole, at the pace of the session', async () => {
    const session = new EchoSession();
    await serve(session);
    const terminal = attach('local-1');
    session.print('ready\r\n');
    await terminal.shows(has('ready'));
    let pasted = '';
    for (let part = 0; part < 10; part++) {
      // node-pty blocks this thread, and with it the session, while the terminal's buffers are full: not all at once.
      const words = Array.from({ length: 4_000 }, (_, i) => `word${part}.${i} `).join('');
      pasted += words;
      terminal.type(words);
      await terminal.shows(() => session.input.length === pasted.length);
    }
    expect(session.input === pasted).toBe(true);
  });

  test('a change of size reaches the session', async () => {
    const session = new EchoSession();
    await serve(session);
    const terminal = attach('local-1');
    session.print('ready');
    await terminal.shows(has('ready'));
    expect(session.sizes).toEqual([{ cols: 80, rows: 10 }]);
    terminal.resize(100, 20);
    await terminal.shows(has('now 100x20'));
  });

  test('--read-only shows and types nothing', async () => {
    const session = new EchoSession();
    await serve(session);
    const terminal = attach('local-1', '--read-only');
    session.print('shown');
    await terminal.shows(has('shown'));
    terminal.type('not typed\x1cd');
    expect(await terminal.ended).toBe(0);
    expect(session.input).toBe('');
  });

  test('the end of the session is told with its exit code', async () => {
    const session = new EchoSession();
    await serve(session);
    const terminal = attach('local-1');
    session.print('last words');
    await terminal.shows(has('last words'));
    session.end(3);
    expect(await terminal.ended).toBe(0);
    await terminal.shows(has('[session ended, exit code 3]'));
    expect(terminal.lines).toContain('last words');
  });

  test('SIGTERM restores the terminal too', async () => {
    const session = new EchoSession();
    await serve(session);
    const terminal = new Attached(['echo', 'pid=$$', ';', 'exec', process.execPath, cli.entry, 'attach', 'local-1']);
    session.print('\x1b[?1049hshown');
    await terminal.shows(has('shown'));
    process.kill(Number(/pid=(\d+)/.exec(terminal.raw)?.[1]), 'SIGTERM');
    expect(await terminal.ended).toBe(143);
    expect(terminal.raw.slice(terminal.raw.indexOf('shown'))).toContain('\x1b[?1049l');
  });

  test('without a terminal it is refused', async () => {
    expect(await cli.run(['attach', 'local-1'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/needs a terminal/),
    });
  });
});
