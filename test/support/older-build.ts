import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Unpacks the frozen older build (test/fixtures/older-build) where it finds the repository's packages; its entry point. */
export function olderBuild(): string {
  const bundle = resolve('test/fixtures/older-build/older.niiabundle');
  const folder = resolve('test/artifacts/older-build');
  const entry = join(folder, 'dist', 'niia.js');
  if (existsSync(entry) && statSync(folder).mtimeMs > statSync(bundle).mtimeMs) return entry;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['--extract', '--gzip', '--file', bundle, '--directory', folder]);
  return entry;
}
