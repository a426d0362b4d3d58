import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../home/files.ts';
import type { About, Told, TranscriptKind, Turn } from '../../workers/answers/transcript.ts';
import { TurnSearch, transcriptPlaces } from '../../workers/answers/transcript.ts';

/** Records lie at most so deep: codex sorts them by year, month and day. */
const deepest = 4;
const mostFiles = 64;
/** Of a longer record the beginning and the end are read. */
const mostRead = 64 << 20;
/** What a record is about stands in its first lines. */
const headBytes = 256 << 10;
/** Between two reads this process does what else there is to do. */
const chunkBytes = 256 << 10;
/** A longer line is passed over: it is what a tool wrote, say. */
const longestLine = 8 << 20;
/** Times of files may be a little behind the clock. */
const slackMs = 5000;
/** The end of a turn is written within this time of its showing. */
const completeWithinMs = 2500;
const lookAgainMs = 100;
/** New files are looked for this seldom. */
const listAgainMs = 500;

/** A session, as far as its records are found by it. */
export interface RecordedSession {
  readonly command: { readonly env: Readonly<Record<string, string>> } | undefined;
  readonly meta: { readonly cwd: string; readonly pid: number };
}

/**
 * What the worker's own record says of a turn that has ended. Undefined where no record of this session, or more than one
 * that may be, has it: which is the right one is not guessed at.
 */
export async function transcriptAnswer(
  session: RecordedSession,
  kind: TranscriptKind,
  turn: Turn,
  signal: AbortSignal,
): Promise<Told | undefined> {
  const root = rootOf(session, kind);
  if (root === undefined) return undefined;
  const until = performance.now() + completeWithinMs;
  const records = new Map<string, RecordFile>();
  let listedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    if (performance.now() - listedAt >= listAgainMs) {
      listedAt = performance.now();
      for (const path of await recentFiles(root, turn.since - slackMs)) {
        if (!records.has(path)) records.set(path, new RecordFile(path, new TurnSearch(kind, turn)));
      }
    }
    for (const record of records.values()) await record.readOn();
    const told = (await only(session, [...records.values()]))?.search.told;
    if (told?.end !== undefined) return told;
    if (performance.now() >= until || signal.aborted) return told;
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

/** One record, read from where it was left. */
class RecordFile {
  readonly path: string;
  readonly search: TurnSearch;
  #offset: number | undefined;
  #sign = '';
  #rest: Buffer[] = [];
  #restBytes = 0;

  constructor(path: string, search: TurnSearch) {
    this.path = path;
    this.search = search;
  }

  async readOn(): Promise<void> {
    let file: FileHandle;
    try {
      file = await open(this.path, 'r');
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'EACCES')) return;
      throw error;
    }
    try {
      const { size, mtimeMs } = await file.stat();
      const sign = `${size} ${mtimeMs}`;
      if (sign === this.#sign) return;
      this.#sign = sign;
      await this.#readTo(file, size);
    } finally {
      await file.close();
    }
  }

  async #readTo(file: FileHandle, size: number): Promise<void> {
    if (this.#offset === undefined) {
      this.#offset = Math.max(0, size - mostRead);
      if (this.#offset > 0) {
        const head = Buffer.alloc(headBytes);
        const { bytesRead } = await file.read(head, 0, headBytes, 0);
        const [first = ''] = head.subarray(0, bytesRead).toString('utf8').split('\n');
        this.search.take(first);
      }
    }
    const chunk = Buffer.alloc(Math.min(chunkBytes, Math.max(1, size - this.#offset)));
    while (this.#offset < size) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, size - this.#offset), this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      this.#take(chunk.subarray(0, bytesRead));
    }
  }

  #take(bytes: Buffer): void {
    let from = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, from)) {
      this.#keep(bytes.subarray(from, end));
      if (this.#restBytes <= longestLine) this.search.take(Buffer.concat(this.#rest).toString('utf8'));
      this.#rest = [];
      this.#restBytes = 0;
      from = end + 1;
    }
    this.#keep(bytes.subarray(from));
  }

  #keep(part: Buffer): void {
    this.#restBytes += part.length;
    // A copy: the chunk is read into again.
    if (part.length > 0 && this.#restBytes <= longestLine) this.#rest.push(Buffer.from(part));
  }
}

function rootOf(session: RecordedSession, kind: TranscriptKind): string | undefined {
  const env = session.command?.env;
  if (!env) return undefined;
  const { variable, below, inHome } = transcriptPlaces[kind];
  const own = env[variable];
  if (own) return join(own, below);
  const home = env['HOME'] ?? env['USERPROFILE'];
  return home === undefined ? undefined : join(home, inHome);
}

/** The one record that is this session's: open in one of its processes, else about its folder. */
async function only(session: RecordedSession, records: readonly RecordFile[]): Promise<RecordFile | undefined> {
  const found = records.filter(({ search }) => search.told !== undefined);
  if (found.length === 0) return undefined;
  const open = await openFiles(session.meta.pid);
  const held = await filtered(found, async ({ path }) => open.has(await resolved(path)));
  const ours = held.length > 0 ? held : await filtered(found, ({ search }) => isAbout(search.about, session.meta.cwd));
  return ours.length === 1 ? ours[0] : undefined;
}

async function isAbout({ folder, folderHash }: About, cwd: string): Promise<boolean> {
  const here = await resolved(cwd);
  if (folder !== undefined) return (await resolved(folder)) === here;
  return [cwd, here].some((path) => createHash('sha256').update(path).digest('hex') === folderHash);
}

/** Without symbolic links; as it is where it leads nowhere. */
async function resolved(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}

async function filtered<T>(all: readonly T[], fits: (one: T) => Promise<boolean>): Promise<T[]> {
  const fit = await Promise.all(all.map(fits));
  return all.filter((_, index) => fit[index]);
}

async function recentFiles(root: string, since: number): Promise<string[]> {
  const files: Array<{ path: string; at: number }> = [];
  const visit = async (folder: string, depth: number): Promise<void> => {
    let entries: Dirent[];
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return;
      throw error;
    }
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && depth < deepest) await visit(path, depth + 1);
      else if (entry.isFile() && entry.name.endsWith('.jsonl')) {
        const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
        if (mtimeMs >= since) files.push({ path, at: mtimeMs });
      }
    }
  };
  await visit(root, 0);
  return files
    .sort((a, b) => b.at - a.at)
    .slice(0, mostFiles)
    .map(({ path }) => path);
}

/** Files that the process, or one that it started, has open. Empty where the system does not tell. */
async function openFiles(root: number): Promise<Set<string>> {
  const files = new Set<string>();
  const visit = async (pid: number, depth: number): Promise<void> => {
    for (const fd of await namesIn(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      if (target.startsWith('/')) files.add(target);
    }
    if (depth >= 4) return;
    for (const thread of await namesIn(`/proc/${pid}/task`)) {
      const children = await open(`/proc/${pid}/task/${thread}/children`, 'r').catch(() => undefined);
      if (!children) continue;
      const text = await children.readFile('utf8').finally(() => children.close());
      for (const child of text.split(' ').filter(Boolean)) await visit(Number(child), depth + 1);
    }
  };
  await visit(root, 0);
  return files;
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}
