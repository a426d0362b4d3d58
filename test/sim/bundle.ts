import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { build } from 'esbuild';
import type { SimReport } from './main.ts';

const root = resolve(import.meta.dirname, '../..');
/** Bare imports are resolved from where a bundle lies. */
const folder = resolve(root, 'test/artifacts/sim');

/** One deliberate defect: `text`, which is there exactly once in `file`, becomes `replacement`. */
export interface Mutation {
  name: string;
  /** It shows only after many nights. */
  late?: boolean;
  file: string;
  text: string;
  replacement: string;
}

/** Bundles a simulation, with one defect if wanted. Gives the path of the program. */
export async function bundleSim(id: string, mutation?: Mutation, entry = 'test/sim/main.ts'): Promise<string> {
  const outfile = resolve(folder, `${id}.mjs`);
  await mkdir(folder, { recursive: true });
  let replaced = mutation === undefined;
  await build({
    entryPoints: [resolve(root, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    define: { NIIA_VERSION: JSON.stringify('0.0.0-test') },
    logLevel: 'silent',
    plugins: [
      {
        name: 'mutation',
        setup: ({ onLoad }) => {
          if (!mutation) return;
          const target = resolve(root, mutation.file);
          onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            if (path !== target) return undefined;
            const [before, after, ...more] = (await readFile(path, 'utf8')).split(mutation.text);
            if (after === undefined || more.length > 0) {
              throw new Error(`"${mutation.name}": its text is there ${more.length + (after ? 1 : 0)} times, not once`);
            }
            replaced = true;
            return { contents: before + mutation.replacement + after, loader: 'ts' };
          });
        },
      },
    ],
  });
  if (!replaced) throw new Error(`"${mutation?.name}": the simulation does not load ${mutation?.file}`);
  return outfile;
}

/**
 * Runs the nights `first`, `first + step`, … up to `last` in a process of its own, which stops at the first bad one. A
 * process that throws gives no report but what it said; one that is not done in time is an error.
 */
export function runNights<R = SimReport>(
  program: string,
  { first, last, step, limitMs }: { first: number; last: number; step: number; limitMs: number },
): Promise<R | { crashed: string }> {
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, [program, `${first}`, `${last}`, `${step}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let error = '';
    let late = false;
    child.stdout.on('data', (bytes) => {
      out += bytes;
    });
    child.stderr.on('data', (bytes) => {
      error = `${error}${bytes}`.slice(-4_000);
    });
    const limit = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limitMs);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(limit);
      if (late) reject(new Error(`the nights ${first} to ${last} were not over in ${limitMs} ms`));
      else if (code === 0) done(JSON.parse(out) as R);
      else done({ crashed: error });
    });
  });
}
