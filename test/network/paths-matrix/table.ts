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

/** Writes the matrix where it can be taken into the documentation from, and prints it. */
export function writeMatrix(rows: readonly Row[], file: string): void {
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
  mkdirSync('test/artifacts', { recursive: true });
  writeFileSync(file, `${table}\n`);
  console.log(table);
}
