import type { Dirent } from 'node:fs';
import { open, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../home/files.ts';
import type { Told, TranscriptKind } from '../../workers/answers/transcript.ts';
import { transcriptPlaces, turnOf } from '../../workers/answers/transcript.ts';
import type { Session } from '../session.ts';

/** Records lie at most so deep: codex sorts them by year, month and day. */
const deepest = 4;
const mostFiles = 64;
/** Of a longer record the end is read. */
const mostRead = 64 << 20;
const slackMs = 5000;
/** The end of a turn is written within this time of its showing. */
const completeWithinMs = 2500;
const lookAgainMs = 100;

/**
 * What the worker's own record says it answered to `text`, which was typed at `since` (ms since 1970). Undefined where no
 * record, or more than one, has that prompt: which is the right one is not guessed at.
 */
export async function transcriptAnswer(
  session: Session,
  kind: TranscriptKind,
  text: string,
  since: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const root = rootOf(session, kind);
  if (root === undefined) return undefined;
  const until = performance.now() + completeWithinMs;
  for (;;) {
    const told = await only(session, await turns(root, kind, text, since));
    const late = performance.now() >= until;
    if (told?.answer !== undefined && (told.complete || late)) return told.answer;
    if (late || signal.aborted) return undefined;
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

interface Found extends Told {
  file: string;
}

function rootOf(session: Session, kind: TranscriptKind): string | undefined {
  const env = session.command?.env;
  if (!env) return undefined;
  const { variable, below, inHome } = transcriptPlaces[kind];
  const own = env[variable];
  if (own) return join(own, below);
  const home = env['HOME'] ?? env['USERPROFILE'];
  return home === undefined ? undefined : join(home, inHome);
}

async function turns(root: string, kind: TranscriptKind, text: string, since: number): Promise<Found[]> {
  const found: Found[] = [];
  for (const file of await recentFiles(root, since - slackMs)) {
    const told = turnOf(kind, (await tailOf(file)).split('\n'), text, since);
    if (told) found.push({ ...told, file });
  }
  return found;
}

/** The one record that is this session's: open in one of its processes, or about its folder, where there are several. */
async function only(session: Session, found: readonly Found[]): Promise<Found | undefined> {
  if (found.length <= 1) return found[0];
  const here = found.filter(({ cwd }) => cwd === undefined || cwd === session.meta.cwd);
  if (here.length === 1) return here[0];
  const open = await openFiles(session.meta.pid);
  const held = here.filter(({ file }) => open.has(file));
  return held.length === 1 ? held[0] : undefined;
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

async function tailOf(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Math.min(size, mostRead);
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, size - length);
    return bytes.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
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
