import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { Home } from '../../daemon/home/home.ts';
import { connectLocal } from '../../daemon/process/local-socket.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { SessionState } from '../../shared/protocol/shapes.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import { ask, typedCall } from '../../shared/rpc/client.ts';
import { Peer } from '../../shared/rpc/peer.ts';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';

const face = { face: 'bench', software: 'bench' };
/** How long a daemon that starts, or a machine that is away, is waited for, milliseconds. */
const patienceMs = 20_000;
/** Between two looks. */
const lookMs = 2;

/** A client of a daemon, or of a headless server without its daemon, that lives in the bench: no program to start, no terminal. */
export class RpcProbe {
  readonly #peer: Peer;

  private constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** A connection to the daemon of this home. */
  static open(home: string): Promise<RpcProbe> {
    return RpcProbe.openSocket(new Home(home).socket('daemon'));
  }

  static async openSocket(path: string): Promise<RpcProbe> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new RpcProbe(new Peer(new SocketTransport(socket), face));
  }

  /** A connection to the daemon of this home as soon as it answers. */
  static async answering(home: string): Promise<RpcProbe> {
    return await patiently('daemon_not_running', async () => {
      const probe = new RpcProbe(await connectLocal(new Home(home).socket('daemon'), face));
      await probe.pingDaemon();
      return probe;
    });
  }

  /** The link to a machine: which path it uses, and what there is. */
  async path(machine: string): Promise<ResultOf<'path.show'>> {
    return await ask(this.#peer, 'path.show', { machine });
  }

  async status(): Promise<ResultOf<'daemon.status'>> {
    return await ask(this.#peer, 'daemon.status', {});
  }

  /** When (of `performance.now`) the first byte of a command's output on `to` is here; asked again while it is away. */
  async firstByteAt(to: string): Promise<number> {
    return await patiently('offline', async () => {
      const call = typedCall(this.#peer, 'machine.ask', { command: 'echo here' }, { to });
      let at: number | undefined;
      call.source(streams.output).onData(() => {
        at ??= performance.now();
      });
      call.source(streams.errors).discard();
      await call.result;
      await call.source(streams.output).done;
      if (at === undefined) throw new Error(`a command on ${to} printed nothing`);
      return at;
    });
  }

  /** Times a small request that the daemon, of this machine or of machine `to`, answers by itself; microseconds. */
  async pingDaemon(to?: string): Promise<number> {
    const started = performance.now();
    await ask(this.#peer, 'team.show', {}, { to });
    return (performance.now() - started) * 1000;
  }

  /** Times a small request that the headless server answers; microseconds. */
  async pingHeadless(to?: string): Promise<number> {
    const started = performance.now();
    await ask(this.#peer, 'headless.info', {}, { to });
    return (performance.now() - started) * 1000;
  }

  /** Starts a session of the user's shell; its id. */
  async newSession(): Promise<string> {
    return (await ask(this.#peer, 'session.new', { cols: 80, rows: 24 })).session;
  }

  /** Starts a program; `worker` names the rules that tell its state. */
  async newProgram(argv: string[], worker?: string): Promise<string> {
    return (await ask(this.#peer, 'session.new', { cols: 120, rows: 40, argv, worker })).session;
  }

  /** Milliseconds from typing `text` into a session until `state` is told to a watcher of all sessions. */
  async stateAfter(session: string, text: string, state: SessionState): Promise<number> {
    const watch = typedCall(this.#peer, 'session.watch', {});
    let typedAt = Number.POSITIVE_INFINITY;
    const told = new Promise<number>((resolve, reject) => {
      watch.result.catch(reject);
      watch.onEvent(({ sessions }) => {
        if (typedAt === Number.POSITIVE_INFINITY) return;
        if (sessions.some((one) => one.id === session && one.state === state)) resolve(performance.now() - typedAt);
      });
    });
    typedAt = performance.now();
    await this.type(session, text);
    const ms = await told;
    watch.cancel();
    return ms;
  }

  async type(session: string, text: string): Promise<void> {
    await ask(this.#peer, 'session.write', { session }, { body: Buffer.from(text) });
  }

  /** Submits a prompt and waits for the end of the worker's turn; what became of it. */
  async prompt(session: string, id: string, text: string): Promise<string> {
    try {
      const params = { session, id, until: 'finished', queue: true } as const;
      return (await ask(this.#peer, 'session.prompt', params, { body: Buffer.from(text) })).state;
    } catch (error) {
      if (error instanceof NiiaError && error.code === 'outcome_unknown') return 'unknown';
      throw error;
    }
  }

  /** Waits until the session was quiet for so long. */
  async idle(session: string, ms: number): Promise<void> {
    await ask(this.#peer, 'session.wait', { session, until: { type: 'idle', ms } });
  }

  /** Attaches to a session, of this machine or of machine `to`. Resolves once it shows something. */
  async attach(session: string, to?: string): Promise<AttachProbe> {
    const params = { session, client: `bench-${process.pid}-${performance.now()}`, cols: 80, rows: 24 };
    const call = typedCall(this.#peer, 'session.attach', params, { to });
    const probe = new AttachProbe(call);
    await probe.watch('the first output', (bytes, done: (length: number) => void) => done(bytes.length));
    return probe;
  }

  close(): void {
    this.#peer.close();
  }
}

/** Tries until it does not fail with `code` or a broken link, for a while. */
async function patiently<T>(code: NiiaError['code'], attempt: () => Promise<T>): Promise<T> {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const passes = error instanceof NiiaError && [code, 'link_lost'].includes(error.code);
      if (!passes || performance.now() > until) throw error;
      await after(lookMs);
    }
  }
}

/** A viewer of a session. */
export class AttachProbe {
  readonly #call: TypedCall<'session.attach'>;
  #listener: (bytes: Uint8Array) => void = () => undefined;
  #lost: (error: Error) => void = () => undefined;

  constructor(call: TypedCall<'session.attach'>) {
    this.#call = call;
    // Of no interest here, but what nobody takes would pile up.
    call.onEvent(() => undefined);
    call.source(streams.output).onData((bytes) => this.#listener(bytes));
    call.result.then(
      () => this.#lost(new Error('the session ended')),
      (error: Error) => this.#lost(error),
    );
  }

  write(text: string): void {
    this.#call.sink(streams.input).write(Buffer.from(text));
  }

  /** Calls `listen` with each chunk until it calls its second argument; rejects when the call ends before. */
  watch<T>(_what: string, listen: (bytes: Uint8Array, done: (value: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#listener = (bytes) => listen(bytes, resolve);
      this.#lost = reject;
    });
  }

  async detach(): Promise<void> {
    this.#call.cancel();
    await this.#call.result.catch(() => undefined);
  }
}
