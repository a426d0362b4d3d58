import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { Emulator } from '../../../daemon/headless/emulator.ts';
import type { ConnectScreens } from '../../../daemon/headless/screen-messages.ts';
import type { HeadlessOptions } from '../../../daemon/headless/server.ts';
import { HeadlessServer } from '../../../daemon/headless/server.ts';
import { Home } from '../../../daemon/home/home.ts';
import { connectLocal } from '../../../daemon/process/local-socket.ts';
import type { DownEventOf, MethodName, ParamsOf, ResultOf } from '../../../shared/protocol/methods.ts';
import type { Principal } from '../../../shared/rpc/call.ts';
import { ask, typedCall } from '../../../shared/rpc/client.ts';
import type { CallOptions, Peer } from '../../../shared/rpc/peer.ts';

// A shell without the user's start-up files, which may do anything.
process.env['SHELL'] = '/bin/sh';

const cleanups: Array<() => unknown> = [];

/** How long a condition that others bring about may take on a busy machine. */
export const soon = { timeout: 15_000 };

/** Runs after the test, last registered first. */
export function cleanup(task: () => unknown): void {
  cleanups.push(task);
}

afterEach(async () => {
  for (const task of cleanups.splice(0).reverse()) await task();
});

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'niia-test-'));
  cleanup(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function temporaryHome(): Home {
  const home = new Home(join(temporaryFolder(), 'home'));
  home.prepare();
  return home;
}

/** The emulator in this thread, behind the same messages as in a worker. */
export const screensHere: ConnectScreens = (handler) => {
  let open = true;
  const emulator = new Emulator((message) => {
    setImmediate(() => open && handler.message(message));
  });
  return {
    post: (message) => {
      setImmediate(() => open && emulator.handle(message));
    },
    close: async () => {
      open = false;
    },
  };
};

export interface Running {
  home: Home;
  server: HeadlessServer;
  peer: Peer;
  /** Asks a method; as somebody, where said. */
  ask<M extends MethodName>(method: M, params: ParamsOf<M>, options?: CallOptions): Promise<ResultOf<M>>;
  /** Types text into a session. */
  write(session: string, text: string | Uint8Array, key?: string): Promise<ResultOf<'session.write'>>;
  /** A new session running `sh -c script` in a raw terminal without echo, once it is ready: six bytes of output. */
  runRaw(script: string): Promise<ResultOf<'session.new'>>;
  /** A new session running `sh -c script`. */
  run(script: string, params?: ParamsOf<'session.new'>): Promise<ResultOf<'session.new'>>;
}

export async function start(options: Partial<HeadlessOptions> = {}): Promise<Running> {
  const home = options.home ?? temporaryHome();
  const server = new HeadlessServer({ home, generation: 'g1', machine: 'BOX', screens: screensHere, ...options });
  await server.start();
  cleanup(() => server.stop());
  const peer = await connect(server);
  const asking: Running['ask'] = (method, params, callOptions) => ask(peer, method, params, callOptions);
  const run: Running['run'] = (script, params = {}) =>
    asking('session.new', { argv: ['/bin/sh', '-c', script], ...params });
  return {
    home,
    server,
    peer,
    ask: asking,
    run,
    runRaw: async (script) => {
      const made = await run(`stty raw -echo; echo ready; ${script}`);
      await asking('session.wait', { session: made.session, until: { type: 'match', pattern: 'ready', since: 0 } });
      // A read waits until it is drawn: pictures start behind it.
      await asking('session.read', { session: made.session });
      return made;
    },
    write: (session, text, key) => asking('session.write', { session }, { body: Buffer.from(text as string), key }),
  };
}

export async function connect(server: HeadlessServer, face = 'test'): Promise<Peer> {
  const peer = await connectLocal(server.socket, { face, software: 'test' });
  cleanup(() => peer.close());
  return peer;
}

/** Call options that say who asks, as a daemon does. */
export function as(role: Principal['role'], id = `id-${role}`): CallOptions {
  return { from: { machine: 'BOX', principal: { kind: 'machine', id, name: `M-${role}`, role } } };
}

/** A viewer as a client sees it: its events, and output apart from pictures. */
export class Client {
  readonly events: Array<DownEventOf<'session.attach'>> = [];
  /** In order: live output by its offset, pictures, sizes. */
  output = Buffer.alloc(0);
  pictures: Buffer[] = [];
  /** Offset of the next byte of output. */
  offset = 0;
  readonly result: Promise<ResultOf<'session.attach'>>;
  readonly call: ReturnType<typeof typedCall<'session.attach'>>;
  #picture = 0;
  #changed: Array<() => void> = [];

  constructor(peer: Peer, params: Partial<ParamsOf<'session.attach'>> = {}, options: CallOptions = {}, hold = false) {
    this.call = typedCall(peer, 'session.attach', { client: 'c1', cols: 80, rows: 24, ...params }, options);
    this.result = this.call.result;
    this.result.catch(() => this.#tell());
    this.call.onEvent((event) => {
      this.events.push(event);
      if (event.type === 'attached') this.offset = event.offset;
      if (event.type === 'snapshot') {
        this.#picture = event.length;
        this.offset = event.offset;
        this.pictures.push(Buffer.alloc(0));
      }
      this.#tell();
    });
    if (!hold) this.receive();
  }

  /** Starts to take output. */
  receive(): void {
    this.call.source(1).onData((bytes) => {
      const drawn = Math.min(this.#picture, bytes.length);
      if (drawn > 0) {
        this.#picture -= drawn;
        this.pictures.push(Buffer.concat([this.pictures.pop() ?? Buffer.alloc(0), bytes.subarray(0, drawn)]));
      }
      this.output = Buffer.concat([this.output, bytes.subarray(drawn)]);
      this.offset += bytes.length - drawn;
      this.#tell();
    });
  }

  type(text: string | Uint8Array): void {
    this.call.sink(0).write(Buffer.from(text as string));
  }

  of<T extends DownEventOf<'session.attach'>['type']>(
    type: T,
  ): Array<Extract<DownEventOf<'session.attach'>, { type: T }>> {
    return this.events.filter(
      (event): event is Extract<DownEventOf<'session.attach'>, { type: T }> => event.type === type,
    );
  }

  get text(): string {
    return this.output.toString('utf8');
  }

  /** Resolves once the condition holds; asked after each event and chunk. */
  async until(condition: (client: Client) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  attached(): Promise<void> {
    return this.until((client) => client.of('attached').length > 0);
  }

  #tell(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }
}

/** Everything that a tail sends. */
export async function tailed(
  peer: Peer,
  params: ParamsOf<'session.tail'>,
): Promise<{ bytes: Buffer; events: Array<DownEventOf<'session.tail'>>; result: ResultOf<'session.tail'> }> {
  const call = typedCall(peer, 'session.tail', params);
  const chunks: Uint8Array[] = [];
  const events: Array<DownEventOf<'session.tail'>> = [];
  call.onEvent((event) => events.push(event));
  call.source(1).onData((bytes) => {
    chunks.push(bytes);
  });
  const result = await call.result;
  await call.source(1).done;
  return { bytes: Buffer.concat(chunks), events, result };
}

/** Output of `seq 1 count` through a terminal. */
export function numbered(count: number, from = 1): string {
  let text = '';
  for (let number = from; number <= count; number++) text += `${number}\r\n`;
  return text;
}
