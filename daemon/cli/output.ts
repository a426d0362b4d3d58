import { write } from 'node:fs';
import { isatty } from 'node:tty';
import { isErrno } from '../home/files.ts';

export type Descriptor = 1 | 2;

/** Whoever read our output has gone (`| head`). Not worth a message. */
export class BrokenPipe extends Error {
  constructor(options?: ErrorOptions) {
    super('the reader of the output has gone', options);
    this.name = 'BrokenPipe';
  }
}

/**
 * Writes all of `bytes`, at the pace of whoever reads them and without blocking this process meanwhile (Node's own
 * `process.stdout` blocks on pipes: a stopped pager would hold up signals). Rejects with `BrokenPipe`.
 */
export async function writeBytes(to: Descriptor, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += await writeSome(to, bytes.subarray(at));
    } catch (cause) {
      if (isErrno(cause, 'EPIPE')) throw new BrokenPipe({ cause });
      if (!isErrno(cause, 'EAGAIN')) throw cause;
      // Somebody who shares the descriptor made it non-blocking; Node's stream knows how to wait for it.
      await writeToStream(to, bytes.subarray(at));
      return;
    }
  }
}

function writeSome(to: Descriptor, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(to, bytes, (error, written) => (error ? reject(error) : resolve(written)));
  });
}

function writeToStream(to: Descriptor, bytes: Uint8Array): Promise<void> {
  const stream = to === 1 ? process.stdout : process.stderr;
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(isErrno(cause, 'EPIPE') ? new BrokenPipe({ cause }) : cause);
    stream.once('error', fail);
    stream.write(bytes, (error) => {
      if (error) return;
      stream.off('error', fail);
      resolve();
    });
  });
}

/** What a command tells: results on stdout, for programs too; advice, progress and warnings on stderr. */
export class Output {
  readonly json: boolean;

  constructor(json: boolean) {
    this.json = json;
  }

  /** The result: as one JSON value with `--json`, else as text. */
  async result(value: unknown, human: () => string): Promise<void> {
    await this.text(this.json ? `${JSON.stringify(value)}\n` : human());
  }

  async text(text: string): Promise<void> {
    await writeBytes(1, Buffer.from(text));
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    await writeBytes(1, bytes);
  }

  /** A line on stderr, for people. */
  async advice(line: string): Promise<void> {
    await writeBytes(2, Buffer.from(`${line}\n`));
  }
}

/** Whether `to` is a terminal that may get colour. */
export function mayColour(to: Descriptor): boolean {
  return isatty(to) && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
}
