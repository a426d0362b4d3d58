import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants as osConstants } from 'node:os';
import type { IPty } from 'node-pty';
import { spawn } from 'node-pty';
import { NiiaError } from '../../shared/errors.ts';
import type { Size } from '../../shared/protocol/shapes.ts';
import { isErrno } from '../home/files.ts';
import { abovePrivate, keepPrivate } from '../process/private-descriptors.ts';

export interface PtyOptions extends Size {
  /** Absolute path of the program. */
  file: string;
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
  /** The bytes may be kept, not changed. */
  onData: (bytes: Uint8Array) => void;
  /** Once, after the last byte of output. */
  onExit: (exit: PtyExit) => void;
}

export interface PtyExit {
  /** Null when a signal ended the process. */
  exitCode: number | null;
  signal: string | null;
}

/** After the process's end its terminal is read empty. Background jobs may go on writing to it; they are not waited for. */
const mostAfterExit = 1 << 20;
const readBytes = 64 << 10;

/** What node-pty has on POSIX systems besides its declared interface. */
interface UnixInternals {
  fd: number;
  ptsName: string;
  _socket: Socket;
  _emittedClose: boolean;
}

const signalNames = new Map(Object.entries(osConstants.signals).map(([name, number]) => [number, name]));

/** A process in a pseudoterminal. Bytes go through as they are, both ways. */
export class Pty {
  readonly pid: number;
  readonly #pty: IPty;
  readonly #options: PtyOptions;
  readonly #unix: UnixInternals | undefined;
  #slave: number | undefined;
  #paused = false;
  #exit: PtyExit | undefined;
  #masterClosed = false;
  #over = false;
  #readAfterExit = 0;

  /** Throws `io` when the system has no process or no PTY to give. */
  constructor(options: PtyOptions) {
    this.#options = options;
    try {
      const { file, args, cols, rows, cwd, env } = options;
      this.#pty = abovePrivate(() =>
        spawn(file, [...args], { name: 'xterm-256color', cols, rows, cwd, env, encoding: null }),
      );
    } catch (cause) {
      throw new NiiaError(
        'io',
        `no terminal for ${options.file}: ${cause instanceof Error ? cause.message : String(cause)}`,
        'The system may be out of processes or terminals; end some sessions.',
        { cause },
      );
    }
    this.pid = this.#pty.pid;
    if (process.platform !== 'win32') this.#unix = this.#holdOpen();
    // Declared as string, but bytes where the encoding is null.
    this.#pty.onData((data: unknown) => this.#receive(data instanceof Uint8Array ? data : Buffer.from(String(data))));
    this.#pty.onExit(({ exitCode, signal }) => this.#exited(exitCode, signal ?? 0));
  }

  /**
   * On Linux the last output is lost when the slave side closes before it was read (Node 20 and 22, libuv #4992), so
   * the slave is held open until the master has been read empty. node-pty itself destroys the master 200 ms after an
   * exit, read or not; it leaves it alone when it believes it closed already.
   */
  #holdOpen(): UnixInternals {
    const unix = this.#pty as unknown as UnixInternals;
    const forget = keepPrivate(unix.fd);
    try {
      this.#slave = openSync(unix.ptsName, constants.O_RDWR | constants.O_NOCTTY);
    } catch (error) {
      // A command that has ended already may have taken its terminal along: then there is nothing to hold.
      if (!isErrno(error, 'EIO', 'ENOENT', 'ENXIO')) throw error;
    }
    unix._emittedClose = true;
    unix._socket.on('close', () => {
      forget();
      // From here on its number may be another file's.
      this.#masterClosed = true;
    });
    return unix;
  }

  /**
   * Gives input to the terminal; returns how many bytes it took, which is fewer than given while the program does not
   * read. Never blocks: the master is non-blocking, and the kernel's answer is the truth about room.
   */
  write(bytes: Uint8Array): number {
    if (this.#over || this.#exit || this.#masterClosed) return bytes.length;
    if (!this.#unix) {
      this.#pty.write(bytes as unknown as string);
      return bytes.length;
    }
    let written = 0;
    while (written < bytes.length) {
      try {
        // Not through node-pty: its socket on a PTY master spins while the program does not read (libuv, blocking writes).
        written += writeSync(this.#unix.fd, bytes, written, bytes.length - written);
      } catch (error) {
        if (isErrno(error, 'EAGAIN')) return written;
        // The terminal is gone, which the exit is about to tell.
        if (isErrno(error, 'EIO', 'EBADF')) return bytes.length;
        throw error;
      }
    }
    return written;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    if (this.#paused || this.#over) return;
    this.#paused = true;
    this.#pty.pause();
  }

  resume(): void {
    if (!this.#paused || this.#over) return;
    this.#paused = false;
    if (this.#exit) this.#readEmpty();
    else this.#pty.resume();
  }

  resize(size: Size): void {
    if (!this.#over && !this.#exit && !this.#masterClosed) this.#pty.resize(size.cols, size.rows);
  }

  /** Sends a signal to the process group and to the group in the terminal's foreground. False when neither is there. */
  kill(signal: NodeJS.Signals): boolean {
    if (this.#exit) return false;
    if (!this.#unix) {
      this.#pty.kill();
      return true;
    }
    const foreground = foregroundGroup(this.pid);
    let reached = signalGroup(this.pid, signal);
    if (foreground !== undefined && foreground !== this.pid) reached = signalGroup(foreground, signal) || reached;
    return reached;
  }

  #receive(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.#over) this.#options.onData(bytes);
  }

  #exited(exitCode: number, signal: number): void {
    this.#exit =
      signal > 0 ? { exitCode: null, signal: signalNames.get(signal) ?? `SIG${signal}` } : { exitCode, signal: null };
    if (!this.#paused) this.#readEmpty();
  }

  /** Reads what the process left in its terminal, and is over. Where the reader pauses, it goes on when that resumes. */
  #readEmpty(): void {
    if (this.#over || !this.#exit) return;
    if (this.#unix) {
      const { _socket: socket, fd } = this.#unix;
      // What the stream held while it was paused comes first; reading it emits it.
      while (!this.#paused && socket.readableLength > 0) if (socket.read() === null) break;
      while (!this.#paused && !this.#masterClosed && this.#readAfterExit < mostAfterExit) {
        const bytes = readNow(fd);
        if (!bytes) break;
        this.#readAfterExit += bytes.length;
        this.#receive(bytes);
      }
      if (this.#paused) return;
      socket.destroy();
    }
    if (this.#slave !== undefined) closeSync(this.#slave);
    this.#slave = undefined;
    this.#over = true;
    this.#options.onExit(this.#exit);
  }
}

/** What the terminal has at this moment: the kernel flushes what is under way before it says that there is nothing. */
function readNow(fd: number): Uint8Array | undefined {
  const bytes = new Uint8Array(readBytes);
  try {
    const count = readSync(fd, bytes);
    return count > 0 ? bytes.slice(0, count) : undefined;
  } catch (error) {
    if (isErrno(error, 'EAGAIN', 'EIO', 'EBADF')) return undefined;
    throw error;
  }
}

/** Signals a process group; false when there is none any more. */
export function signalGroup(group: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(process.platform === 'win32' ? group : -group, signal);
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  }
}

/** The process group in the foreground of the terminal of `pid` (proc(5), field 8 of stat), where the system tells. */
function foregroundGroup(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
  const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[5]);
  return group > 1 ? group : undefined;
}
