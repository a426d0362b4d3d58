import { NiiaError } from '../shared/errors.ts';
import type { MachineInfo, SessionInfo } from '../shared/protocol/shapes.ts';
import type { TypedCall } from '../shared/rpc/client.ts';
import { typedCall } from '../shared/rpc/client.ts';
import type { DaemonConnection } from './connection.ts';
import type { Disposable } from './emitter.ts';
import { disposeAll, Emitter, once } from './emitter.ts';
import type { Log } from './log.ts';

/** A watch that was refused is asked for again after so long, at first and at most. */
const retryFirstMs = 500;
const retryLongestMs = 30_000;

interface SessionWatch {
  call: TypedCall<'session.watch'> | undefined;
  retry: NodeJS.Timeout | undefined;
  failures: number;
}

/**
 * The machines and their sessions as the daemon tells them, by events. Nothing is asked for unless somebody holds a
 * lease on it, and nothing is kept that nobody tells any more.
 */
export class TeamModel implements Disposable {
  readonly #connection: DaemonConnection;
  readonly #log: Log;
  readonly #changed = new Emitter<void>();
  readonly #disposables: Disposable[] = [];
  readonly #watches = new Map<string, SessionWatch>();
  readonly #sessions = new Map<string, readonly SessionInfo[]>();
  readonly #leasedSessions = new Map<string, number>();
  #machineLeases = 0;
  #allSessionLeases = 0;
  #machineWatch: TypedCall<'machine.watch'> | undefined;
  #machineRetry: NodeJS.Timeout | undefined;
  #machines: readonly MachineInfo[] | undefined;

  constructor(connection: DaemonConnection, log: Log) {
    this.#connection = connection;
    this.#log = log;
    this.#disposables.push(connection.onDidChange(() => this.#connectionChanged()));
  }

  /** Fires when machines or sessions changed, or are no longer known. */
  readonly onDidChange = this.#changed.event;

  /** This machine first, then by name; undefined while they are not known. */
  get machines(): readonly MachineInfo[] | undefined {
    return this.#machines;
  }

  machine(idOrName: string): MachineInfo | undefined {
    return this.#machines?.find(({ id, name }) => id === idOrName || name === idOrName);
  }

  /** Live ones first, each part in the order of creation; undefined while they are not known. */
  sessions(machineId: string): readonly SessionInfo[] | undefined {
    return this.#sessions.get(machineId);
  }

  watchMachines(): Disposable {
    this.#machineLeases++;
    this.#sync();
    return once(() => {
      this.#machineLeases--;
      this.#sync();
    });
  }

  /** The sessions of one machine, or of all that are online, whichever these will be. */
  watchSessions(machineId?: string): Disposable {
    const count = (by: number): void => {
      if (machineId === undefined) this.#allSessionLeases += by;
      else {
        const leases = (this.#leasedSessions.get(machineId) ?? 0) + by;
        if (leases === 0) this.#leasedSessions.delete(machineId);
        else this.#leasedSessions.set(machineId, leases);
      }
      this.#sync();
    };
    const machines = this.watchMachines();
    count(1);
    return once(() => {
      count(-1);
      machines.dispose();
    });
  }

  /** Starts every watch anew. */
  refresh(): void {
    this.#stop();
    this.#sync();
  }

  /** Resolves when the machines are known; rejects with the signal's reason. */
  async known(signal: AbortSignal): Promise<readonly MachineInfo[]> {
    return await new Promise((resolve, reject) => {
      let listening: Disposable | undefined;
      const look = (): void => {
        if (signal.aborted) reject(NiiaError.from(signal.reason));
        else if (this.#machines) resolve(this.#machines);
        else return;
        listening?.dispose();
        signal.removeEventListener('abort', look);
      };
      listening = this.onDidChange(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  dispose(): void {
    disposeAll(this.#disposables);
    this.#stop();
    this.#changed.dispose();
  }

  #connectionChanged(): void {
    const { phase } = this.#connection.state;
    if (phase === 'connected') {
      this.refresh();
      return;
    }
    this.#stop();
    // A daemon that restarts is no reason to show an empty view; one that is gone is.
    if (phase === 'connecting' && this.#connection.state.stood) return;
    this.#machines = undefined;
    this.#sessions.clear();
    this.#changed.fire();
  }

  #sync(): void {
    this.#syncMachines();
    this.#syncSessions();
  }

  #syncMachines(): void {
    const { peer } = this.#connection;
    if (this.#machineLeases === 0 || !peer) {
      this.#machineWatch?.cancel();
      this.#machineWatch = undefined;
      clearTimeout(this.#machineRetry);
      return;
    }
    if (this.#machineWatch) return;
    const call = typedCall(peer, 'machine.watch', {});
    this.#machineWatch = call;
    call.onEvent(({ machines }) => {
      if (this.#machineWatch !== call) return;
      this.#machines = machines;
      this.#syncSessions();
      this.#changed.fire();
    });
    call.result.catch((error: NiiaError) => {
      if (this.#machineWatch !== call) return;
      this.#machineWatch = undefined;
      this.#log.warn(`the machines are not told: ${error.message}`);
      if (!peer.closed) this.#machineRetry = setTimeout(() => this.#syncMachines(), retryFirstMs);
    });
  }

  #syncSessions(): void {
    for (const id of [...this.#watches.keys()]) if (!this.#wanted(id)) this.#unwatch(id);
    for (const { id } of this.#machines ?? []) if (this.#wanted(id) && !this.#watches.has(id)) this.#watch(id);
  }

  #wanted(id: string): boolean {
    if (!this.#connection.peer || !this.machine(id)?.online) return false;
    return this.#allSessionLeases > 0 || this.#leasedSessions.has(id);
  }

  #watch(id: string): void {
    const watch: SessionWatch = { call: undefined, retry: undefined, failures: 0 };
    this.#watches.set(id, watch);
    this.#ask(id, watch);
  }

  #ask(id: string, watch: SessionWatch): void {
    const { peer } = this.#connection;
    if (!peer) return;
    const call = typedCall(peer, 'session.watch', {}, { to: id });
    watch.call = call;
    call.onEvent(({ sessions }) => {
      if (watch.call !== call) return;
      watch.failures = 0;
      this.#sessions.set(id, inOrder(sessions));
      this.#changed.fire();
    });
    const over = (why: string): void => {
      if (watch.call !== call) return;
      watch.call = undefined;
      if (peer.closed) return;
      const afterMs = Math.min(retryLongestMs, retryFirstMs * 2 ** watch.failures++);
      this.#log.debug(`the sessions of ${id} are not told (${why}); again in ${afterMs} ms`);
      watch.retry = setTimeout(() => this.#ask(id, watch), afterMs);
    };
    call.result.then(
      () => over('the other side ended it'),
      (error: NiiaError) => over(error.message),
    );
  }

  #unwatch(id: string): void {
    const watch = this.#watches.get(id);
    if (!watch) return;
    this.#watches.delete(id);
    clearTimeout(watch.retry);
    const { call } = watch;
    watch.call = undefined;
    call?.cancel();
    this.#sessions.delete(id);
  }

  #stop(): void {
    const watch = this.#machineWatch;
    this.#machineWatch = undefined;
    watch?.cancel();
    clearTimeout(this.#machineRetry);
    const known = new Map(this.#sessions);
    for (const id of [...this.#watches.keys()]) this.#unwatch(id);
    // Shown until the next watch tells better.
    for (const [id, sessions] of known) this.#sessions.set(id, sessions);
  }
}

function inOrder(sessions: readonly SessionInfo[]): SessionInfo[] {
  return [...sessions].sort(
    (a, b) => Number(a.state === 'exited') - Number(b.state === 'exited') || a.createdAt.localeCompare(b.createdAt),
  );
}
