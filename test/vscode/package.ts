import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const repository = fileURLToPath(new URL('../../', import.meta.url));

const SOURCES = ['shared', 'daemon', 'extension', 'package.json', 'esbuild.mjs'];
const BUILT = ['extension.js', 'niia.js', 'screen-worker.js'].map((name) => path.join(repository, 'dist', name));
const VSIX = path.join(repository, 'test/artifacts/niia.vsix');

/** The packaged extension of the present sources; built where what is there is older than they are. */
export async function packagedExtension(): Promise<string> {
  const build = await ensureBuilt();
  if (build || modified(VSIX) < Math.max(...BUILT.map(modified))) {
    await node('extension/package.mjs', '--no-build', '--out', VSIX);
  }
  return VSIX;
}

/** Makes dist/ where it is older than the sources; whether it had to. */
export async function ensureBuilt(): Promise<boolean> {
  const newest = Math.max(...SOURCES.map((name) => newestIn(path.join(repository, name))));
  if (Math.min(...BUILT.map(modified)) >= newest) return false;
  await node('esbuild.mjs');
  return true;
}

async function node(...args: string[]): Promise<void> {
  await promisify(execFile)(process.execPath, args, { cwd: repository });
}

function newestIn(file: string): number {
  if (!statSync(file).isDirectory()) return modified(file);
  const inside = readdirSync(file, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Math.max(...inside.map((entry) => modified(path.join(entry.parentPath, entry.name))));
}

/** Milliseconds; 0 where there is no such file. */
function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
