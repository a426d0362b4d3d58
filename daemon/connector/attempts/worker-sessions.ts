import { NiiaError } from '../../../shared/errors.ts';
import type { ParamsOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import type { PromptState } from '../../../shared/protocol/worker-methods.ts';
import { ask, typedCall } from '../../../shared/rpc/client.ts';
import type { CallOptions } from '../../../shared/rpc/peer.ts';
import type { HeadlessServers } from '../../core/headless-servers.ts';
import type { Home } from '../../home/home.ts';
import { SessionProcesses } from '../../process/session-processes.ts';

/** A server that is well answers within this time. */
const deadlineMs = 15_000;
/** Ending a session takes two seconds where its program does not want to. */
const killDeadlineMs = 30_000;

export interface WorkerSessionsOptions {
  home: Home;
  servers: Pick<HeadlessServers, 'all' | 'sessions' | 'unreached' | 'changes' | 'current' | 'having'>;
  /** This machine, as sessions have it as their owner. */
  machine: () => { name: string; id: string };
}

export interface Prompt {
  session: string;
  id: string;
  text: Uint8Array;
}

/** The sessions in which attempts have their work done, in whichever headless server they are. */
export class WorkerSessions {
  readonly #o: WorkerSessionsOptions;

  constructor(options: WorkerSessionsOptions) {
    this.#o = options;
  }

  /** Calls `listener` when anything about a session changes, until the result is called. */
  watch(listener: () => void): () => void {
    return this.#o.servers.changes.subscribe(listener);
  }

  /** What is known of it at the moment. */
  known(session: string): SessionInfo | undefined {
    return this.#o.servers.sessions.find(({ id }) => id === session);
  }

  /** As `known`; undefined only where it is certain that there is none. Rejects with `offline` where it may be in a server that does not answer. */
  async find(is: (session: SessionInfo) => boolean): Promise<SessionInfo | undefined> {
    const { servers } = this.#o;
    const here = (): SessionInfo | undefined => servers.sessions.findLast(is);
    const found = here();
    if (found) return found;
    if (servers.unreached.length > 0) {
      throw new NiiaError('offline', 'a headless server that may have the session does not answer');
    }
    // Sessions of a server that is no more are told by the present one.
    const { server } = await servers.current();
    const { sessions } = await ask(server.peer, 'session.list', {}, this.#call());
    return here() ?? sessions.findLast(is);
  }

  /** Starts one; a key that made one before gives that one. `params` is asked when there is a server to start it in. */
  async start(params: () => ParamsOf<'session.new'>, key: string): Promise<string> {
    const { server } = await this.#o.servers.current();
    return (await ask(server.peer, 'session.new', params(), this.#call({ key }))).session;
  }

  /** Puts the end of its lease off; says whether it is frozen. */
  async lease(session: string, until: number): Promise<boolean> {
    const { peer } = await this.#o.servers.having(session);
    return (await ask(peer, 'session.lease', { session, until }, this.#call())).frozen;
  }

  /** Submits the prompt, once for its id, and resolves when its turn is over. */
  async prompt({ session, id, text }: Prompt, state: (state: PromptState) => void): Promise<void> {
    const { peer } = await this.#o.servers.having(session);
    const params = { session, id, until: 'finished' } as const;
    const call = typedCall(peer, 'session.prompt', params, { ...this.#from(), body: text });
    call.onEvent(({ receipt }) => state(receipt.state));
    await call.result;
  }

  /** What became of a prompt that was submitted. Rejects as its submitting does. */
  async receipt(session: string, id: string): Promise<PromptState> {
    const { peer } = await this.#o.servers.having(session);
    return (await ask(peer, 'session.prompt', { session, id, until: 'accepted' }, this.#call())).state;
  }

  /** As `prompt`, and resolves with the answer. Rejects with `too_large` where that has more bytes than `most`. */
  async answer({ session, id, text }: Prompt, most: number, state: (state: PromptState) => void): Promise<Buffer> {
    const { peer } = await this.#o.servers.having(session);
    const call = typedCall(peer, 'session.answer', { session, id }, { ...this.#from(), body: text });
    call.onEvent(({ receipt }) => state(receipt.state));
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    call.source(streams.output).onData((chunk) => {
      bytes += chunk.length;
      if (bytes > most) call.cancel('too_large', `its answer has more than ${most} bytes`);
      else chunks.push(Uint8Array.from(chunk));
      return undefined;
    });
    await call.result;
    await call.source(streams.output).done;
    return Buffer.concat(chunks);
  }

  /** The last lines of its terminal that are not empty, the newest last. */
  async lines(session: string, most: number): Promise<string[]> {
    const { peer } = await this.#o.servers.having(session);
    const { lines } = await ask(peer, 'session.read', { session, scrollback: most }, this.#call());
    return lines.filter((line) => line.trim() !== '').slice(-most);
  }

  /** Ends it with all that it started; resolves when nothing of it runs. One that is no more has ended. */
  async kill(session: string): Promise<void> {
    try {
      const { peer } = await this.#o.servers.having(session);
      await ask(peer, 'session.kill', { session }, { ...this.#from(), deadlineMs: killDeadlineMs });
    } catch (error) {
      if (!(error instanceof NiiaError) || (error.code !== 'no_such_session' && error.code !== 'session_ended'))
        throw error;
    }
    // A headless server that died took its terminals along, and not what had left them.
    await new SessionProcesses({ mark: { NIIA_SESSION: session, NIIA_HOME: this.#o.home.root } }).kill();
  }

  #call(options: CallOptions = {}): CallOptions {
    return { deadlineMs, ...this.#from(), ...options };
  }

  #from(): Required<Pick<CallOptions, 'from'>> {
    const { name, id } = this.#o.machine();
    return { from: { machine: name, principal: { kind: 'local', id, name, role: 'admin' } } };
  }
}
