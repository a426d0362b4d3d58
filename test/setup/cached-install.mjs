// Large things that tests install from the npm registry, kept outside the clone, so that a fresh clone starts warm.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

const COMPLETE = '.complete';
const BUILDING = '.building-';

/** @returns {string} */
export function cacheFolder() {
  const { NIIA_TEST_CACHE, XDG_CACHE_HOME } = process.env;
  return NIIA_TEST_CACHE || path.join(XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'niia-test');
}

/**
 * The cache's folder `name`; `build` fills an empty folder where there is none. It is built beside the target and
 * renamed at the end: whoever sees the target sees all of it.
 * @param {string} name names the content, versions included
 * @param {(folder: string) => Promise<void>} build
 * @returns {Promise<string>}
 */
export async function ensureCached(name, build) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`${name} is there for linux-x64 only, this is ${process.platform}-${process.arch}`);
  }
  const cache = cacheFolder();
  const target = path.join(cache, name);
  if (existsSync(path.join(target, COMPLETE))) return target;
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const work = await mkdtemp(path.join(cache, `${BUILDING}${process.pid}-`));
  try {
    await writeFile(path.join(work, 'package.json'), '{"private":true}\n');
    await build(work);
    await writeFile(path.join(work, COMPLETE), '');
    await publish(work, target);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
  return target;
}

/**
 * One run of npm in `folder`, which must succeed.
 * @param {string} what for the person who waits
 * @param {string} folder
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
export async function npmStep(what, folder, args, env = {}) {
  const startedAt = performance.now();
  process.stderr.write(`for tests: installing ${what} … `);
  const { code, output } = await npm(folder, args, env);
  if (code !== 0) throw new Error(`npm ${args.join(' ')} in ${folder} failed with code ${code}:\n${output}`);
  process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
}

/**
 * @param {string} work
 * @param {string} target
 */
async function publish(work, target) {
  try {
    await rename(work, target);
  } catch (error) {
    // Another process was quicker. Its result is as good as ours.
    if (!existsSync(path.join(target, COMPLETE))) throw error;
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * What a killed build left behind is about 1 GB.
 * @param {string} cache
 */
async function removeAbandoned(cache) {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(BUILDING)) continue;
    const pid = Number.parseInt(name.slice(BUILDING.length), 10);
    if (!existsSync(`/proc/${pid}`)) await rm(path.join(cache, name), { recursive: true, force: true });
  }
}

/**
 * @param {string} folder
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{code: number | NodeJS.Signals | null, output: string}>}
 */
function npm(folder, args, env) {
  return new Promise((resolve, reject) => {
    // --prefix and the cleared variable: below `npm test`, npm would take the clone for the folder to work in.
    const child = spawn('npm', ['--prefix', folder, '--no-audit', '--no-fund', ...args], {
      cwd: folder,
      env: { ...process.env, npm_config_local_prefix: undefined, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => (output += text));
    }
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? signal, output }));
  });
}
