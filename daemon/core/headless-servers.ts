import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus, SessionInfo } from '../../shared/protocol/shapes.ts';
import type { TypedCall } from '../../shared/rpc/client.ts';
import { ask, typedCall } from '../../shared/rpc/client.ts';
import type { Peer } from '../../shared/rpc/peer.ts';
import { isErrno, readIfThere } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import { build, version } from '../home/version.ts';
import { isHeadlessRunning } from '../process/headless-record.ts';
import { connectLocal, isListening } from '../process/local-socket.ts';
import { spawnDetached } from '../process/spawn.ts';
import { Changes } from './watch.ts';

/** What a headless server leaves in the home while it runs. */
const recordSchema = v.object({ generation: v.string(), pid: v.number(), version: v.string(), startedAt: v.string() });

type HeadlessRecord = v.InferOutput<typeof recordSchema>;

/** A headless server that the daemon is connected to. */
export interface HeadlessServer {
  readonly generation: string;
  readonly peer: Peer;
  /** Its sessions, as it last told. */
  sessions: SessionInfo[];
}

const startTimeoutMs = 15_000;
/** A server that is well says what it has within milliseconds. */
const connectMs = 10_000;
/** A daemon that starts waits so long for servers that run already: one that hangs must not keep the machine away. */
const findMs = 2_000;
/** Between attempts to reach one that runs. */
const reachEveryMs = 2_000;
const pollMs = 10;
const retireMs = 15_000;

/**
 * The headless servers of this machine: one for new sessions, of this build's generation, and those of other builds
 * that still have sessions. They run on when the daemon ends; a daemon that starts finds them again.
 */
export class HeadlessServers {
  readonly #home: Home;
  readonly #log: Log;
  readonly #machine: () => string;
  readonly #servers = new Map<string, HeadlessServer>();
  /** Generations that were asked to leave. */
  readonly #retiring = new Set<string>();
  readonly #connecting = new Map<string, Promise<HeadlessServer>>();
  /** Why a server that runs cannot be talked to, by its record. */
  readonly #unreached = new Map<HeadlessRecord, NiiaError>();
  readonly #attempts = new Set<NodeJS.Timeout>();
  #starting: Promise<HeadlessServer> | undefined;
  #closed = false;
  /** New sessions go to the server of this generation. */
  readonly generation = createHash('sha256').update(`${version}+${build}`).digest('hex').slice(0, 12);
  /** A server or a session came, changed or went. The servers hold themselves back; a state is to be told at once. */
  readonly changes = new Changes(20);
  readonly #onServers = new Set<() => void>();

  constructor(home: Home, machine: () => string, log: Log) {
    this.#home = home;
    this.#machine = machine;
    this.#log = log;
  }

  get all(): readonly HeadlessServer[] {
    return [...this.#servers.values()];
  }

  /** Calls `listener` whenever a server came or went, until the returned function is called. */
  onServers(listener: () => void): () => void {
    this.#onServers.add(listener);
    return () => this.#onServers.delete(listener);
  }

  /** Sessions of all servers, in the order of their making. */
  get sessions(): SessionInfo[] {
    return this.all.flatMap((server) => server.sessions).sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  get liveSessions(): number {
    return this.sessions.filter((session) => session.state !== 'exited').length;
  }

  /**
   * Connects to the servers that an earlier daemon left running. Never rejects, and does not wait long: those that are
   * not reached are told by `status`, and tried again as long as they run.
   */
  async findRunning(): Promise<void> {
    const records = this.#records().flatMap((name) => this.#read(name) ?? []);
    const late = new AbortController();
    const attempts = records.map(async (record) => {
      const silent = (): void => void this.#unreached.set(record, new NiiaError('timeout', 'it does not answer'));
      late.signal.addEventListener('abort', silent, { once: true });
      await this.#reach(record, () => late.signal.removeEventListener('abort', silent));
    });
    const timer = setTimeout(() => late.abort(), findMs);
    await Promise.race([Promise.all(attempts), once(late.signal, 'abort')]);
    clearTimeout(timer);
  }

  /** Whether there is something to show that only a running server can show: sessions of a server that ended. */
  get hasHistory(): boolean {
    try {
      return readdirSync(this.#home.path('sessions')).length > 0;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** The server for new sessions; started where none runs. */
  async current(): Promise<{ server: HeadlessServer; started: boolean }> {
    const running = this.#servers.get(this.generation);
    if (running) return { server: running, started: false };
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    return { server: await this.#starting, started: true };
  }

  /** Resolves once no server is being started. */
  async settled(): Promise<void> {
    await this.#starting?.catch((error: unknown) => this.#log.debug('a start was given up', { error }));
  }

  /**
   * The server that has this session. With several generations the session may be anywhere; without a name the choice
   * among one generation's sessions is the server's own.
   */
  async having(session: string | undefined): Promise<HeadlessServer> {
    const holders = this.all.filter((server) =>
      server.sessions.some((one) =>
        session === undefined ? one.state !== 'exited' : one.id === session || one.name === session,
      ),
    );
    return holders[0] ?? (await this.current()).server;
  }

  async info(): Promise<DaemonStatus['headless']> {
    const infos = await Promise.allSettled(
      this.all.map((server) => ask(server.peer, 'headless.info', {}, { deadlineMs: 2_000 })),
    );
    return infos.flatMap((info) => (info.status === 'fulfilled' ? [info.value] : []));
  }

  /** Servers that run and cannot be talked to. */
  get unreached(): NonNullable<DaemonStatus['unreached']> {
    return [...this.#unreached].map(([{ generation, pid, version: of }, error]) => ({
      ...{ generation, pid, version: of },
      error: error.hint === undefined ? error.message : `${error.message}. ${error.hint}`,
    }));
  }

  /** Ends all sessions and their servers; says how many sessions ended. */
  async stopAll(): Promise<number> {
    const results = await Promise.all(
      this.all.map((server) => ask(server.peer, 'headless.stop', {}, { deadlineMs: 10_000 })),
    );
    return results.reduce((sum, result) => sum + result.ended, 0);
  }

  /** Lets go of the servers; they run on. */
  close(): void {
    this.#closed = true;
    this.changes.close();
    for (const timer of this.#attempts) clearTimeout(timer);
    for (const server of this.#servers.values()) server.peer.close();
    this.#servers.clear();
  }

  async #start(): Promise<HeadlessServer> {
    const { generation } = this;
    const logFile = this.#home.path(`headless-${generation}.log`);
    const pid = spawnDetached(['headless', '--generation', generation, '--machine', this.#machine()], logFile, {
      ...process.env,
      NIIA_HOME: this.#home.root,
    });
    this.#log.info('headless server started', { generation, pid });
    const deadline = performance.now() + startTimeoutMs;
    while (performance.now() < deadline) {
      if (await isListening(this.#socket(generation))) return await this.#connect(generation);
      if (!isAlive(pid) && !(await isListening(this.#socket(generation)))) break;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    throw new NiiaError('failed', `the headless server did not start: ${lastLineOf(logFile)}`, `See ${logFile}`);
  }

  /** One attempt to talk to a server that left a record; another one later, where it runs and this one failed. */
  async #reach(record: HeadlessRecord, decided: () => void = () => undefined): Promise<void> {
    const { generation, pid } = record;
    try {
      if (await isListening(this.#socket(generation))) await this.#connect(generation);
      this.#unreached.delete(record);
    } catch (cause) {
      const error = outOfReach(NiiaError.from(cause), record);
      if (this.#closed) return;
      if (this.#unreached.get(record)?.code !== error.code)
        this.#log.error('a headless server is not reached; its sessions run on', { generation, pid, error });
      this.#unreached.set(record, error);
      this.#reachLater(record);
    } finally {
      decided();
    }
  }

  #reachLater(record: HeadlessRecord): void {
    const timer = setTimeout(() => {
      this.#attempts.delete(timer);
      void this.#reach(record);
    }, reachEveryMs);
    this.#attempts.add(timer);
  }

  /** The server of this generation, which listens. However many ask, there is one connection. */
  #connect(generation: string): Promise<HeadlessServer> {
    const there = this.#servers.get(generation);
    if (there) return Promise.resolve(there);
    let connecting = this.#connecting.get(generation);
    if (!connecting) {
      connecting = this.#open(generation).finally(() => this.#connecting.delete(generation));
      this.#connecting.set(generation, connecting);
    }
    return connecting;
  }

  async #open(generation: string): Promise<HeadlessServer> {
    const peer = await connectLocal(this.#socket(generation), {
      face: 'daemon',
      software: version,
      closed: (error) => {
        if (this.#servers.get(generation)?.peer !== peer) return;
        this.#servers.delete(generation);
        this.#retiring.delete(generation);
        if (this.#closed) return;
        this.#log.warn('headless server gone', { generation, error });
        this.#serversChanged();
      },
    });
    const server: HeadlessServer = { generation, peer, sessions: [] };
    const watch: TypedCall<'session.watch'> = typedCall(peer, 'session.watch', {}, { from: this.#self() });
    const timer = setTimeout(() => peer.close(new NiiaError('timeout', 'it does not answer')), connectMs);
    try {
      await new Promise<void>((resolve, reject) => {
        watch.onEvent(({ sessions }) => {
          server.sessions = sessions;
          this.changes.notify();
          void this.#retireOthers();
          resolve();
        });
        watch.result.then(() => reject(new NiiaError('link_lost', 'it ended its watch')), reject);
      });
    } catch (error) {
      peer.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    if (this.#closed) {
      peer.close();
      throw new NiiaError('cancelled', 'the daemon stops');
    }
    this.#servers.set(generation, server);
    this.#serversChanged();
    void this.#retireOthers();
    return server;
  }

  /** A server of another build leaves with its last session; what ended there is shown by the present one from then on. */
  async #retireOthers(): Promise<void> {
    const current = this.#servers.get(this.generation);
    if (!current) return;
    for (const server of this.all) {
      if (server === current || this.#retiring.has(server.generation)) continue;
      if (server.sessions.some((session) => session.state !== 'exited')) continue;
      this.#retiring.add(server.generation);
      try {
        const { retired } = await ask(server.peer, 'headless.retire', {}, { deadlineMs: 10_000 });
        if (retired) {
          await this.#ended(server.generation);
          await ask(current.peer, 'headless.adopt', {}, { deadlineMs: 30_000 });
        }
        if (retired) this.#log.info('a headless server without sessions has left', { generation: server.generation });
        // It still runs a command; it is asked again at the next change.
        else this.#retiring.delete(server.generation);
      } catch (error) {
        this.#log.warn('a headless server of another build does not leave', { generation: server.generation, error });
      }
    }
  }

  /** Resolves when the server has let go of its sessions' folders, which is when its lock is free. */
  async #ended(generation: string): Promise<void> {
    const giveUpAt = performance.now() + retireMs;
    while (isHeadlessRunning(this.#home, generation)) {
      if (performance.now() > giveUpAt)
        throw new NiiaError('timeout', `the headless server ${generation} does not end`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  #serversChanged(): void {
    for (const listener of [...this.#onServers]) listener();
    this.changes.notify();
  }

  #self(): NonNullable<Parameters<Peer['call']>[2]>['from'] {
    const name = this.#machine();
    return { machine: name, principal: { kind: 'local', id: '', name, role: 'admin' } };
  }

  #socket(generation: string): string {
    return this.#home.socket(`headless-${generation}`);
  }

  #records(): string[] {
    return readdirSync(this.#home.folder('headless')).filter((name) => name.endsWith('.json'));
  }

  #read(name: string): HeadlessRecord | undefined {
    const text = readIfThere(this.#home.path('headless', name));
    if (text === undefined) return undefined;
    try {
      return v.parse(recordSchema, JSON.parse(text));
    } catch (error) {
      this.#log.warn('a headless record is damaged and ignored', { name, error });
      return undefined;
    }
  }
}

/** Of another protocol version: what the user is told to do for machines does not help with a server of this one. */
function outOfReach(error: NiiaError, { pid, version: of }: HeadlessRecord): NiiaError {
  if (error.code !== 'version_mismatch') return error;
  return new NiiaError(
    error.code,
    error.message,
    `Its sessions run on, and niia ${of} reaches them: go back to it (niia upgrade --allow-downgrade --bundle FILE), end them, and upgrade again. To end them as they are: kill ${pid}`,
    { cause: error },
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isErrno(error, 'EPERM');
  }
}

function lastLineOf(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) || 'it said nothing';
}
