import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEntry } from '../../../daemon/core/audit.ts';
import { AuditLog } from '../../../daemon/core/audit.ts';
import { Log } from '../../../daemon/home/log.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-audit-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const who = { kind: 'machine', id: 'i', name: 'N', role: 'operator' } as const;
const entry = (method: string): AuditEntry => ({
  at: new Date().toISOString(),
  who,
  method,
  subject: '',
  outcome: 'allowed',
});

describe('the audit log', () => {
  it('chains its lines over restarts, so that a changed or missing line shows', () => {
    const path = join(folder, 'audit.jsonl');
    const log = new Log('test');
    const first = new AuditLog(path, log);
    first.record(entry('a'));
    first.record(entry('b'));
    new AuditLog(path, log).record(entry('c'));
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { method: string }).method)).toEqual(['a', 'b', 'c']);
    const hashes = lines.map((line) => createHash('sha256').update(line).digest('hex'));
    expect(lines.map((line) => (JSON.parse(line) as { prev: string }).prev).slice(1)).toEqual(hashes.slice(0, 2));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('that cannot be written does not stop the machine', () => {
    new AuditLog(join(folder, 'missing', 'audit.jsonl'), new Log('test')).record(entry('a'));
  });
});
