import { randomUUID } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import type { MethodName, ParamsOf, ResultOf } from '../../shared/protocol/methods.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import type { CallOptions, Peer } from '../../shared/rpc/peer.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { isSessionSocket } from '../home/session-socket.ts';
import { version } from '../home/version.ts';
import { connectLocal } from '../process/local-socket.ts';
import { Deadline } from './deadline.ts';
import { retryBroken } from './retry.ts';

/** How long a command goes on when the connection breaks under it, unless `--timeout` says. */
export const patienceMs = 10_000;

/** This machine's daemon as a command sees it: one connection, made when first used and again when it broke. */
export class DaemonClient {
  readonly #home: Home;
  readonly #deadline: Deadline;
  #machine: string | undefined;
  #peer: Peer | undefined;

  constructor(home: Home, machine: string | undefined, deadline: Deadline) {
    this.#home = home;
    this.#machine = machine;
    this.#deadline = deadline;
  }

  /** The machine that calls go to; undefined: this one. */
  get machine(): string | undefined {
    return this.#machine;
  }

  set machine(machine: string | undefined) {
    this.#machine = machine;
  }

  /** Milliseconds left of the command's `--timeout`; undefined: for ever. Throws `timeout` when none are. */
  get leftMs(): number | undefined {
    return this.#deadline.leftMs;
  }

  /** Rejects with `daemon_not_running`. */
  async peer(): Promise<Peer> {
    if (this.#peer && !this.#peer.closed) return this.#peer;
    const path = ownSocket(this.#home) ?? this.#home.socket('daemon');
    try {
      this.#peer = await connectLocal(path, { face: 'cli', software: version });
    } catch (cause) {
      if (cause instanceof NiiaError && cause.code === 'daemon_not_running') {
        throw new NiiaError('daemon_not_running', `no daemon runs for ${this.#home.root}`, 'Start it with: niia up', {
          cause,
        });
      }
      if (isErrno(cause, 'EACCES', 'EPERM', 'ENOTDIR', 'ELOOP')) {
        throw new NiiaError(
          'io',
          `the daemon's socket ${path} cannot be reached: ${cause instanceof Error ? cause.message : ''}`,
          `Look at the permissions of ${this.#home.root}, or name another home with NIIA_HOME.`,
          { cause },
        );
      }
      throw cause;
    }
    return this.#peer;
  }

  /** Opens a call at the machine, bounded by the command's `--timeout`. */
  async call<M extends MethodName>(method: M, params: ParamsOf<M>, options: CallOptions = {}): Promise<TypedCall<M>> {
    const deadlineMs = this.#deadline.leftMs;
    return typedCall(await this.peer(), method, params, { to: this.#machine, deadlineMs, ...options });
  }

  async ask<M extends MethodName>(method: M, params: ParamsOf<M>, options: CallOptions = {}): Promise<ResultOf<M>> {
    return await (await this.call(method, params, options)).result;
  }

  /**
   * Asks for a change, once: where the connection breaks before the answer, the same request goes out again under the
   * same key, which the other side remembers. Rejects with `outcome_unknown` when that does not help in time.
   */
  async change<M extends MethodName>(method: M, params: ParamsOf<M>, options: CallOptions = {}): Promise<ResultOf<M>> {
    const key = options.key ?? randomUUID();
    const leftMs = options.deadlineMs ?? this.#deadline.leftMs;
    return await retryBroken({
      attempt: (deadlineMs) => this.ask(method, params, { ...options, key, deadlineMs }),
      leftMs,
      patienceMs: leftMs ?? patienceMs,
      givenUp: (cause) =>
        new NiiaError(
          'outcome_unknown',
          `the connection broke and did not come back in time; ${method} may or may not have happened (${cause.message})`,
          'Look before you repeat it: niia read, niia list.',
          { cause },
        ),
    });
  }

  /** Asks for something that changes nothing; a connection that breaks meanwhile is taken up again. */
  async query<M extends MethodName>(method: M, params: ParamsOf<M>, options: CallOptions = {}): Promise<ResultOf<M>> {
    const deadline = options.deadlineMs === undefined ? this.#deadline : new Deadline(options.deadlineMs);
    const { leftMs } = deadline;
    return await retryBroken({
      attempt: () => this.ask(method, params, { ...options, deadlineMs: deadline.leftMs }),
      leftMs,
      patienceMs: leftMs ?? patienceMs,
      givenUp: (error) => error,
    });
  }

  /** Whether calls go to this very machine, however it was named. */
  async isHere(): Promise<boolean> {
    if (this.#machine === undefined) return true;
    const { members } = await this.ask('team.show', {}, { to: undefined });
    return members.some((member) => member.self && (this.#machine === member.name || this.#machine === member.id));
  }

  close(): void {
    this.#peer?.close();
  }
}

/** Inside a worker's session: that session's own socket. One of another home, or of none, does not count. */
function ownSocket(home: Home): string | undefined {
  const { NIIA_SOCKET: given, NIIA_SESSION: session } = process.env;
  return given && session && isSessionSocket(home, session, given) ? given : undefined;
}
