import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEntry } from '../../../daemon/core/audit.ts';
import { AuditLog, verifyAudit } from '../../../daemon/core/audit.ts';
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

  it('is put aside when it is full, keeps so many files, and its chain goes through all of them and over restarts', () => {
    const path = join(folder, 'audit.jsonl');
    const limits = { fileBytes: 1_000, files: 3 };
    let log = new AuditLog(path, new Log('test'), limits);
    for (let i = 0; i < 40; i++) {
      if (i % 7 === 0) log = new AuditLog(path, new Log('test'), limits);
      log.record(entry(`m${i}`));
    }
    const files = readdirSync(folder).sort();
    expect(files).toHaveLength(4);
    expect(files).not.toContain('audit.1.jsonl');
    const { lines, broken } = verifyAudit(path);
    expect(broken).toBeUndefined();
    expect(lines).toBeGreaterThan(15);
    for (const file of files) expect(statSync(join(folder, file)).size).toBeLessThan(1_300);
    // A line that is changed shows, in whichever file, as does one that is taken out at the end of a file.
    const victim = join(folder, files[0] ?? '');
    const text = readFileSync(victim, 'utf8');
    writeFileSync(victim, text.replace('operator', 'viewer'));
    expect(verifyAudit(path).broken).toMatchObject({ line: 2 });
    writeFileSync(victim, `${text.trimEnd().split('\n').slice(0, -1).join('\n')}\n`);
    expect(verifyAudit(path).broken).toMatchObject({ line: 1 });
  });

  it('begins with the last hash where the process ended just after it was put aside', () => {
    const path = join(folder, 'audit.jsonl');
    const first = new AuditLog(path, new Log('test'), { fileBytes: 1, files: 3 });
    first.record(entry('a'));
    first.record(entry('b'));
    rmSync(path);
    new AuditLog(path, new Log('test')).record(entry('c'));
    expect(verifyAudit(path)).toEqual({ lines: 2, broken: undefined });
  });

  it('that cannot be written does not stop the machine', () => {
    new AuditLog(join(folder, 'missing', 'audit.jsonl'), new Log('test')).record(entry('a'));
  });
});
