import { lstat, lutimes, mkdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { NiiaError } from '../../shared/errors.ts';
import type { Answered, NameBytes, Sent } from '../../shared/protocol/copy-methods.ts';
import { isErrno } from '../home/files.ts';
import { Folder, FolderStack } from './folder.ts';
import { type FileTimes, IncomingFile, isThere, sameTime, writeSmall } from './incoming-file.ts';
import { fromName, linkStaysWithin, safeName, safePath, shown } from './names.ts';
import { type CopyReport, grewMessage, messageOf, type Place } from './sender.ts';
import { Temporaries } from './temporaries.ts';
import { joinPath, slash } from './walk.ts';

export interface ReceiverOptions {
  into: Buffer;
  /** What each source is to be called there, whoever said so: one that is no name of a file is refused. */
  names: readonly Buffer[];
  /** Where locks of files that are written are kept. */
  locks: string;
  send: (answer: Answered) => Promise<void>;
  report: CopyReport;
}

/**
 * The mode of a folder that a copy has made and is not done with: nobody else's until it is whole. It also tells, after a
 * break, which folders are to get their mode and time in the end; those that were there before keep their own.
 */
const unfinished = 0o1700;
/** Small files that are written at the same time. */
const mostAtOnce = 32;
const ackEntries = 128;
const ackBytes = 1 << 20;

/** What was said of an entry, in the order in which it came. */
interface Done {
  n: number;
  place: Place | undefined;
  done: boolean;
}

/**
 * The receiving end of a copy. It believes nothing that it is told of names and links: every name is one name in a
 * folder that is open, and no link is ever gone through.
 */
export class Receiver {
  readonly #o: ReceiverOptions;
  readonly #names: readonly Buffer[];
  #temporaries: Temporaries | undefined;
  #root: Folder | undefined;
  #stack: FolderStack | undefined;
  readonly #order: Done[] = [];
  readonly #writing = new Set<Promise<void>>();
  #large: { n: number; file: IncomingFile; name: Buffer; size: number } | undefined;
  #place: Place | undefined;
  #next = 0;
  #bytes = 0;
  #told = { n: 0, bytes: 0 };
  /** Below this nothing can be written, which was told once. */
  #refused: { source: number; path: Buffer[] } | undefined;
  #finished = false;
  /** Folders that were made over this connection and are not left yet. */
  readonly #made = new Set<string>();
  /** Whether it is being closed: then what could not be done was not refused, and is neither told nor passed over. */
  readonly #closing = new AbortController();
  #taking: Promise<void> = Promise.resolve();

  /** Throws `denied` for names that could lead out of the folder. */
  constructor(options: ReceiverOptions) {
    this.#o = options;
    this.#names = options.names.map((name) => safeName(name));
  }

  /** The last entry that is done with: where a sender is to go on in another connection. */
  get place(): Place | undefined {
    return this.#place;
  }

  /** Whether all there is has come. */
  get finished(): boolean {
    return this.#finished;
  }

  async open(): Promise<void> {
    try {
      this.#root = await Folder.root(this.#o.into);
    } catch (error) {
      throw new NiiaError(
        'io',
        `${shown(this.#o.into)}: ${messageOf(error)}`,
        'The folder to copy into must be there.',
      );
    }
    const temporaries = new Temporaries(this.#o.locks);
    this.#temporaries = temporaries;
    await temporaries.removeStale(this.#root);
    this.#stack = new FolderStack(this.#root, async (folder, names) => {
      if (!this.#made.has(keyOf(names))) await temporaries.removeStale(folder);
    });
  }

  /**
   * Takes one record, once the one before is done with. Throws where the sender breaks the rules, and when it is closed;
   * what cannot be written is told and passed over.
   */
  async take(record: Sent, body: Uint8Array): Promise<void> {
    this.#closing.signal.throwIfAborted();
    const taking = this.#take(record, body);
    this.#taking = taking.catch(() => undefined);
    await taking;
  }

  /**
   * Closes everything, as soon as the record that is being taken is done with; a large file under way is kept for the
   * next time.
   */
  async close(): Promise<void> {
    this.#closing.abort(new NiiaError('cancelled', 'the copy is over'));
    await this.#taking;
    await Promise.allSettled(this.#writing);
    await this.#large?.file.keep();
    this.#large = undefined;
    await this.#stack?.close();
  }

  async #take(record: Sent, body: Uint8Array): Promise<void> {
    switch (record.t) {
      case 'total':
        return this.#o.report.total(record.files, record.bytes);
      case 'small':
        return await this.#small(record, body);
      case 'data':
        return await this.#data(body);
      case 'large':
        return await this.#begin(record);
      case 'from':
        return await this.#largeStep((file) => file.from(record.offset));
      case 'end':
        return await this.#end(record);
      case 'broken':
        return await this.#broken(record.message);
      case 'without':
        this.#o.report.missed(shown(below(record.path.map(fromName))), record.message, record.warning);
        return await this.#now(record, async () => undefined, undefined);
      case 'folder':
        return await this.#now(record, (names) => this.#folder(names), 'folder');
      case 'leave':
        return await this.#now(record, (names) => this.#leave(names, record), undefined);
      case 'link':
        return await this.#now(record, (names) => this.#link(names, record.path.length - 1, record), 'link');
      case 'done':
        await Promise.all(this.#writing);
        await this.#settleLarge();
        await this.#root?.handle.sync().catch(ignoreWhereItCannot);
        await this.#ack(true);
        await this.#tell({ t: 'done' });
        this.#finished = true;
    }
  }

  async #small(record: Extract<Sent, { t: 'small' }>, body: Uint8Array): Promise<void> {
    const done = this.#begun(record);
    await this.#guarded(record, done, async (names) => {
      const { folder, name, temporaries } = await this.#locate(names);
      const write = async (): Promise<void> => {
        // What came before a break may come again: a folder that is done with is not to be touched for it.
        if (!this.#isNew(names) && (await isThere(folder, name, body, record))) return;
        await writeSmall(folder, name, body, record, record.sha256, temporaries);
      };
      const work = folder
        .during(write())
        .then(() => {
          if (record.grew) this.#o.report.warned(shown(below(names)), grewMessage(body.length));
          return this.#copied(done, 'file', body.length);
        })
        .catch((error: unknown) => this.#failed(record.n, done, names, error));
      this.#writing.add(work);
      void work.finally(() => this.#writing.delete(work));
      if (this.#writing.size >= mostAtOnce) await Promise.race(this.#writing);
      return 'later';
    });
  }

  async #begin(record: Extract<Sent, { t: 'large' }>): Promise<void> {
    const done = this.#begun(record);
    await this.#guarded(record, done, async (names) => {
      const { folder, name } = await this.#locate(names);
      const file = await IncomingFile.begin(folder, name, record, this.#o.locks);
      this.#large = {
        n: record.n,
        file,
        name: below(names),
        size: record.size,
      };
      let have: Awaited<ReturnType<IncomingFile['have']>>;
      try {
        have = await file.have(this.#closing.signal);
      } catch (error) {
        if (this.#closing.signal.aborted) throw error;
        this.#large = undefined;
        await file.discard();
        throw error;
      }
      await this.#tell({ t: 'want', n: record.n, ...have });
      return 'later';
    });
  }

  async #data(bytes: Uint8Array): Promise<void> {
    await this.#largeStep(async (file) => {
      await file.write(bytes);
      this.#bytes += bytes.length;
    });
    await this.#ack(false);
  }

  /** A step of the large file under way, where it was not given up: then what still comes of it is passed over. */
  async #largeStep(step: (file: IncomingFile) => Promise<void>): Promise<void> {
    const large = this.#large;
    if (!large) return;
    try {
      await step(large.file);
    } catch (error) {
      this.#large = undefined;
      await large.file.discard();
      await this.#failed(large.n, this.#entry(large.n), [large.name], error);
    }
  }

  async #end({ sha256, grew }: Extract<Sent, { t: 'end' }>): Promise<void> {
    const large = this.#large;
    await this.#largeStep((file) => file.end(sha256));
    if (!large || this.#large !== large) return;
    this.#large = undefined;
    if (grew) this.#o.report.warned(shown(large.name), grewMessage(large.size));
    await this.#copied(this.#entry(large.n), 'file', large.size, 0);
  }

  async #broken(message: string): Promise<void> {
    const large = this.#large;
    if (!large) return;
    this.#large = undefined;
    await large.file.discard();
    this.#o.report.missed(shown(large.name), message, false);
    await this.#settled(this.#entry(large.n));
  }

  /** A sender that goes on without having ended its large file has given it up. */
  async #settleLarge(): Promise<void> {
    if (this.#large) await this.#broken('the sender broke it off');
  }

  async #now(
    record: Extract<Sent, { n: number }>,
    work: (names: Buffer[]) => Promise<unknown>,
    kind: 'folder' | 'link' | undefined,
  ): Promise<void> {
    const done = this.#begun(record);
    await this.#guarded(record, done, async (names) => {
      await work(names);
      if (kind) await this.#copied(done, kind, 0);
      else await this.#settled(done);
      return 'now';
    });
  }

  async #guarded(
    record: Extract<Sent, { n: number }>,
    done: Done,
    work: (names: Buffer[]) => Promise<'now' | 'later'>,
  ): Promise<void> {
    await this.#settleLarge();
    let names: Buffer[] = record.path.map(fromName);
    try {
      const below = safePath(record.path);
      if (this.#isRefused(record.source, below)) {
        if (record.t !== 'leave') {
          this.#o.report.missed('', '', false);
          await this.#tell({ t: 'failed', n: record.n, message: '' });
        }
        return await this.#settled(done);
      }
      this.#refused = undefined;
      const top = this.#names[record.source];
      if (!top) throw new NiiaError('bad_request', `a copy has no source ${record.source}`);
      names = [top, ...below];
      await work(names);
    } catch (error) {
      if (this.#closing.signal.aborted) throw error;
      if (record.t === 'folder') this.#refused = { source: record.source, path: record.path.map(fromName) };
      await this.#failed(record.n, done, names, error);
    }
  }

  #isRefused(source: number, path: readonly Buffer[]): boolean {
    const refused = this.#refused;
    return (
      refused !== undefined &&
      refused.source === source &&
      refused.path.every((name, at) => path[at] !== undefined && name.equals(path[at]))
    );
  }

  /** Whether the folder that it is in was made over this connection, so that nothing is there yet. */
  #isNew(names: readonly Buffer[]): boolean {
    return this.#made.has(keyOf(names.slice(0, -1)));
  }

  async #locate(names: readonly Buffer[]): Promise<{ folder: Folder; name: Buffer; temporaries: Temporaries }> {
    const name = names.at(-1);
    if (!name || !this.#stack || !this.#temporaries) throw new NiiaError('internal', 'a copy was not opened');
    return { folder: await this.#stack.enter(names.slice(0, -1)), name, temporaries: this.#temporaries };
  }

  async #folder(names: Buffer[]): Promise<void> {
    const { folder, name } = await this.#locate(names);
    try {
      await mkdir(folder.child(name), { mode: unfinished });
      this.#made.add(keyOf(names));
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
      const stats = await lstat(folder.child(name));
      if (!stats.isDirectory()) throw new NiiaError('denied', 'what is there is not a folder, and is left as it is');
    }
  }

  async #leave(names: Buffer[], { mode, mtimeMs }: FileTimes): Promise<void> {
    const { folder, name } = await this.#locate(names);
    const left = await folder.open(name).catch((error: unknown) => {
      // That it could not be made was told when it was entered.
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (!left) return;
    try {
      await left.handle.sync().catch(ignoreWhereItCannot);
      const made = this.#made.delete(keyOf(names)) || ((await left.handle.stat()).mode & 0o1777) === unfinished;
      if (!made) return;
      await left.handle.chmod(mode & 0o3777);
      await left.handle.utimes(new Date(), mtimeMs / 1000);
    } finally {
      await left.close();
    }
  }

  async #link(
    names: Buffer[],
    depth: number,
    { target, mtimeMs }: { target: NameBytes; mtimeMs: number },
  ): Promise<void> {
    const to = fromName(target);
    if (!linkStaysWithin(to, depth))
      throw new NiiaError('denied', `a link that leads out of the copy (to ${shown(to)})`);
    const { folder, name, temporaries } = await this.#locate(names);
    if (!this.#isNew(names) && (await linkIsThere(folder.child(name), to, mtimeMs))) return;
    const temporary = folder.child(temporaries.next());
    await symlink(to, temporary);
    try {
      await lutimes(temporary, new Date(), mtimeMs / 1000);
      await rename(temporary, folder.child(name));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  #begun({ t, n, source, path }: Extract<Sent, { n: number }>): Done {
    if (n !== this.#next) throw new NiiaError('bad_request', 'the entries of a copy are out of order');
    this.#next++;
    // The end of a folder moves no place on: in order, the folder stands before what is in it.
    const place = t === 'leave' ? undefined : { source, path: path.map(fromName) };
    const done: Done = { n, place, done: false };
    this.#order.push(done);
    return done;
  }

  #entry(n: number): Done {
    const entry = this.#order.find((one) => one.n === n);
    if (!entry) throw new NiiaError('internal', 'an entry of a copy is not known');
    return entry;
  }

  async #copied(done: Done, kind: 'file' | 'folder' | 'link', bytes: number, fresh = bytes): Promise<void> {
    this.#bytes += fresh;
    this.#o.report.copied(kind, bytes);
    await this.#settled(done);
  }

  async #failed(n: number, done: Done, names: readonly Buffer[], error: unknown): Promise<void> {
    const path = joinPath(this.#o.into, below(names));
    const message = messageOf(error);
    this.#o.report.missed(shown(path), message, false);
    await this.#tell({ t: 'failed', n, message });
    await this.#settled(done);
  }

  async #settled(done: Done): Promise<void> {
    done.done = true;
    while (this.#order[0]?.done) {
      const first = this.#order.shift();
      if (first?.place) this.#place = first.place;
    }
    await this.#ack(false);
  }

  /** What it says is for the sender, and no longer of use to one that is gone. */
  async #tell(answer: Answered): Promise<void> {
    await this.#o.send(answer).catch(() => undefined);
  }

  async #ack(now: boolean): Promise<void> {
    const n = this.#order[0]?.n ?? this.#next;
    this.#o.report.progress(this.#bytes);
    if (!now && n - this.#told.n < ackEntries && this.#bytes - this.#told.bytes < ackBytes) return;
    this.#told = { n, bytes: this.#bytes };
    await this.#tell({ t: 'ack', n, bytes: this.#bytes });
  }
}

function keyOf(names: readonly Buffer[]): string {
  return below(names).toString('latin1');
}

/** The path that these names make. */
function below(names: readonly Buffer[]): Buffer {
  return Buffer.concat(names.flatMap((name) => [slash, name])).subarray(1);
}

async function linkIsThere(path: Buffer, target: Buffer, mtimeMs: number): Promise<boolean> {
  try {
    const there = await readlink(path, { encoding: 'buffer' });
    return there.equals(target) && sameTime((await lstat(path)).mtimeMs, mtimeMs);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL')) return false;
    throw error;
  }
}

/** Some systems cannot wait for a folder to be on disk. */
function ignoreWhereItCannot(error: unknown): void {
  if (!isErrno(error, 'EINVAL', 'EISDIR', 'EPERM', 'EBADF', 'ENOTSUP')) throw error;
}
