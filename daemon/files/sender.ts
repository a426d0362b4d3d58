import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { NiiaError } from '../../shared/errors.ts';
import type { Answered, NameBytes, Sent } from '../../shared/protocol/copy-methods.ts';
import { mostBody } from './copy-wire.ts';
import { linkStaysWithin, shown, toName } from './names.ts';
import { type Step, walk } from './walk.ts';

/** Where a copy stands: everything up to here is done with. */
export interface Place {
  source: number;
  path: Buffer[];
}

export interface CopyReport {
  /** One entry arrived whole. */
  copied(kind: 'file' | 'folder' | 'link', bytes: number): void;
  /** One entry did not, or was left out on purpose (`warning`). An empty message was told for its folder already. */
  missed(name: string, message: string, warning: boolean): void;
  /** One entry arrived, with something to say of it. */
  warned(name: string, message: string): void;
  /** Bytes that have arrived so far, in this connection. */
  progress(bytes: number): void;
  total(files: number, bytes: number): void;
}

export interface SenderOptions {
  sources: readonly Buffer[];
  after?: Place | undefined;
  send: (record: Sent, body?: Uint8Array) => Promise<void>;
  report: CopyReport;
  /** Whether to say how much it will be, which takes a second walk. */
  total?: boolean;
}

/** Entries that are read before it is their turn. */
const readAhead = 16;

/** What is told of an entry before it is acknowledged. */
interface Pending {
  place: Place;
  kind: 'file' | 'folder' | 'link' | undefined;
  size: number;
  name: string;
}

/** The sending end of a copy: walks over the sources, and sends each entry as the receiver wants it. */
export class Sender {
  readonly #o: SenderOptions;
  readonly #pending = new Map<number, Pending>();
  #n = 0;
  #acknowledged = 0;
  #place: Place | undefined;
  /** The large file under way: what the receiver has of it, and whether it still wants it. */
  #large: { n: number; wanted: (want: Extract<Answered, { t: 'want' }>) => void; refused: boolean } | undefined;
  #over: NiiaError | undefined;
  #tellOver: (error: NiiaError) => void = () => undefined;

  constructor(options: SenderOptions) {
    this.#o = options;
    this.#place = options.after;
  }

  /** The last entry that the receiver is done with: where to go on in another connection. */
  get place(): Place | undefined {
    return this.#place;
  }

  /** Resolves when everything is sent. */
  async run(): Promise<void> {
    const { sources, after, send } = this.#o;
    if (this.#o.total) void this.#count();
    const ahead: Array<{ source: number; step: Step; file: Promise<Small | undefined> }> = [];
    const next = async (): Promise<void> => {
      const first = ahead.shift();
      if (first) await this.#step(first.source, first.step, await first.file);
    };
    for (const [source, root] of sources.entries()) {
      if (after && source < after.source) continue;
      for await (const step of walk(root, after?.source === source ? after.path : undefined)) {
        if (this.#over) throw this.#over;
        ahead.push({ source, step, file: this.#readAhead(step) });
        if (ahead.length >= readAhead) await next();
      }
    }
    while (ahead.length > 0) await next();
    await send({ t: 'done' });
  }

  /** What the receiver says. Throws `bad_request` where that cannot be. */
  answered(answer: Answered): void {
    if (answer.t === 'want') {
      if (this.#large?.n === answer.n) this.#large.wanted(answer);
    } else if (answer.t === 'failed') {
      const entry = this.#pending.get(answer.n);
      if (this.#large?.n === answer.n) {
        this.#large.refused = true;
        this.#large.wanted({ t: 'want', n: answer.n, offset: 0, sha256: '' });
      }
      if (!entry) return;
      this.#o.report.missed(entry.name, answer.message, false);
      entry.kind = undefined;
    } else if (answer.t === 'ack') {
      if (answer.n > this.#n) throw new NiiaError('bad_request', 'an entry was acknowledged that was not sent');
      for (; this.#acknowledged < answer.n; this.#acknowledged++) this.#done(this.#acknowledged);
      this.#o.report.progress(answer.bytes);
    }
  }

  /** The connection is over: nothing is waited for any more. */
  stop(error: NiiaError): void {
    this.#over = error;
    this.#tellOver(error);
  }

  #done(n: number): void {
    const entry = this.#pending.get(n);
    if (!entry) return;
    this.#pending.delete(n);
    this.#place = entry.place;
    if (entry.kind) this.#o.report.copied(entry.kind, entry.size);
  }

  async #step(source: number, step: Step, small: Small | undefined): Promise<void> {
    const { stats, kind, path, file } = step;
    const { send } = this.#o;
    if (kind === 'error' || !stats) return await this.#without(source, step, messageOf(step.error), false);
    const times = { mode: stats.mode & 0o7777, mtimeMs: stats.mtimeMs };
    if (kind === 'enter') return await send({ t: 'folder', ...this.#entry(source, step, 'folder', 0), ...times });
    // It moves no place on: what comes after it is still to come.
    if (kind === 'leave') return await send({ t: 'leave', n: this.#n++, source, path: path.map(toName), ...times });
    if (stats.isSymbolicLink()) {
      const target = await readlink(file, { encoding: 'buffer' });
      if (!linkStaysWithin(target, path.length - 1)) {
        return await this.#without(source, step, `a link that leads out of the copy (to ${shown(target)})`, false);
      }
      const entry = this.#entry(source, step, 'link', 0);
      return await send({ t: 'link', ...entry, mtimeMs: stats.mtimeMs, target: toName(target) });
    }
    if (!stats.isFile()) return await this.#without(source, step, 'neither a file nor a folder nor a link', true);
    if (!small) return await this.#largeFile(source, step, times);
    if ('problem' in small) return await this.#without(source, step, small.problem, false);
    const { bytes, sha256, grew } = small;
    if (grew) this.#o.report.warned(shown(file), grewMessage(bytes.length));
    const entry = this.#entry(source, step, 'file', bytes.length);
    await send({ t: 'small', ...entry, ...times, sha256, ...(grew && { grew }) }, bytes);
  }

  /** A small file as a whole; anything else has to wait for its turn. */
  async #readAhead({ kind, path, file, stats }: Step): Promise<Small | undefined> {
    if (kind !== 'entry' || !stats?.isFile() || stats.size > mostBody) return undefined;
    try {
      return await readSmall(file, stats.size, path.length > 0);
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  async #largeFile(source: number, step: Step, times: { mode: number; mtimeMs: number }): Promise<void> {
    let file: FileHandle;
    try {
      file = await openToRead(step.file, step.path.length > 0);
    } catch (error) {
      return await this.#without(source, step, messageOf(error), false);
    }
    try {
      await this.#sendLarge(source, step, file, times);
    } finally {
      await file.close();
    }
  }

  async #sendLarge(
    source: number,
    step: Step,
    file: FileHandle,
    times: { mode: number; mtimeMs: number },
  ): Promise<void> {
    const { send, report } = this.#o;
    const before = await file.stat({ bigint: true });
    const size = Number(before.size);
    const identity = [
      hostname(),
      step.file.toString('base64'),
      `${before.dev}:${before.ino}`,
      `${size}`,
      `${before.mtimeNs}`,
    ];
    const id = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
    const entry = this.#entry(source, step, 'file', size);
    const want = new Promise<Extract<Answered, { t: 'want' }>>((resolve, reject) => {
      this.#large = { n: entry.n, wanted: resolve, refused: false };
      this.#tellOver = reject;
    });
    // Where the connection breaks before it is waited for, the sending tells.
    want.catch(() => undefined);
    await send({ t: 'large', ...entry, ...times, size, id });
    if (this.#over) throw this.#over;
    const { offset, sha256 } = await want;
    const large = this.#large;
    if (!large || large.refused) return;
    let hash = createHash('sha256');
    try {
      const same = offset <= size && (await hashUpTo(file, hash, offset)) && hash.copy().digest('hex') === sha256;
      if (!same) hash = createHash('sha256');
      let at = same ? offset : 0;
      await send({ t: 'from', offset: at });
      while (at < size && !large.refused) {
        if (this.#over) throw this.#over;
        // A buffer of its own for each: the last ones are still on their way.
        const piece = Buffer.allocUnsafe(Math.min(mostBody, size - at));
        const { bytesRead } = await file.read(piece, 0, piece.length, at);
        if (bytesRead === 0) break;
        const bytes = piece.subarray(0, bytesRead);
        hash.update(bytes);
        at += bytesRead;
        await send({ t: 'data' }, bytes);
      }
      if (large.refused) return;
      const now = await file.stat({ bigint: true });
      const sent = hash.digest('hex');
      if (at === size && now.size === before.size && now.mtimeNs === before.mtimeNs) {
        return await send({ t: 'end', sha256: sent });
      }
      // As a log does: what was sent is what it begins with still.
      const again = createHash('sha256');
      const grew = at === size && now.size > before.size && (await hashUpTo(file, again, size));
      if (!grew || again.digest('hex') !== sent) return await this.#broken(entry.n, step, changed);
      report.warned(shown(step.file), grewMessage(size));
      await send({ t: 'end', sha256: sent, grew });
    } catch (error) {
      if (error instanceof NiiaError) throw error;
      await this.#broken(entry.n, step, messageOf(error));
    } finally {
      this.#large = undefined;
      report.progress(0);
    }
  }

  async #broken(n: number, step: Step, message: string): Promise<void> {
    const pending = this.#pending.get(n);
    if (pending) pending.kind = undefined;
    this.#o.report.missed(shown(step.file), message, false);
    await this.#o.send({ t: 'broken', message });
  }

  async #without(source: number, step: Step, message: string, warning: boolean): Promise<void> {
    this.#o.report.missed(shown(step.file), message, warning);
    await this.#o.send({ t: 'without', ...this.#entry(source, step, undefined, 0), message, warning });
  }

  #entry(
    source: number,
    step: Step,
    kind: Pending['kind'],
    size: number,
  ): { n: number; source: number; path: NameBytes[] } {
    const n = this.#n++;
    this.#pending.set(n, { place: { source, path: step.path }, kind, size, name: shown(step.file) });
    return { n, source, path: step.path.map(toName) };
  }

  /** Walks over everything once more, beside the sending, to say how much it will be. */
  async #count(): Promise<void> {
    const { sources, after, send, report } = this.#o;
    let files = 0;
    let bytes = 0;
    for (const [source, root] of sources.entries()) {
      if (after && source < after.source) continue;
      for await (const { kind, stats } of walk(root, after?.source === source ? after.path : undefined)) {
        if (this.#over) return;
        if (kind !== 'entry' || !stats?.isFile()) continue;
        files++;
        bytes += stats.size;
      }
    }
    report.total(files, bytes);
    // Where the connection is over by now, nobody needs it.
    await send({ t: 'total', files, bytes }).catch(() => undefined);
  }
}

const changed = 'it was changed while it was copied';

type Small = { bytes: Buffer; sha256: string; grew: boolean } | { problem: string };

/** What is said of a file of which the bytes that it had at first were copied. */
export function grewMessage(bytes: number): string {
  return `it grew while it was copied, and was copied as far as its first ${bytes} bytes`;
}

/** Undefined where it is not small any more. */
async function readSmall(path: Buffer, size: number, below: boolean): Promise<Small | undefined> {
  const file = await openToRead(path, below);
  try {
    // One byte more than there should be shows that there is more. Files of the kernel do not say how long they are.
    const body = Buffer.allocUnsafe((size === 0 ? mostBody : size) + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < body.length; length += read) {
      read = (await file.read(body, length, body.length - length, length)).bytesRead;
    }
    if (length < size) return { problem: changed };
    const saysLength = size > 0 || length === 0 || (await file.stat()).size > 0;
    if (size === 0 && length > mostBody) return saysLength ? undefined : { problem: 'it does not say how long it is' };
    const bytes = body.subarray(0, size || length);
    const grew = saysLength && length > size;
    return { bytes, sha256: createHash('sha256').update(bytes).digest('hex'), grew };
  } finally {
    await file.close();
  }
}

/** Never waits for a writer, should it be a pipe by now; and a link below a source is not followed. */
async function openToRead(path: Buffer, below: boolean): Promise<FileHandle> {
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  return await open(path, O_RDONLY | O_NONBLOCK | (below ? O_NOFOLLOW : 0));
}

/** False where the file is shorter. */
async function hashUpTo(file: FileHandle, hash: ReturnType<typeof createHash>, end: number): Promise<boolean> {
  const piece = Buffer.alloc(256 << 10);
  for (let at = 0; at < end; ) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, end - at), at);
    if (bytesRead === 0) return false;
    hash.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
  return true;
}

/** What the system says, without the path, which stands before it. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/, \w+( '.*)?$/s, '');
}
