import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isErrno, readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { parseJsonAs } from '../home/json-file.ts';
import type { RestorePlan } from './restore.ts';
import { restorePlanSchema } from './restore.ts';

/** What is kept of a session beside its output. */
const metaSchema = v.object({
  id: v.string(),
  name: v.string(),
  argv: v.array(v.string()),
  cwd: v.string(),
  pid: v.number(),
  cols: v.number(),
  rows: v.number(),
  sizing: v.picklist(['viewer', 'fixed']),
  title: v.string(),
  createdAt: v.string(),
  endedAt: v.nullable(v.string()),
  exitCode: v.nullable(v.number()),
  signal: v.nullable(v.string()),
  /** The server ended before the session did. */
  lost: v.boolean(),
  owner: v.string(),
  /** Whose server has, or had, the session's terminal. */
  generation: v.string(),
  /** Idempotency key of the request that made it. */
  key: v.nullable(v.string()),
  /** It is started again where its server ends before it does. */
  restore: v.optional(v.boolean(), false),
  /** The machine, or somebody in its place, ended it together with its server. */
  takenAlong: v.optional(v.boolean(), false),
  /** The session that this one was before, or is now. */
  restoredFrom: v.optional(v.nullable(v.string()), null),
  restoredAs: v.optional(v.nullable(v.string()), null),
  /** Why it was not started again. */
  notRestored: v.optional(v.nullable(v.string()), null),
  /** The rules that its starter named. Absent from sessions of earlier versions. */
  worker: v.optional(v.nullable(v.string())),
  socket: v.optional(v.nullable(v.string())),
});
export type SessionMeta = v.InferOutput<typeof metaSchema>;

const finalScreenSchema = v.object({
  offset: v.number(),
  cols: v.number(),
  rows: v.number(),
  cursor: v.object({ x: v.number(), y: v.number() }),
  /** How many of the lines are scrollback. */
  above: v.number(),
  lines: v.array(v.string()),
  /** Bytes that draw it in a terminal. */
  drawing: v.string(),
});
export type FinalScreen = v.InferOutput<typeof finalScreenSchema>;

const receiptSchema = v.object({ key: v.string(), receipt: v.string(), bytes: v.number(), outputOffset: v.number() });
export type Receipt = v.InferOutput<typeof receiptSchema>;

const prefix = 'local-';
const idPattern = /^local-(\d+)$/;

/** Whether a name could be taken for a session's id. */
export function looksLikeId(name: string): boolean {
  return idPattern.test(name);
}

/** The files of one session: `home/sessions/local-N`. */
export class SessionFolder {
  readonly number: number;
  readonly id: string;
  readonly path: string;

  constructor(home: Home, number: number) {
    this.number = number;
    this.id = `${prefix}${number}`;
    this.path = home.path('sessions', this.id);
  }

  /** Claims the next id that this machine has never used, whatever other servers do at the same time. */
  static claim(home: Home): SessionFolder {
    const root = home.folder('sessions');
    const counter = home.path('sessions', 'last-id');
    const known = Number(readIfThere(counter) ?? 0) || 0;
    for (let number = Math.max(known, ...numbers(root)) + 1; ; number++) {
      const folder = new SessionFolder(home, number);
      try {
        mkdirSync(folder.path, { mode: 0o700 });
      } catch (error) {
        if (isErrno(error, 'EEXIST')) continue;
        throw error;
      }
      // The folders may be cleared away one day; the numbers stay used.
      writeFileSync(counter, String(number), { mode: 0o600 });
      return folder;
    }
  }

  static all(home: Home): SessionFolder[] {
    return numbers(home.folder('sessions'))
      .sort((a, b) => a - b)
      .map((number) => new SessionFolder(home, number));
  }

  /** Undefined where there is none (yet), or none that can be understood. */
  readMeta(): SessionMeta | undefined {
    const text = readIfThere(join(this.path, 'meta.json'));
    return text === undefined ? undefined : parseJsonAs(text, metaSchema);
  }

  writeMeta(meta: SessionMeta): void {
    writeAtomically(join(this.path, 'meta.json'), `${JSON.stringify(meta, null, 2)}\n`);
  }

  readRestorePlan(): RestorePlan | undefined {
    const text = readIfThere(join(this.path, 'restore.json'));
    return text === undefined ? undefined : parseJsonAs(text, restorePlanSchema);
  }

  /** Holds a whole environment, which may hold secrets: mode 0600, and gone when it is of no use any more. */
  writeRestorePlan(plan: RestorePlan): void {
    writeAtomically(join(this.path, 'restore.json'), JSON.stringify(plan));
  }

  dropRestorePlan(): void {
    rmSync(join(this.path, 'restore.json'), { force: true });
  }

  readFinalScreen(): FinalScreen | undefined {
    const text = readIfThere(join(this.path, 'screen.json'));
    return text === undefined ? undefined : parseJsonAs(text, finalScreenSchema);
  }

  writeFinalScreen(screen: FinalScreen): void {
    writeAtomically(join(this.path, 'screen.json'), JSON.stringify(screen));
  }

  async appendReceipt(receipt: Receipt): Promise<void> {
    await appendFile(join(this.path, 'receipts.ndjson'), `${JSON.stringify(receipt)}\n`, { mode: 0o600 });
  }

  /** Receipts in the order of their writes; a torn last line is dropped. */
  async readReceipts(): Promise<Receipt[]> {
    let text: string;
    try {
      text = await readFile(join(this.path, 'receipts.ndjson'), 'utf8');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
    return text.split('\n').flatMap((line) => (line ? (parseJsonAs(line, receiptSchema) ?? []) : []));
  }

  /** What its files take on disk. */
  bytes(): number {
    const names = existsSync(this.path) ? readdirSync(this.path) : [];
    const blocks = names.map((name) => statSync(join(this.path, name), { throwIfNoEntry: false })?.blocks ?? 0);
    return blocks.reduce((sum, count) => sum + count * 512, 0);
  }

  /** It was cleared away. */
  get isGone(): boolean {
    return !existsSync(this.path);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function numbers(root: string): number[] {
  return readdirSync(root).flatMap((name) => {
    const number = idPattern.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
}
