import { readdirSync, rmSync, statSync } from 'node:fs';
import { open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import type { ByteSource } from '../../shared/rpc/byte-stream.ts';
import { isErrno } from '../home/files.ts';
import type { Home } from '../home/home.ts';

/** A bundle and what it unpacks to take so many times its size. */
const unpackedTimes = 6;
/** The native parts that one without any copies from those that are here. */
const nativesRoom = 48 << 20;
/** What broke off is kept so long, to be taken up again. */
const keepPartsMs = 86_400_000;

/** Bundles that are being received: `versions/incoming/HASH.part`, taken up where they broke off. */
export class Incoming {
  readonly #folder: string;
  /** Where commands of this machine put bundles together; one that was killed leaves its own. */
  readonly #outgoing: string;

  constructor(home: Home) {
    this.#folder = home.folder('versions', 'incoming');
    this.#outgoing = home.folder('versions', 'outgoing');
  }

  path(hash: string): string {
    return join(this.#folder, `${hash}.part`);
  }

  /** How many bytes of it are there. */
  received(hash: string): number {
    return statSync(this.path(hash), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Throws `io` where the disk has no room for a bundle of `size` bytes and what becomes of it. */
  async checkRoom(size: number, bringsNatives: boolean): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    const free = bavail * bsize;
    const needed = size * unpackedTimes + (bringsNatives ? 0 : nativesRoom);
    if (free < needed) {
      throw fullDisk(this.#folder, `${megabytes(needed)} are needed, ${megabytes(free)} are free; nothing was changed`);
    }
  }

  /**
   * Appends what comes, from `offset` on, until `size` bytes are there or the sender breaks off. Resolves with how many
   * are there, all of them on the disk. Throws `io` where the disk is full: what came is removed, so that it fills no more.
   */
  async receive(
    hash: string,
    { offset, size }: { offset: number; size: number },
    source: ByteSource,
    progress: (received: number) => void,
  ): Promise<number> {
    const path = this.path(hash);
    if (offset > this.received(hash)) {
      throw new NiiaError('bad_request', `bytes from ${offset} on are offered, and ${this.received(hash)} are here`);
    }
    const file = await open(path, offset === 0 ? 'w' : 'r+', 0o600);
    let at = offset;
    let writing: Promise<void> = Promise.resolve();
    try {
      // Where more is there than is to be kept; a fresh file is empty anyway.
      if (offset > 0) await file.truncate(offset);
      source.onData((bytes) => {
        writing = (async () => {
          if (at + bytes.length > size)
            throw new NiiaError('bad_bundle', `more than the ${size} bytes that were offered came`);
          for (let done = 0; done < bytes.length; ) {
            const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at);
            done += bytesWritten;
            at += bytesWritten;
          }
          progress(at);
        })();
        return writing;
      });
      await source.done;
      // The last chunk may have come with the end, and failed to be written.
      await writing;
    } catch (error) {
      await writing.catch(() => undefined);
      if (isFull(error)) {
        await rm(path, { force: true });
        throw fullDisk(this.#folder, 'nothing was changed', error);
      }
      throw error;
    } finally {
      // What came before a break is what the next attempt goes on from.
      await file.sync().catch((error: unknown) => {
        if (!isErrno(error)) throw error;
      });
      await file.close();
    }
    return at;
  }

  remove(hash: string): void {
    rmSync(this.path(hash), { force: true });
  }

  /** Removes what broke off long ago. */
  tidy(now: number): void {
    for (const folder of [this.#folder, this.#outgoing]) {
      for (const name of readdirSync(folder)) {
        const path = join(folder, name);
        const stat = statSync(path, { throwIfNoEntry: false });
        if (stat && now - stat.mtimeMs > keepPartsMs) rmSync(path, { force: true, recursive: true });
      }
    }
  }
}

export function isFull(error: unknown): boolean {
  const cause = error instanceof NiiaError ? error.cause : error;
  return isErrno(cause, 'ENOSPC', 'EDQUOT');
}

export function fullDisk(folder: string, what: string, cause?: unknown): NiiaError {
  return new NiiaError('io', `the disk of ${folder} is full: ${what}`, 'Make room there, and try again.', { cause });
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / (1 << 20))} MB`;
}
