import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
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

/**
 * Who changed what on this machine, one JSON line each. Every line carries the hash of the one before it, so that a
 * line that was changed or taken out shows.
 */
export class AuditLog {
  readonly #path: string;
  readonly #log: Log;
  #last: string;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#last = hash(lastLine(path));
  }

  record(entry: AuditEntry): void {
    const line = JSON.stringify({ prev: this.#last, ...entry });
    try {
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
      this.#last = hash(line);
    } catch (error) {
      // A full disk must not lock the owner out of the machine; the daemon's log says that a line is missing.
      this.#log.error('the audit log could not be written', { path: this.#path, error, line });
    }
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
