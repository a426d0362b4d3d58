import { mkdirSync, writeFileSync } from 'node:fs';

export interface Row {
  scenario: string;
  /** From B's daemon answering after its start to the first byte of a command's output at A. */
  firstByteMs: number;
  path: string | null;
  /** From B's daemon answering to this path being the one in use. */
  pathMs: number | null;
  /** Bytes that went through whole, both ways together. */
  bytes: number;
  /** Of those, per second. */
  bytesPerSecond: number;
  note: string;
}

/** Prints the matrix, and writes it to `file` if there is one. */
export function writeMatrix(rows: readonly Row[], file: string | undefined): void {
  const head = ['Between the machines', 'First byte', 'Path reached', 'after', 'Exact bytes, both ways', 'And'];
  const lines = rows.map((row) => [
    row.scenario,
    `${Math.round(row.firstByteMs)} ms`,
    row.path ?? 'none',
    row.pathMs === null ? '' : `${Math.round(row.pathMs)} ms`,
    `${(row.bytes / 1e6).toFixed(1)} MB at ${(row.bytesPerSecond / 1e6).toFixed(1)} MB/s`,
    row.note,
  ]);
  const table = [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  console.log(table);
  if (file === undefined) return;
  mkdirSync('test/artifacts', { recursive: true });
  writeFileSync(file, `${table}\n`);
}
