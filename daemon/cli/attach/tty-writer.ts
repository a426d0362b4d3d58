import { closeSync, constants, openSync, readlinkSync, writeSync } from 'node:fs';
import { isErrno } from '../../home/files.ts';
import { writeBytes } from '../output.ts';

/**
 * Writes to the terminal on stdout: at once while it takes more, which saves a keystroke's echo a turn of the thread
 * pool, and without ever blocking this process. A terminal that reads nothing until its own input was taken (a large
 * paste) would otherwise wait for us and we for it.
 */
export class TtyWriter {
  /** The terminal, opened anew: only so is non-blocking writing not forced upon whoever shares stdout. */
  readonly #terminal: number | undefined = openTerminal();
  #waiting: Promise<void> | undefined;

  /** Returns nothing once the terminal has it all, else a promise of that. */
  write(bytes: Uint8Array): void | Promise<void> {
    const rest = this.#waiting ? bytes : this.#writeNow(bytes);
    if (rest.length === 0) return undefined;
    const before = this.#waiting ?? Promise.resolve();
    const written = before
      .then(() => writeBytes(1, rest))
      .catch(ignoreHangup)
      .finally(() => {
        if (this.#waiting === written) this.#waiting = undefined;
      });
    this.#waiting = written;
    return written;
  }

  /** Writes however long it takes: the last words of a process. */
  writeAndWait(text: string): void {
    try {
      writeSync(1, text);
    } catch (error) {
      ignoreHangup(error);
    }
  }

  close(): void {
    if (this.#terminal !== undefined) closeSync(this.#terminal);
  }

  /** Returns what the terminal did not take. */
  #writeNow(bytes: Uint8Array): Uint8Array {
    if (this.#terminal === undefined) return bytes;
    let at = 0;
    try {
      while (at < bytes.length) at += writeSync(this.#terminal, bytes, at);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return bytes.subarray(at);
      ignoreHangup(error);
    }
    return bytes.subarray(bytes.length);
  }
}

/** The terminal is gone, and SIGHUP on its way. */
function ignoreHangup(error: unknown): void {
  if (!isErrno(error, 'EIO', 'EAGAIN')) throw error;
}

function openTerminal(): number | undefined {
  if (process.platform === 'win32') return undefined;
  try {
    const path = process.platform === 'linux' ? readlinkSync('/proc/self/fd/1') : '/dev/tty';
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    // A terminal of another mount namespace, say: writing through the thread pool works everywhere.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
