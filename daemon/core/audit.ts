import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Log } from '../home/log.ts';

export interface AuditEntry {
  at: string;
  who: Pick<Principal, 'kind' | 'id' | 'name' | 'role'>;
  method: string;
  /** What it was about: a session, a command, a member. Never typed text or file contents. */
  subject: string;
  outcome: 'allowed' | 'refused';
  why?: string;
}

export interface AuditLimits {
  /** Size at which the file is put aside. */
  fileBytes: number;
  /** Files that are kept beside the one being written. */
  files: number;
}
const usualLimits: AuditLimits = { fileBytes: 5 << 20, files: 20 };

/**
 * Who changed what on this machine, one JSON line each. Every line carries the hash of the one before it, so that a
 * line that was changed or taken out shows. A file that is full is put aside as `audit.1.jsonl`, `audit.2.jsonl` and so
 * on, and the next one begins with the hash of its last line.
 */
export class AuditLog {
  readonly #path: string;
  readonly #log: Log;
  readonly #limits: AuditLimits;
  #last: string;
  #size: number;

  constructor(path: string, log: Log, limits = usualLimits) {
    this.#path = path;
    this.#log = log;
    this.#limits = limits;
    this.#size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const before = this.#size > 0 ? path : auditFiles(path).at(-1);
    this.#last = hash(before === undefined ? '' : lastLine(before));
  }

  record(entry: AuditEntry): void {
    const line = JSON.stringify({ prev: this.#last, ...entry });
    try {
      if (this.#size >= this.#limits.fileBytes) this.#putAside();
      this.#size += Buffer.byteLength(line) + 1;
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
      this.#last = hash(line);
    } catch (error) {
      // A full disk must not lock the owner out of the machine; the daemon's log says that a line is missing.
      this.#log.error('the audit log could not be written', { path: this.#path, error, line });
    }
  }

  #putAside(): void {
    const aside = auditFiles(this.#path);
    const number = asideNumber(basename(aside.at(-1) ?? ''), this.#path) ?? 0;
    renameSync(this.#path, this.#path.replace(/[.]jsonl$/, `.${number + 1}.jsonl`));
    this.#size = 0;
    for (const old of aside.slice(0, Math.max(0, aside.length + 1 - this.#limits.files))) rmSync(old, { force: true });
  }
}

/** Files that were put aside, the oldest first. */
function auditFiles(path: string): string[] {
  if (!existsSync(dirname(path))) return [];
  return readdirSync(dirname(path))
    .flatMap((name) => {
      const number = asideNumber(name, path);
      return number === undefined ? [] : [{ number, path: join(dirname(path), name) }];
    })
    .sort((a, b) => a.number - b.number)
    .map((file) => file.path);
}

function asideNumber(name: string, path: string): number | undefined {
  const stem = basename(path, '.jsonl');
  const number = name.startsWith(`${stem}.`) ? /^(\d+)[.]jsonl$/.exec(name.slice(stem.length + 1))?.[1] : undefined;
  return number === undefined ? undefined : Number(number);
}

/**
 * Follows the chain through all files of a log. Says how many lines it has, and where it breaks: the first line whose
 * predecessor is not the one that it names.
 */
export function verifyAudit(path: string): { lines: number; broken: { file: string; line: number } | undefined } {
  let lines = 0;
  let last: string | undefined;
  for (const file of [...auditFiles(path), ...(existsSync(path) ? [path] : [])]) {
    for (const [at, line] of readFileSync(file, 'utf8').trimEnd().split('\n').entries()) {
      if (line === '') continue;
      // The very first line names one that is no more, or none.
      if (last !== undefined && previousOf(line) !== last) return { lines, broken: { file, line: at + 1 } };
      last = hash(line);
      lines++;
    }
  }
  return { lines, broken: undefined };
}

function previousOf(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'prev' in value ? value.prev : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function hash(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}

/** The last whole line, without reading the whole file; a line torn by a crash counts as it stands. */
function lastLine(path: string): string {
  if (!existsSync(path)) return '';
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, 64 << 10));
    readSync(file, tail, 0, tail.length, size - tail.length);
    return tail.toString().trimEnd().split('\n').at(-1) ?? '';
  } finally {
    closeSync(file);
  }
}
