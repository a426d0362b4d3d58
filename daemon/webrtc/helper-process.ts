import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { NiiaError } from '../../shared/errors.ts';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';
import type { Log } from '../home/log.ts';
import type { FromHelper, ToHelper } from './helper-protocol.ts';
import {
  dataHeader,
  decodeHelperFrame,
  encodeCredit,
  encodeHelperControl,
  fromHelperSchema,
  helperLimits,
} from './helper-protocol.ts';
import type { HelperSide } from './p2p-transport.ts';
import { relayStderr } from './stderr-log.ts';

/** One connection, as its helper sees it. */
export interface HelperUser {
  control(message: FromHelper): void;
  data(bytes: Uint8Array): void;
  credit(bytes: number): void;
  /** The helper is gone. Nothing follows. */
  lost(error: NiiaError): void;
}

export interface HelperProcessOptions {
  log: Log;
  /** The helper's bundle; the product's own unless said. */
  entry?: string | undefined;
  /** How often a helper that has connections is asked whether it is there; 2,000 unless said. */
  pingMs?: number | undefined;
  /** Exactly once. `error` is absent where `stop` asked for it. */
  ended(error?: NiiaError): void;
}

/** How often a helper may fail to answer before it counts as stuck. */
const missesAllowed = 3;
/** How long it may take to end. */
const stopMs = 2_000;

/** What the helper may know of this process's environment: what programs and their loader need. */
const passedOn = ['PATH', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'LANG', 'TZ', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot'];

/**
 * A daemon that an editor started may run in Electron's Node, whose V8 takes no buffers from outside its own memory; the
 * native part makes them for what it receives. There the Node on the path is used, if there is one.
 */
const program = process.versions['electron'] === undefined ? process.execPath : 'node';

/** A running helper. It ends with its pipe; a helper that no longer answers is killed. */
export class HelperProcess {
  readonly #o: HelperProcessOptions;
  readonly #child: ChildProcess;
  readonly #pipe: SocketTransport;
  readonly #users = new Map<number, HelperUser>();
  readonly #over: Promise<void>;
  readonly #startedAt = performance.now();
  #ready = false;
  #unavailable: string | undefined;
  #misses = 0;
  #ticker: NodeJS.Timeout | undefined;
  #stopping = false;
  #why: string | undefined;

  constructor(options: HelperProcessOptions) {
    this.#o = options;
    const entry = options.entry ?? fileURLToPath(new URL('./webrtc.js', import.meta.url));
    const env = Object.fromEntries(passedOn.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
    this.#child = spawn(program, ['--expose-gc', entry], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env,
      cwd: '/',
      windowsHide: true,
    });
    const exited = new Promise<string>((resolve) => {
      this.#child.once('exit', (code, signal) =>
        resolve(signal ? `it was ended by ${signal}` : `it exited with ${code}`),
      );
      this.#child.once('error', (error) => resolve(`it could not be started: ${error.message}`));
    });
    // Absent where this process has no file descriptor left.
    const socket = this.#child.stdio?.[3];
    if (!(socket instanceof Socket)) {
      this.#child.kill('SIGKILL');
      throw new NiiaError('io', 'the WebRTC helper could not be started: there is no pipe for it');
    }
    if (this.#child.stderr) relayStderr(this.#child.stderr, options.log);
    this.#pipe = new SocketTransport(socket);
    const closed = new Promise<void>((resolve) => {
      this.#pipe.start({
        message: (bytes) => this.#receive(bytes),
        writable: () => undefined,
        closed: (error) => {
          // Without its pipe a helper is of no use; what it said before has been read.
          if (error instanceof NiiaError) this.#why ??= error.message;
          if (!this.#stopping) this.#child.kill('SIGKILL');
          resolve();
        },
      });
    });
    this.#over = Promise.all([exited, closed]).then(([how]) => this.#end(how));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether its native part was loaded. */
  get ready(): boolean {
    return this.#ready;
  }

  get lifeMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Opens a connection; `user` hears of it until it says `release`. */
  open(connection: number, user: HelperUser, message: Extract<ToHelper, { type: 'open' }>): HelperSide {
    this.#users.set(connection, user);
    this.#watch();
    this.tell(connection, message);
    const header = dataHeader(connection);
    return {
      data: (head, body) => {
        if (body === undefined) this.#pipe.send(header, head);
        else this.#pipe.send(Buffer.concat([header, head]), body);
      },
      credit: (bytes) => this.#pipe.send(encodeCredit(connection, bytes)),
      close: (abrupt) => this.tell(connection, { type: 'close', abrupt }),
    };
  }

  tell(connection: number, message: ToHelper): void {
    this.#pipe.send(encodeHelperControl(connection, message));
  }

  release(connection: number): void {
    this.#users.delete(connection);
    if (this.#users.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  /** Resolves once it is gone. */
  async stop(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#pipe.close();
    }
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs);
    await this.#over;
    clearTimeout(timer);
  }

  #receive(bytes: Uint8Array): void {
    try {
      const frame = decodeHelperFrame(bytes, fromHelperSchema);
      if (frame.connection === 0) {
        if (frame.kind === 'control') this.#itself(frame.message);
        return;
      }
      const user = this.#users.get(frame.connection);
      if (frame.kind === 'control') user?.control(frame.message);
      else if (frame.kind === 'credit') user?.credit(frame.bytes);
      else if (frame.bytes.length <= helperLimits.message) user?.data(frame.bytes);
      else throw new RangeError(`a message of ${frame.bytes.length} bytes`);
    } catch (error) {
      this.#kill(`it sent what is not understood: ${String(error)}`);
    }
  }

  #itself(message: FromHelper): void {
    if (message.type === 'ready') this.#ready = true;
    else if (message.type === 'pong') this.#misses = 0;
    else if (message.type === 'unavailable') this.#unavailable = message.reason;
  }

  /** Counts answers, not time: while this process is suspended nobody is blamed. */
  #watch(): void {
    if (this.#ticker) return;
    this.#misses = 0;
    this.tell(0, { type: 'ping' });
    this.#ticker = setInterval(() => {
      this.#misses++;
      if (this.#misses > missesAllowed) this.#kill('it does not answer');
      else this.tell(0, { type: 'ping' });
    }, this.#o.pingMs ?? 2_000);
  }

  #kill(why: string): void {
    this.#why ??= why;
    this.#child.kill('SIGKILL');
  }

  #end(how: string): void {
    clearInterval(this.#ticker);
    const error = this.#stopping && !this.#why ? undefined : this.#failure(this.#why ?? how);
    const lost = error ?? new NiiaError('cancelled', 'the P2P connection was closed');
    const users = [...this.#users.values()];
    this.#users.clear();
    this.#o.ended(error);
    for (const user of users) user.lost(lost);
  }

  #failure(how: string): NiiaError {
    const hint = 'Other paths are used meanwhile; P2P can be switched off with: niia config set p2p off';
    if (this.#unavailable === undefined) return new NiiaError('failed', `the WebRTC helper ended: ${how}`, hint);
    const platform = `${process.platform}-${process.arch}`;
    const why = `WebRTC cannot be used on this machine (${platform}): ${this.#unavailable}`;
    return new NiiaError('failed', why, hint);
  }
}
